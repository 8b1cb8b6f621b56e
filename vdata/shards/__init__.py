"""Bytes at rest: tar shards, the manifest that indexes them, how they are fetched and how they are written.

storage.py    whole files behind URLs: read, map, write, list
tar.py        a strict reader of tar archives
hop.py        tars that lie elsewhere: headers read, data stepped over
foreign.py    index files of DALI and Energon
rows.py       the manifest's per-sample columns while they grow
files.py      the manifest's two files
manifest.py   the index: where each field of each sample lies, and its checksum
blocks.py     one remote object as far as it is here: blocks, and the marks that make them count
cache.py      the disk cache of remote shards: one download a machine, least recently used out
upkeep.py     what is in the cache, and making room in it
ahead.py      ranges that will be asked for soon
fetch.py      ranges of shards: mapped, from the cache, or over the network
write.py      samples to shards and manifest, nothing half-written under a final name
job.py        what a pack in pieces keeps beside its shards
"""
