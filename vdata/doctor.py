"""`vdata doctor`: what a bug report needs. Each question is asked by itself: where one fails, its line says so and the others follow."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path

import click

from vdata.errors import redact
from vdata.sizes import in_words

_DISTRIBUTION = "vdata-vision"
# What is used where it is there, beside what the distribution names.
_BESIDE = (
    "torchvision", "obstore", "huggingface_hub", "ray", "nvidia-nvimgcodec-cu13", "opencv-python", "isal", "lightning", "accelerate", "transformers", "timm",
)  # fmt: skip
_TOOLS = ("build", "hypothesis", "pyright", "pytest", "pytest-timeout", "ruff")  # of tests, which no bug is of
_SAID = ("VDATA_HOME", "VDATA_CACHE", "VDATA_CACHE_LIMIT", "VDATA_PROGRESS")  # these hold no secret; of others the name is said alone
_LAUNCHER = ("OMP_NUM_THREADS", "RANK", "WORLD_SIZE", "LOCAL_RANK", "CUDA_VISIBLE_DEVICES")


@click.command()
def doctor() -> None:
    """What a bug report needs: versions of everything that matters, the machine, the caches, the environment.

    It holds no credentials: of environment variables that it does not know it says the names alone.
    """
    for line in examination():
        click.echo(line)


def examination() -> Iterator[str]:
    """The lines, one question after the other."""
    for name, ask in _QUESTIONS.items():
        try:
            answers = list(ask())
        except Exception as error:  # broken installations raise what they like, and are what is looked for
            answers = [f"could not be found out: {redact(f'{type(error).__name__}: {error}')}"]
        for n, answer in enumerate(answers):
            yield f"{'' if n else name:<12}{answer}"


def _vdata() -> Iterator[str]:
    import vdata

    yield f"{vdata.__version__} in {Path(vdata.__file__).parent}"
    try:
        installed = metadata.version(_DISTRIBUTION)
        if installed != vdata.__version__:
            yield f"installed is {installed}: another one than is imported"
    except metadata.PackageNotFoundError:
        yield "it is imported from a checkout that is not installed: pip install -e . in it"


def _python() -> Iterator[str]:
    yield f"{platform.python_version()} ({platform.python_implementation()}) in {sys.prefix}"


def _system() -> Iterator[str]:
    yield platform.platform()


def _cpu() -> Iterator[str]:
    model = ""
    if os.path.exists("/proc/cpuinfo"):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        model = f"  {found[1]}" if found else ""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield f"{os.cpu_count()} cores, {ours} of them for this process  {platform.machine()}{model}"
    yield from _limit("/sys/fs/cgroup/cpu.max", "CPU time")


def _memory() -> Iterator[str]:
    pages, free, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    yield f"{in_words(pages * size)}, {in_words(free * size)} unused"
    yield from _limit("/sys/fs/cgroup/memory.max", "memory")
    if os.path.isdir("/dev/shm"):
        yield f"/dev/shm {in_words(shutil.disk_usage('/dev/shm').total)}, {in_words(shutil.disk_usage('/dev/shm').free)} free"


def _limit(path: str, what: str) -> Iterator[str]:
    """A container's limit, where there is one."""
    if os.path.exists(path) and not (said := Path(path).read_text().strip()).startswith("max"):
        yield f"{what} is limited to {in_words(int(said)) if said.isdigit() else said}"


def _needed() -> Iterator[str]:
    for name in _names(extra=False):
        yield _version(name) or f"{name} is NOT INSTALLED"


def _optional() -> Iterator[str]:
    there, absent = [], []
    for name in sorted({*_names(extra=True), *_BESIDE} - {*_names(extra=False), *_TOOLS}):
        found = _version(name)
        (there if found else absent).append(found or name)
    yield from there
    yield f"not installed: {', '.join(absent)}"


def _names(*, extra: bool) -> list[str]:
    """Packages that the distribution names: those that it needs, or those of its extras."""
    try:
        told = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        told = [] if extra else ["numpy", "pillow", "torch", "torchdata", "fsspec", "webdataset"]
    found = [re.match(r"[A-Za-z0-9._-]+", line) for line in told if ("extra ==" in line) is extra]
    return list(dict.fromkeys(match[0].lower() for match in found if match))


def _version(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return ""


def _pictures() -> Iterator[str]:
    from PIL import features

    turbo = features.check_feature("libjpeg_turbo")
    yield f"Pillow decodes JPEG with {'libjpeg-turbo' if turbo else 'libjpeg (not turbo: several times slower)'} {features.version('libjpeg_turbo' if turbo else 'jpg')}"
    yield f"WebP {features.version('webp') or 'is not supported'}, zlib {features.version('zlib')}"


def _turbo() -> Iterator[str]:
    from vdata.codecs.turbo import nvimgcodec
    from vdata.compiled import numba
    from vdata.optional import inflater, opencv

    cv2, codec, compiler = opencv(), nvimgcodec(), numba()
    yield f"OpenCV {'works: ' + cv2.__version__ if cv2 else 'cannot be loaded'}"
    yield f"nvImageCodec {'works: ' + codec.__version__ if codec else 'cannot be loaded'}"
    yield f"numba {'works: ' + compiler.__version__ if compiler else 'cannot be loaded'}"
    yield f"isal {'cannot be loaded: zlib inflates PNGs' if inflater() is zlib else 'works'}"


def _torch() -> Iterator[str]:
    import torch

    yield f"{torch.__version__}, {torch.get_num_threads()} threads, CUDA {torch.version.cuda or 'not built in'}"
    if not torch.cuda.is_available():
        yield "no CUDA device"
    for n in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(n)
        yield f"cuda:{n} {about.name}, {in_words(about.total_memory)}, compute {about.major}.{about.minor}"


def _datasets() -> Iterator[str]:
    from vdata.catalog import home, list_datasets

    place = home()
    here = [name for name in list_datasets() if any((place / name).glob("*"))]
    yield f"{_place(str(place))}; here: {', '.join(here) or 'none'}"


def _cache() -> Iterator[str]:
    from vdata.shards.upkeep import default_root, entries

    place = default_root()
    held = entries(place) if os.path.isdir(place) else []
    yield f"{_place(place)}; {len(held)} files of {in_words(sum(one.bytes for one in held))}"


def _place(place: str) -> str:
    """A folder, whether it can be written to, and the room on its disk."""
    folder = Path(place).absolute()
    there = next(p for p in (folder, *folder.parents) if p.exists())
    state = "" if folder.is_dir() else " is no folder" if folder.exists() else " (not made yet)"
    may = "" if os.access(there, os.W_OK) else ", cannot be written to"
    return f"{redact(place)}{state}{may}, {in_words(shutil.disk_usage(there).free)} free on its disk"


def _environment() -> Iterable[str]:
    known = [f"{name}={redact(os.environ[name])}" for name in (*_SAID, *_LAUNCHER) if name in os.environ]
    others = [f"{name} is set" for name in sorted(os.environ) if name.startswith("VDATA_") and name not in _SAID]
    return [*known, *others] or ["no variable of vdata's or of a launcher is set"]


_QUESTIONS: dict[str, Callable[[], Iterable[str]]] = {
    "vdata": _vdata, "python": _python, "system": _system, "cpu": _cpu, "memory": _memory, "torch": _torch, "pictures": _pictures,
    "turbo": _turbo, "needs": _needed, "optional": _optional, "datasets": _datasets, "cache": _cache, "environment": _environment,
}  # fmt: skip
