"""Bridges to other libraries: `torchdata` nodes, `webdataset` pipelines, `torchvision` tv_tensors; and transforms of
torchvision, albumentations and kornia as steps of a pipe (`vdata.interop.torchvision.Step` and so on).

A `DataPipe` needs none for torch: it is an `IterableDataset`, and plain `DataLoader` and `StatefulDataLoader` take it.
"""
