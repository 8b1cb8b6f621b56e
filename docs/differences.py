"""Write docs/torchvision.md: where vdata's transforms differ from torchvision's, read from the tests that show it.

    python docs/differences.py          # writes the page
    python docs/differences.py --check  # exits with 1 if the page is not what the tests say

A test shows a difference with `@pytest.mark.differs(name, torchvision, vdata)`; without the mark there is no line, and a
line whose test fails cannot stay.
"""

import argparse
import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "torchvision.md"
HEAD = """# Porting from torchvision.transforms.v2

Change the import: `from vdata import transforms as T`. Every public transform of torchvision 0.29's `transforms.v2` is here
under its name, with its arguments and defaults, and so are the functionals (`vdata.transforms.functional`). Where torchvision is
right, the tests hold vdata to its pixels: to the bit for colours, flips, crops and resizes, to one grey level for warps.

Beyond the lines below: classes are frozen values, not modules (no `.eval()`, no `get_params`; a transform of one's own defines `draw` and `place`,
`change` or `mix`). Kernels by type (`resize_image`, `resize_mask`, ...) are no names of their own: the verb `resize` takes any type. Some classes take more
arguments after torchvision's: `fuse` and `passthrough` (Compose), `geometric` (the policies), `instances` (what drops objects), `frames` (RandomErasing),
`along` and `still` (UniformTemporalSubsample), `p` (MixUp, CutMix); spatial verbs take `target`, the second frame's arguments of a flow.

What differs, and why it must: each line below is shown by the test beside it, on the same input, with torchvision installed.
This page is written by `docs/differences.py` from those tests.

| transform | torchvision 0.29 | vdata | shown by |
|---|---|---|---|
"""


def differences():
    """(name, torchvision, vdata, test) of every mark, in the order of names."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.differs":
                        texts = [ast.literal_eval(a) for a in mark.args]
                        found.append((*texts, f"`{path.relative_to(ROOT)}::{node.name}`"))
    return sorted(found, key=lambda line: (line[0].lower(), line))


def page():
    """The whole page."""
    lines = ["| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in line) + " |" for line in differences()]
    return HEAD + "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether the page is current")
    if parser.parse_args().check:
        if not PAGE.exists() or PAGE.read_text() != page():
            sys.exit("docs/torchvision.md is not what the tests say: run python docs/differences.py")
        return
    PAGE.write_text(page())
    print(f"{len(differences())} differences in {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
