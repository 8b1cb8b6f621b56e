"""One archive over HTTP: its mirrors in turn, each tried again where that can help, going on where it stopped.

What makes trying again useful (a cut connection, a busy server) is `Again`; what makes a mirror useless is `Refused`.
The rest of a file is asked for on the condition that the server still has the same object, and what comes is compared
with what was asked for: two versions are never spliced.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import shutil
from http import HTTPStatus
from pathlib import Path
from typing import Any

from vdata.card import Archive
from vdata.errors import ChecksumError, DataError, redact
from vdata.fetching.answer import Again, Refused, answer_of, length, settled, spoken, status, strong
from vdata.fetching.content import HEAD, instead, is_packed, page, said_instead
from vdata.fetching.line import Line
from vdata.fetching.origin import Origin
from vdata.fetching.part import Part
from vdata.fetching.work import Patience, Work

UNSAID = 8 << 30  # the most that is taken from a server, where neither it nor the card says how long the file is
_CHUNK = 1 << 18
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class WrongBytes(Refused):
    """It has a file of another content."""


def wanted_digest(archive: Archive) -> tuple[str, str]:
    """(algorithm, digest in hexadecimal): "" where the card knows none."""
    return ("md5", archive.md5.lower()) if archive.md5 and not archive.sha256 else ("sha256", archive.sha256.lower())


def fetch(archive: Archive, path: Path, work: Work, patience: Patience) -> bool:
    """Bring the archive to `path`. False: another process has done so meanwhile. DataError: no mirror has it."""
    with Part(path, wanted_digest(archive)[0]) as part:
        if not part.claim(work.pause, work.seen, patience.seconds):
            return False
        one = _Fetch(archive, part, work, patience)
        refusals: list[tuple[str, Refused]] = []
        for url in archive.urls:
            try:
                return one.bring(url)
            except Refused as why:
                refusals.append((url, why))
    raise _no_mirror(archive, path, refusals)


def _no_mirror(archive: Archive, path: Path, refusals: list[tuple[str, Refused]]) -> DataError:
    kind = ChecksumError if any(isinstance(why, WrongBytes) for _, why in refusals) else DataError
    tried = "".join(f"\n  {redact(url)}: {why}" for url, why in refusals)
    by_hand = f" ({redact(archive.manual)})" if archive.manual else ""
    return kind(f"cannot download {archive.name}:{tried}", do=f"get the file by hand{by_hand} and put it at {path}")


class _Fetch:
    """One archive: its part, and what a mirror may do to it."""

    def __init__(self, archive: Archive, part: Part, work: Work, patience: Patience):
        self.archive, self.part, self.work, self.patience = archive, part, work, patience
        self._expected = archive.bytes
        self._expect(part.origin.total)

    def bring(self, url: str) -> bool:
        """Try one mirror as often as it may help."""
        part, patience = self.part, self.patience
        tries = wrong = 0
        since, part.furthest = patience.clock(), part.size
        before = part.size
        while True:
            try:
                if not part.whole:
                    self._receive(url)
                self._judge()
                return self._publish()
            except WrongBytes:
                self._forget()
                wrong += 1
                if wrong == 2:
                    raise
            except Again as again:
                self.work.go_on()
                if part.furthest - before >= patience.slowest * patience.window:
                    tries, since, before = 0, patience.clock(), part.furthest
                tries += 1
                # Full jitter: processes that failed together do not come back together.
                pause = max(min(again.after, patience.longest), random.SystemRandom().uniform(0, min(60, 2**tries / 2)))
                if tries >= patience.attempts or patience.clock() + pause - since > patience.seconds:
                    raise Refused(f"{again} (attempt {tries} of {patience.attempts})") from None
                self.work.pause(pause)

    def _receive(self, url: str) -> None:
        """One request: the whole file, or the rest of it."""
        headers = self._only_the_rest(url)
        with self.work.line(self.patience.timeout) as line:
            try:
                with answer_of(url, headers, line) as answer:
                    self._take(url, answer, line, rest=bool(headers))
            except http.client.IncompleteRead:
                raise Again(f"the connection was cut at byte {self.part.size}") from None
            except (OSError, http.client.HTTPException) as error:
                raise Again(f"the connection broke at byte {self.part.size} ({spoken(error, line)})") from None

    def _take(self, url: str, answer: Any, line: Line, *, rest: bool) -> None:
        if answer.status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT) and is_packed(self.archive, answer):
            raise Refused("it packs the bytes on the way (Content-Encoding), which was not asked for")
        if answer.status == HTTPStatus.PARTIAL_CONTENT and rest:
            self._compare(answer)
        elif answer.status == HTTPStatus.OK:
            with line.hearing():
                head = answer.peek(HEAD)
            self._begin(url, answer, head)
        else:
            return self._no_rest(answer)
        self._read(answer, line)

    # -- what is asked for, and what comes -----------------------------------------------------------------------------

    def _only_the_rest(self, url: str) -> dict[str, str]:
        """Headers that ask for the rest of the same object; none where it cannot be told whether it is the same."""
        origin = self.part.origin
        if not self.part.size or origin.url != redact(url) or not origin.stable:
            return {}
        same = {"If-Match": origin.etag} if origin.etag else {"If-Range": origin.modified}
        return {"Range": f"bytes={self.part.size}-", **same}

    def _compare(self, answer: Any) -> None:
        """Is this the rest of the same object?"""
        part = self.part
        said = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        start, last, total = map(int, said.groups()) if said else (-1, -1, -1)
        fits = start == part.size <= last < total and part.origin.total in (None, total)
        if not fits or length(answer) not in (None, last + 1 - start) or not self._same_version(answer):
            self._forget()
            raise Again("the server sends another part, or of another version, than was asked for")
        part.origin = part.origin._replace(total=total)

    def _same_version(self, answer: Any) -> bool:
        origin = self.part.origin
        if origin.etag:
            return answer.headers.get("ETag") == origin.etag
        return answer.headers.get("Last-Modified") == origin.modified

    def _no_rest(self, answer: Any) -> None:
        """412: it has changed; 416: nothing is left, or it has become shorter."""
        whole = answer.headers.get("Content-Range") == f"bytes */{self.part.size}"
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and whole and self.part.origin.total is None:
            if answer.headers.get("ETag", self.part.origin.etag) == self.part.origin.etag:
                return self.part.finish()
        self._forget()
        raise Again(f"the file has changed on the server, or it has no such part ({status(answer.status)})")

    def _begin(self, url: str, answer: Any, head: bytes) -> None:
        """The whole file comes: is it the one, and is there room?"""
        archive, total = self.archive, length(answer)
        said = said_instead(archive.name, answer)
        if said and (not total or total != archive.bytes):
            raise _not_the_file(said)
        if page(archive.name, head):
            raise _not_the_file("a web page")
        if total == 0:
            raise Refused("the server has an empty file")
        if archive.bytes and total not in (None, archive.bytes):
            raise Refused(f"the server has {total} bytes, the file should have {archive.bytes}")
        chunked = "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
        if total is None and not chunked and not archive.bytes and not wanted_digest(archive)[1]:
            raise Refused("nobody says how long the file is: a cut one could not be told from a whole one")
        self._forget()
        self._expect(total)
        total = total or archive.bytes or None
        expect_room(self.part.path.parent, total or 0)
        self.part.begin(Origin(redact(url), strong(answer.headers.get("ETag")), settled(answer), total))

    def _read(self, answer: Any, line: Line) -> None:
        part, patience = self.part, self.patience
        most = part.origin.total or UNSAID
        since, mark = patience.clock(), part.size
        while data := _piece(answer, line):
            if part.size + len(data) > most:
                self._forget()
                raise Refused(f"the server sends more than {most} bytes")
            part.write(data)
            part.save(every=patience.save)
            self.work.seen(len(data))
            spent = patience.clock() - since
            if spent >= patience.window:
                if part.size - mark < patience.slowest * spent:
                    raise Again(f"only {part.size - mark} bytes came in {spent:.0f} seconds")
                since, mark = patience.clock(), part.size
        if part.origin.total is None:
            part.finish()
        if not part.whole:
            raise Again(f"the connection was cut at byte {part.size} of {part.origin.total}")

    # -- when it is whole ----------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        part, archive = self.part, self.archive
        if what := instead(archive.name, part.head(HEAD)):
            self._forget()
            raise _not_the_file(what)
        if archive.bytes and part.size != archive.bytes:
            raise WrongBytes(f"it has {part.size} bytes, and should have {archive.bytes}")
        algorithm, digest = wanted_digest(archive)
        if digest and part.digest != digest:
            raise WrongBytes(f"wrong bytes came twice: their {algorithm} is {part.digest}, and should be {digest}")

    def _publish(self) -> bool:
        if self.part.publish():
            return True
        if os.path.lexists(self.part.path):
            return False
        self._forget()
        raise Again("another process has removed the part")

    def _forget(self) -> None:
        self.work.seen(-self.part.forget())

    def _expect(self, total: int | None) -> None:
        """The bar counts on this many bytes; the card did not say, or a mirror has another number."""
        if total and not self.archive.bytes:
            self.work.expect(total - self._expected)
            self._expected = total


def _piece(answer: Any, line: Line) -> bytes:
    """What has come; nothing at the end of the answer, which is not where the line was cut."""
    with line.hearing():
        data = answer.read1(_CHUNK)
    line.check()
    return data


def _not_the_file(what: str) -> Refused:
    return Refused(f"{what} instead of the file: the server wants a login, or the link is dead")


def expect_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        why = f"no room for the download: {needed:,} bytes are needed, {free:,} are free"
        raise DataError(why, url=str(folder), do="make room, or choose another folder")
