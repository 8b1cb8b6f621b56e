"""People's own data: pictures in folders, rows of a CSV, COCO's JSON. Everything is checked before the first sample.

folder.py   a folder of pictures; its sub-folders are classes, or another folder has their masks
csv.py      a CSV with a column of paths
coco.py     a COCO JSON and a folder of pictures
checks.py   what they have in common: boxes that cannot be, pictures that are not there, names of classes
"""
