"""Every case side by side with the peers that are installed: `python benchmarks/bench.py` (or `make bench`).

    python benchmarks/bench.py --photos FOLDER            # of ordinary photographs; else packaged ones are cut
    python benchmarks/bench.py --case a1 c1 --peers vdata,dali --rounds 5 --json figures.json --plot figures.png
    python benchmarks/bench.py --quick                    # one round of everything over tiny data: does it run?

Each run of a peer is a fresh process, and the peers of a case take turns: A B C, A B C, A B C. A figure is the median of the rounds; a ratio is
taken inside each round, then the median. What is not like for like stands under the table; who cannot run here is named.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import pkgutil
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

HERE = Path(__file__).parent
LOOKS = 0.05  # seconds between two looks at the memory of a run
DEADLINE = 600.0  # seconds that one run may take
LIBRARIES = ("torch", "torchvision", "nvidia-dali-cuda130", "ffcv", "webdataset", "albumentations", "kornia", "grain", "torchdata", "opencv-python-headless", "numpy", "pillow")

Run = dict[str, Any]


def names() -> list[str]:
    """All modules of `cases`, but those that others share."""
    return sorted(found.name for found in pkgutil.iter_modules(importlib.import_module("cases").__path__) if not found.name.startswith("_"))


def load(name: str) -> ModuleType:
    return importlib.import_module(f"cases.{name}")


# -- one run -------------------------------------------------------------------------------------------------------------


def run(case: str, peer: str, folder: Path, quick: bool) -> Run:
    """What `measure.py` says of one peer, and its greatest memory; or {"failed": its last words}."""
    command = [sys.executable, str(HERE / "measure.py"), case, peer, str(folder), *(["--quick"] if quick else [])]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen([*command, "--since", str(time.monotonic())], stdout=out, stderr=err, start_new_session=True)
        try:
            memory = greatest_memory(process)
        finally:
            stop(process)
        out.seek(0)
        err.seek(0)
        said, complaints = out.read().strip().splitlines(), err.read().strip().splitlines()
    if memory is None:
        return {"failed": f"not done after {DEADLINE:.0f} s"}
    if process.returncode or not said:
        return {"failed": complaints[-1] if complaints else f"ended with {process.returncode} and said nothing"}
    return {**json.loads(said[-1]), "memory": memory / 1e6}


def greatest_memory(process: subprocess.Popen[bytes]) -> int | None:
    """Bytes resident in `process` and all that descend from it, looked at until it ends; None if it does not in time. Shared pages count in each."""
    greatest, began, family = 0, time.monotonic(), [psutil.Process(process.pid)]
    for look in range(int(DEADLINE / LOOKS)):
        if process.poll() is not None:
            return greatest
        try:
            if look % 5 == 0:  # who descends from whom is asked of all processes of the machine: dearer than to look at a few
                family = [family[0], *family[0].children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        greatest = max(greatest, sum(map(resident, family)))
        time.sleep(max(0.0, began + (look + 1) * LOOKS - time.monotonic()))
    return None


def resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def stop(process: subprocess.Popen[bytes]) -> None:
    """The session of a run, workers that it left included."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# -- rounds --------------------------------------------------------------------------------------------------------------


def rounds(case: str, peers: list[str], folder: Path, count: int, quick: bool) -> dict[str, list[Run]]:
    """The runs of each peer, round by round. Who is missing is not asked again."""
    runs: dict[str, list[Run]] = {peer: [] for peer in peers}
    for number in range(count):
        for peer, before in runs.items():
            if not (before and "missing" in before[0]):
                print(f"\r{case} {peer} {number + 1}/{count}".ljust(60), end="", file=sys.stderr, flush=True)
                before.append(run(case, peer, folder, quick))
    print("\r".ljust(61) + "\r", end="", file=sys.stderr, flush=True)
    return runs


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summary(runs: dict[str, list[Run]]) -> dict[str, Any]:
    """Per peer its figures as spreads, and how many times faster vdata was in the same rounds."""
    out: dict[str, Any] = {}
    for peer, took in runs.items():
        good = [r for r in took if "rate" in r]
        if not good:
            out[peer] = {why: took[-1][why] for why in ("missing", "failed") if why in took[-1]}
            continue
        out[peer] = {what: spread([r[what] for r in good]) for what in ("rate", "cpu", "memory", "first")}
        bad = [r["failed"] for r in took if "failed" in r]
        if bad:
            out[peer]["failed"] = f"{len(bad)} of {len(took)} runs: {bad[-1]}"
        pairs = [o["rate"] / r["rate"] for o, r in zip(runs.get("vdata", []), took) if "rate" in o and "rate" in r]
        if pairs and peer != "vdata":
            out[peer]["ratio"] = spread(pairs)
    return out


# -- what is printed -----------------------------------------------------------------------------------------------------


def digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ranged(values: dict[str, float], show: Any = digits) -> str:
    return f"{show(values['median'])} [{show(values['min'])}-{show(values['max'])}]"


def ratio(value: float) -> str:
    return f"{value:.2f}"


def table(name: str, module: ModuleType, figures: dict[str, Any]) -> str:
    unit = module.UNIT
    lines = [f"{name.upper()}  {module.TITLE}", f"  {'':16}{unit + '/s':24}{'vdata / peer':22}{'must':>6}{'stretch':>9}{'CPU s/1,000':>13}{'MB':>8}{'first s':>9}"]
    for peer, found in figures.items():
        if "rate" not in found:
            why = "missing" if "missing" in found else "FAILED"
            lines.append(f"  {peer:16}{why}: {found[why.lower()]}")
            continue
        faster = ranged(found["ratio"], ratio) if "ratio" in found and module.MUST else ""
        must, stretch = (f"{aim[peer]:g}" if peer in aim else "" for aim in (module.MUST, module.STRETCH))
        rest = f"{found['cpu']['median']:>13.3g}{found['memory']['median']:>8,.0f}{found['first']['median']:>9.2f}"
        lines.append(f"  {peer:16}{ranged(found['rate']):24}{faster:22}{must:>6}{stretch:>9}{rest}  {verdict(module, peer, found)}".rstrip())
        if "failed" in found:
            lines.append(f"  {'':16}FAILED in {found['failed']}")
    for what, (must, stretch) in getattr(module, "AT_MOST", {}).items():
        if "rate" in figures.get("vdata", {}):
            reached = value_of(figures["vdata"], what)
            lines.append(f"  vdata's own {what}: {digits(reached)}, must be at most {must:g}, stretch {stretch:g}: {judged(reached <= must, reached <= stretch)}")
    lines += [f"  - {peer}: {note}" for peer, note in module.NOTES.items()]
    return "\n".join(lines)


def value_of(found: dict[str, Any], what: str) -> float:
    """A median; "us" is microseconds a sample."""
    return 1e6 / found["rate"]["median"] if what == "us" else found[what]["median"]


def judged(must: bool, stretch: bool) -> str:
    return "stretch reached" if stretch else "must reached" if must else "NOT REACHED"


def verdict(module: ModuleType, peer: str, found: dict[str, Any]) -> str:
    if peer not in module.MUST or "ratio" not in found:
        return ""
    reached = found["ratio"]["median"]
    return judged(reached >= module.MUST[peer], reached >= module.STRETCH.get(peer, float("inf")))


def machine() -> dict[str, Any]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return {"cores": len(os.sched_getaffinity(0)), "processor": processor(), "python": platform.python_version(), "libraries": found}


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    named = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] if cpuinfo.exists() else []
    return named[0] if named else platform.machine()


# -- the command ---------------------------------------------------------------------------------------------------------


def place_for(base: Path, photos: Path | None, quick: bool) -> Path:
    """Data made of other photographs lies in another folder."""
    which = "packaged"
    if photos is not None:
        listing = sorted((p.name, p.stat().st_size) for p in photos.iterdir())
        which = hashlib.sha256(repr(listing).encode()).hexdigest()[:12]
    return base / (which + ("-quick" if quick else ""))


def warm(folder: Path) -> None:
    """All data in the page cache, for everybody."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.read_bytes()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", type=str.lower, choices=names(), default=names(), metavar="CASE", help=f"of {', '.join(names())}")
    parser.add_argument("--peers", type=lambda text: text.split(","), help="only these, as in vdata,dali")
    parser.add_argument("--photos", type=Path, help="a folder of JPEG files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round over tiny data: does it run?")
    parser.add_argument("--check", action="store_true", help="first see that all peers deliver the same kind of thing (the tests do)")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--plot", type=Path, help="draw them there")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "vdata-bench", help="where data is made and kept (%(default)s)")
    parser.add_argument("--list", action="store_true", help="what there is to measure")
    return parser.parse_args()


def compared(name: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """A case measured, and its table printed."""
    module = load(name)
    module.prepare(folder, given.photos, given.quick)
    if given.check and hasattr(module, "CHECK"):
        module.CHECK(folder)
    warm(folder)
    peers = [peer for peer in module.PEERS if given.peers is None or peer in given.peers]
    runs = rounds(name, peers, folder, 1 if given.quick else given.rounds, given.quick)
    figures = summary(runs)
    more = module.FIGURES(folder, given.quick) if hasattr(module, "FIGURES") else {}
    print(table(name, module, figures), *(f"  {what}: {said}" for what, said in more.items()), sep="\n", end="\n\n", flush=True)
    aims = {"must": module.MUST, "stretch": module.STRETCH, "at_most": getattr(module, "AT_MOST", {})}
    return {"title": module.TITLE, "unit": module.UNIT, **aims, "notes": module.NOTES, "figures": figures, "more": more, "runs": runs}


def main() -> None:
    given = parsed()
    if given.list:
        for name in given.case:
            print(f"{name:10}{load(name).TITLE}\n{'':10}{', '.join(load(name).PEERS)}")
        return
    folder = place_for(given.folder, given.photos, given.quick)
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    broken: list[str] = []
    for name in given.case:
        try:
            results[name] = compared(name, folder, given)
        except Exception:  # its data or its check: the other cases can be measured all the same
            traceback.print_exc()
            broken.append(name)
    everything = {"machine": machine(), "quick": given.quick, "cases": results}
    if given.json:
        given.json.write_text(json.dumps(everything, indent=1) + "\n")
    if given.plot:
        from plot import draw

        draw(everything, given.plot)
    if broken:
        sys.exit(f"not measured, for the reasons above: {', '.join(broken)}")


if __name__ == "__main__":
    main()
