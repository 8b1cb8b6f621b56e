"""Bridges to other libraries: `torchdata` nodes, `webdataset` pipelines, `torchvision` tv_tensors.

A `DataPipe` needs none for torch: it is an `IterableDataset`, and plain `DataLoader` and `StatefulDataLoader` take it.
"""
