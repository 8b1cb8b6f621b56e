"""What becomes of a shard when the network or the disk fails: vdata beside webdataset and fsspec's caches, on one server, by one command.

    python benchmarks/faults.py                  # the table of docs/faults.md, in about ten minutes
    python benchmarks/faults.py --write          # into docs/faults.md

One shard of 40 samples is served from the loopback with one fault at a time. Each cell is a process of its own, with 25 seconds. It says what a
training loop would have got: "right" (every sample, byte for byte), "error" (and whether a second try in the same cache is right), or in
capitals what nobody would have noticed: samples LOST, WRONG or TORN without an error. What takes longer HANGS.

Not like for like: vdata reads with a manifest, which the others have not; `vdata, foreign` is the same tar without one.
Peers run as their documentation shows them. Waits of vdata are shortened (2 s of silence instead of 30) so that the table is done soon.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

SAMPLES = 40
SECONDS = 25


def content(seed: int = 0) -> dict[str, dict[str, bytes]]:
    """The samples, as they were written; of another seed: those that take their place in `replaced midway`."""
    import random

    chance = random.Random(seed)
    return {f"{n:04d}": {"image.bin": chance.randbytes(6000 + 100 * n), "label.cls": str(n).encode()} for n in range(SAMPLES)}


# -- clients: read everything at a URL, return {key: {extension: bytes}} ---------------------------------------------------


def _vdata(url: str, cache: str) -> dict[str, dict[str, bytes]]:
    import vdata
    from vdata.remote import http
    from vdata.remote.patience import Patience

    http.PATIENCE = Patience(attempts=4, seconds=15, quiet=2)
    pipe = vdata.open(url, cache=cache)
    source = pipe.plan.source
    fields = {"image": "image.bin", "label": "label.cls", "image.bin": "image.bin", "label.cls": "label.cls"}
    return {s["__key__"]: {fields[n]: bytes(v.data) for n, v in s.items() if not n.startswith("__")} for s in map(source.read, range(len(source)))}


def with_manifest(url: str, cache: str) -> dict[str, dict[str, bytes]]:
    return _vdata(url.rpartition("/")[0], cache)


def foreign(url: str, cache: str) -> dict[str, dict[str, bytes]]:
    return _vdata(url, cache)


def webdataset(url: str, cache: str) -> dict[str, dict[str, bytes]]:
    import webdataset as wds

    return {s["__key__"]: {k: v for k, v in s.items() if not k.startswith("__")} for s in wds.WebDataset(url, shardshuffle=False)}


def webdataset_cached(url: str, cache: str) -> dict[str, dict[str, bytes]]:
    import webdataset as wds

    return {s["__key__"]: {k: v for k, v in s.items() if not k.startswith("__")} for s in wds.WebDataset(url, shardshuffle=False, cache_dir=cache)}


def _fsspec(kind: str) -> Callable[[str, str], dict[str, dict[str, bytes]]]:
    def read(url: str, cache: str) -> dict[str, dict[str, bytes]]:
        import fsspec

        out: dict[str, dict[str, bytes]] = {}
        with fsspec.open(f"{kind}::{url}", **{kind: {"cache_storage": cache}}) as file, tarfile.open(fileobj=io.BytesIO(file.read()), mode="r|") as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                out.setdefault(key, {})[extension] = tar.extractfile(member).read()  # type: ignore[union-attr]
        return out

    return read


CLIENTS: dict[str, Callable[[str, str], dict[str, dict[str, bytes]]]] = {
    "vdata": with_manifest,
    "vdata, foreign": foreign,
    "webdataset": webdataset,
    "webdataset, cache": webdataset_cached,
    "simplecache": _fsspec("simplecache"),
    "filecache": _fsspec("filecache"),
    "blockcache": _fsspec("blockcache"),
}


# -- faults ----------------------------------------------------------------------------------------------------------------


def faults(shard: bytes, other: bytes) -> dict[str, tuple[bytes, list, str]]:
    """name -> (the shard as it lies there, faults of the server, what it is)."""
    from tests.faultserver import ALWAYS, Fault

    members = [at for at in range(0, len(shard), 512) if shard[at + 257 : at + 262] == b"ustar"]
    middle, pair = members[len(members) // 2 // 2 * 2], members[len(members) // 2 // 2 * 2 + 1]
    flipped, rotten = bytearray(shard), bytearray(shard)
    flipped[middle + 124] ^= 1
    rotten[middle + 512 + 1000] ^= 1
    return {
        "none": (shard, [], "the server as it should be"),
        "cut (FIN)": (shard, [Fault(cut=50_000, times=2)], "the connection ends after 50 kB of the first two answers"),
        "reset (RST)": (shard, [Fault(cut=50_000, reset=True, times=2)], "the same with a reset"),
        "stall": (shard, [Fault(cut=50_000, stall=True, times=2)], "nothing more comes after 50 kB of the first two answers, and the connection stays open"),
        "cut, always": (shard, [Fault(cut=50_000, times=ALWAYS)], "every answer ends after 50 kB at most"),
        "503, Retry-After": (shard, [Fault(status=503, headers={"Retry-After": "1"}, times=2)], "two refusals, then as it should be"),
        "wrong bytes": (shard, [Fault(flip=middle + 512 + 1000, times=ALWAYS)], "one bit of a picture differs, at each reading"),
        "replaced midway": (shard, [Fault(cut=50_000, becomes=other)], "another shard of the same length, with another ETag, after a cut at 50 kB"),
        "HTML page": (shard, [Fault(status=200, body=b"<!DOCTYPE html><html>Sign in</html>", headers={"Content-Type": "text/html"}, times=ALWAYS)], "a page that asks to sign in, with status 200"),
        "endless body": (shard, [Fault(endless=True, length="none", times=ALWAYS)], "the answer never ends"),
        "cut at a member": (shard[:middle], [], "the file itself ends at a member's border"),
        "cut in a sample": (shard[:pair], [], "the file ends between two files of one sample"),
        "header bit": (bytes(flipped), [], "one bit of a header is flipped in the file"),
        "data bit": (bytes(rotten), [], "one bit of a picture is flipped in the file"),
    }


# -- one cell --------------------------------------------------------------------------------------------------------------


def judge(client: str, url: str, cache: str) -> str:
    """What came of reading once, and after an error once more."""
    verdict = _once(client, url, cache)
    if verdict.startswith("error"):
        again = _once(client, url, cache)
        if not again.startswith("error"):
            verdict += f"; again: {again}"
    return verdict


def _once(client: str, url: str, cache: str) -> str:
    true = content()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = CLIENTS[client](url, cache)
    except Exception as error:
        return f"error ({type(error).__name__})"
    if got == content(1):
        return "the new one, whole"
    lost = sum(key not in got for key in true)
    torn = sum(key in got and set(got[key]) != set(parts) for key, parts in true.items())
    wrong = sum(key not in true or any(true[key].get(e) != data for e, data in parts.items()) for key, parts in got.items())
    found = [f"{count} {what}" for count, what in ((lost, "LOST"), (torn, "TORN"), (wrong, "WRONG")) if count]
    return ", ".join(found) or "right"


def cell(client: str, name: str, folder: Path) -> str:
    """One client and one fault, in a process of its own."""
    from tests.faultserver import serve

    shard = (folder / "packed/shard-000000.tar").read_bytes()
    other = (folder / "other/shard-000000.tar").read_bytes()
    data, broken, _ = faults(shard, other)[name]
    served = folder / "served"
    served.mkdir(exist_ok=True)
    for file in ("manifest.json", "manifest.bin"):
        (served / file).write_bytes((folder / "packed" / file).read_bytes())
    (served / "shard-000000.tar").write_bytes(data)
    with serve(served, {"shard-000000.tar": broken}) as server, tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, "--one", client, server.url("shard-000000.tar"), cache]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, "OMP_NUM_THREADS": "1"})
        except subprocess.TimeoutExpired:
            return f"HANGS (> {SECONDS} s)"
        return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else f"crash: {done.stderr.strip().splitlines()[-1][:80]}"


def write_shards(folder: Path) -> None:
    from vdata.shards.write import ShardWriter

    for name, seed in (("packed", 0), ("other", 1)):
        with ShardWriter(str(folder / name)) as writer:
            for key, parts in content(seed).items():
                writer.write(key, {"image": ("bin", parts["image.bin"]), "label": ("cls", parts["label.cls"])})


def table(rows: dict[str, dict[str, str]], explained: dict[str, str]) -> str:
    lines = ["| fault | " + " | ".join(CLIENTS) + " |", "|---" * (len(CLIENTS) + 1) + "|"]
    for name, cells in rows.items():
        marked = [f"**{c}**" if any(w in c for w in ("LOST", "TORN", "WRONG", "HANGS")) else c for c in cells.values()]
        lines.append(f"| {name}: {explained[name]} | " + " | ".join(marked) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--one", nargs=3, metavar=("CLIENT", "URL", "CACHE"), help=argparse.SUPPRESS)
    parser.add_argument("--only", help="only faults whose name holds this")
    parser.add_argument("--write", action="store_true", help="put the table into docs/faults.md")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.one:
        print(judge(*given.one))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_shards(folder)
        shard = (folder / "packed/shard-000000.tar").read_bytes()
        explained = {name: what for name, (_, _, what) in faults(shard, shard).items()}
        rows: dict[str, dict[str, str]] = {}
        for name in explained:
            if given.only and given.only not in name:
                continue
            rows[name] = {client: cell(client, name, folder) for client in CLIENTS}
            print(f"{name:18} " + " | ".join(rows[name].values()), file=sys.stderr, flush=True)
    text = json.dumps(rows, indent=1) if given.json else table(rows, explained)
    print(text)
    if given.write:
        page = ROOT / "docs/faults.md"
        before, mark, _ = page.read_text().partition("<!-- table -->\n")
        page.write_text(before + mark + "\n" + text + "\n")


if __name__ == "__main__":
    main()
