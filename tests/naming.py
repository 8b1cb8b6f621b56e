"""Two packages are called `datasets`: Hugging Face's, and the folder that pytest collects here."""

import sys


def hugging_face_has_its_name() -> None:
    """From here on `import datasets` finds the installed package. What was collected from the folder stays what it is."""
    if getattr(sys.modules.get("datasets"), "__file__", None) is None:
        for name in [n for n in sys.modules if n == "datasets" or n.startswith("datasets.")]:
            del sys.modules[name]
