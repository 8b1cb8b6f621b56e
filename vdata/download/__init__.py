"""Archives from the servers of their authors, whole and right under their names, or not there at all.

archives.py   `download` brings several at once; `verify` checks one
fetch.py      one archive over HTTP: mirrors, resuming, trying again
answer.py    one request over HTTP, and what its answer means
part.py       a file on its way: what is there already, of which object, and who works on it
work.py      what the threads share: patience, the bar, the word to stop
"""

from __future__ import annotations

from vdata.download.archives import download, verify
from vdata.download.work import Patience

__all__ = ["Patience", "download", "verify"]
