"""Files of a dataset by their relative path, wherever they lie: in a folder, or in archives as downloaded.

    Tree          files under a folder
    Zips, Tars    members of zip archives and of plain tars: any member at once
    Scanned       a compressed tar without a seek index: names, and annotations; its pictures in one pass only
    Unpacked      one compressed file without a seek index
    Layers        several of these as one; Moved: the same files under other names
    tar_members   a compressed tar read once, in its own order

Nothing is extracted. What the archives say of themselves is not believed: sizes are bounded, checksums are compared.
All of them pickle, and none holds a file open: threads and forked processes share no file position.
"""

from vdata.files.base import MAX_MEMBER, Files, Members, is_compressed, package_data
from vdata.files.kept import cache_folder, kept, stamp, unchanged
from vdata.files.layers import Layers, Moved
from vdata.files.tars import MAX_HELD, Scanned, Tars, decompressed, tar_members
from vdata.files.tree import Tree
from vdata.files.unpacked import Unpacked
from vdata.files.zips import Zips

__all__ = [
    "MAX_HELD", "MAX_MEMBER", "Files", "Layers", "Members", "Moved", "Scanned", "Tars", "Tree", "Unpacked", "Zips",
    "cache_folder", "decompressed", "is_compressed", "kept", "package_data", "stamp", "tar_members", "unchanged",
]  # fmt: skip
