"""Imports go down only, and importing vdata costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A file may import from lower floors, and from its own folder.
FLOORS = [
    {"cluster", "compiled", "errors", "key", "meter", "once", "optional", "order", "planes", "pool", "progress", "sizes", "slabs", "urls"},
    {"blend", "executors", "field", "encoded", "remote", "tensors", "batch", "table", "files", "shards"},
    {"annotations", "card", "codecs", "transforms", "seek", "source", "plan", "sharded", "metrics", "elsewhere"},
    {"survey", "rewrite", "reencode", "describe", "fetching", "find", "own", "viz"},
    {"listing", "notebook", "run"},
    {"encoding", "pipe"},
    {"start"},
    {"catalog", "pack"},
    {"loading", "croissant", "measuring", "testing"},
    {"checking", "command_source", "reporting"},
    {"cache_commands", "doctor", "interop", "look_commands", "__main__", "datasets"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
# Within a floor, who may import whom; and the few lazy imports that point up.
SIDEWAYS = {
    ("key", "errors"), ("order", "key"), ("planes", "optional"), ("urls", "errors"), ("cluster", "errors"), ("compiled", "meter"), ("shards", "remote"), ("encoded", "field"), ("batch", "tensors"), ("shards", "field"), ("files", "shards"),
    ("encoded", "files"), ("files", "table"), ("plan", "source"),  ("sharded", "source"), ("rewrite", "survey"), ("describe", "survey"),
    ("__main__", "datasets"), ("__main__", "cache_commands"), ("__main__", "doctor"), ("__main__", "look_commands"),
}  # fmt: skip
UPWARD = {("pipe", "pack"), ("batch", "notebook"), ("card", "notebook")}


def modules():
    for path in sorted((ROOT / "vdata").rglob("*.py")):
        parts = path.relative_to(ROOT / "vdata").with_suffix("").parts
        if parts[0] != "__init__":
            yield parts[0], path
    for path in sorted((ROOT / "datasets").glob("*.py")):
        yield "datasets", path


def imported(path):
    """(first name below vdata, line) of every import of vdata in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "vdata":
            parts = node.module.split(".")
            for name in [parts[1]] if len(parts) > 1 else [a.name for a in node.names]:
                yield name, node.lineno
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "vdata" and len(parts) > 1:
                    yield parts[1], node.lineno


def allowed(here, there):
    if here == there or (here, there) in SIDEWAYS | UPWARD:
        return True
    return FLOOR[there] < FLOOR[here]


@pytest.mark.parametrize("here, path", list(modules()), ids=lambda v: v.name if isinstance(v, Path) else v)
def test_imports_go_down(here, path):
    assert here in FLOOR, f"{path.name} stands on no floor: add it to FLOORS"
    wrong = [f"{path.name}:{line} imports vdata.{there}" for there, line in imported(path) if not allowed(here, there)]
    assert not wrong, "\n".join(wrong)


def test_the_test_can_fail():
    assert not allowed("key", "pipe")
    assert not allowed("plan", "run")


def fresh(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("module", ["vdata", "vdata.shards.manifest", "vdata.shards.tar", "vdata.plan", "vdata.key", "vdata.order", "vdata.files"])
def test_no_torch_below(module):
    out = fresh(f"import {module}, sys; print('torch' in sys.modules)")
    assert out.returncode == 0, out.stderr
    assert out.stdout.strip() == "False"


def test_the_core_never_imports_torchvision():
    code = "import vdata, sys; vdata.open, vdata.load, vdata.viz, vdata.metrics, vdata.transforms; print('torchvision' in sys.modules)"
    assert fresh(code).stdout.strip() == "False"


def test_no_code_from_data():
    """Law 10: nothing in the package unpickles, evaluates, or starts a shell."""
    forbidden = {("pickle", "load"), ("pickle", "loads"), ("torch", "load"), ("os", "system"), ("marshal", "loads"), ("yaml", "load")}
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func
                if isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name):
                    assert (name.value.id, name.attr) not in forbidden, f"{path}:{node.lineno}"
                assert not (isinstance(name, ast.Name) and name.id in ("eval", "exec", "__import__")), f"{path}:{node.lineno}"
                assert not any(k.arg == "shell" for k in node.keywords), f"{path}:{node.lineno}"
                assert not (isinstance(name, ast.Attribute) and name.attr in ("extractall", "extract")), f"{path}:{node.lineno}"
