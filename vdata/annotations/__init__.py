"""Annotation files as datasets have them: read strictly, and every error says where.

text.py    lines, CSV, JSON          xml.py    XML without document types; PASCAL VOC's objects
mat.py     MATLAB's .mat, version 5  h5.py     HDF5 through h5py
boxes.py   what a box can be         coco.py   COCO's objects
"""

from vdata.annotations.h5 import h5_rows, h5_shape
from vdata.annotations.mat import mat
from vdata.annotations.text import csv_rows, expect_names, json_of, lines, numbered_lines
from vdata.annotations.xml import VocObject, voc_objects, xml_texts

__all__ = [
    "VocObject", "csv_rows", "expect_names", "h5_rows", "h5_shape", "json_of", "lines", "mat", "numbered_lines", "voc_objects",
    "xml_texts",
]  # fmt: skip
