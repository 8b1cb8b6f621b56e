"""Archives from the servers of their authors, whole and right under their names, or not there at all.

archives.py   `download` brings several at once; `verify` checks one
fetch.py      one archive over HTTP: mirrors, resuming, trying again
answer.py     one request over HTTP, and what its answer means
line.py       its connection, which can be cut
content.py    whether what came can be the file
part.py       a file on its way: what is there already, and who works on it
origin.py     of which object a part is
regular.py    only regular files are touched
work.py       what the threads share: patience, the bar, the word to stop
"""

from __future__ import annotations

from vdata.fetching.archives import download, verify
from vdata.fetching.work import Patience

__all__ = ["Patience", "download", "verify"]
