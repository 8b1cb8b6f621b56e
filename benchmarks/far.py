"""What distance costs: one loop over JPEG shards from a local disk, and over HTTP with 50 ms a request and 100 MB/s, without cache, cold, warm.

    python benchmarks/far.py --photos FOLDER        # of ordinary JPEGs; else photographs that scikit-image brings are taken

One decoding thread, so that the server has a core of its own; A B A B, medians. Decode is the bottleneck: what is lost is what latency costs.
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import vdata  # noqa: E402
from vdata import transforms as T  # noqa: E402
from vdata.shards.write import ShardWriter  # noqa: E402


def photographs(folder: str | None) -> list[bytes]:
    if folder:
        return [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]
    import skimage.data
    from PIL import Image

    out = []
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        data = io.BytesIO()
        Image.fromarray(getattr(skimage.data, name)()).save(data, "JPEG", quality=90)
        out.append(data.getvalue())
    return out


def write(folder: Path, photos: list[bytes], count: int) -> None:
    with ShardWriter(str(folder), samples_per_shard=250) as writer:
        for n in range(count):
            writer.write(f"{n:06d}", {"image": ("jpg", photos[n % len(photos)]), "label": ("cls", b"1")})


def once(url: str, shuffled: bool, cache: bool | str) -> tuple[float, float, float]:
    """(samples a second of the whole run, after the first batch, seconds to the first batch)."""
    pipe = vdata.open(url, cache=cache)
    pipe = (pipe.shuffle(seed=0) if shuffled else pipe).apply(T.RandomResizedCrop(224)).batch(32)
    began, first, count = time.perf_counter(), 0.0, 0
    for batch in pipe.loader(workers=1):
        first = first or time.perf_counter() - began
        count += batch.size
    spent = time.perf_counter() - began
    return count / spent, (count - 32) / (spent - first), first


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, cache = Path(place) / "shards", Path(place) / "cache"
        write(folder, photographs(given.photos), given.samples)
        command = [sys.executable, str(ROOT / "tests/faultserver.py"), str(folder), "--latency", "0.05", "--rate", "100e6"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            far = f"http://127.0.0.1:{server.stdout.readline().split()[-1]}"
            for shuffled in (False, True):
                rows: dict[str, list[tuple[float, float, float]]] = {"local": [], "http, no cache": [], "http, cold": [], "http, warm": []}
                once(str(folder), shuffled, False)  # everything is imported and in memory
                for _ in range(given.rounds):
                    shutil.rmtree(cache, ignore_errors=True)
                    rows["local"].append(once(str(folder), shuffled, False))
                    rows["http, no cache"].append(once(far, shuffled, False))
                    rows["http, cold"].append(once(far, shuffled, str(cache)))
                    rows["http, warm"].append(once(far, shuffled, str(cache)))
                base = [statistics.median(r[i] for r in rows["local"]) for i in range(2)]
                print(f"{'shuffled' if shuffled else 'in order':16}  whole run /s   of local   then /s   of local   first batch s")
                for name, found in rows.items():
                    whole, after, first = (statistics.median(r[i] for r in found) for i in range(3))
                    print(f"{name:16}  {whole:12.1f}   {whole / base[0]:8.2f}   {after:7.1f}   {after / base[1]:8.2f}   {first:13.2f}", flush=True)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
