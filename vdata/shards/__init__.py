"""Bytes at rest: tar shards, the manifest that indexes them, how they are fetched and how they are written.

tar.py        a strict reader of tar archives in memory
urls.py       which URLs are opened, joining them, braces in them
fetch.py      bytes behind URLs: read, map, write, list
rows.py       the manifest's per-sample columns while they grow
files.py      the manifest's two files
manifest.py   the index: where each field of each sample lies, and its checksum
write.py      samples to shards and manifest, nothing half-written under a final name
"""
