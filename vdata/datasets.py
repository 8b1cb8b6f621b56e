"""The catalogue's files, importable as `vdata.datasets.<name>`.

In a wheel they lie beside this file, in a checkout one level up; never both, since `datasets` one level up in a
site-packages folder is another project's (docs/design/0006-packaging.md).
"""

from pathlib import Path

_beside = Path(__file__).parent / "datasets"
__path__ = [str(_beside if _beside.is_dir() else Path(__file__).parents[1] / "datasets")]
