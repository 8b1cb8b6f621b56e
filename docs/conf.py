"""The site: `make docs`, or `python -m sphinx -W --keep-going docs build/site`. Nothing is fetched while it is built.

    -D plot_gallery=0       leaves the scripts of the tutorial unexecuted: quick, without their pictures
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import docstrings
import pages

import vdata

os.environ.setdefault("HF_HUB_OFFLINE", "1")

project = "vdata"
author = "the authors of vdata"
copyright = author
release = version = vdata.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["gallery", "_templates", "_build", "**/sg_execution_times.rst"]
templates_path = ["_templates"]
highlight_language = "none"
default_role = "code"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = [
    "config.cache",  # functions of this file are settings
    "myst.header",  # docs/performance.md has its cases one level down, below no heading
    "design.card_legacy",
]

autosummary_generate = True
autodoc_typehints = "none"  # shapes, ranges and units are said in words, which types cannot
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "__new__, __init__"}
python_maximum_signature_line_length = 96
add_module_names = False

html_theme = "furo"
html_title = "vdata"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6e99", "color-brand-content": "#0b6e99"},
    "dark_css_variables": {"color-brand-primary": "#6cc4ea", "color-brand-content": "#6cc4ea"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "tutorial",
    "filename_pattern": r"/plot_",
    "image_scrapers": (pages.last_picture,),
    "reset_modules": (),
    "ignore_repr_types": r"vdata\.tensors\.Image",  # shown, not printed
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "min_reported_time": 10_000,
    "write_computation_times": False,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
}


def setup(app):
    app.connect("builder-inited", pages.write, priority=100)  # before autosummary and the gallery look for their files
    app.connect("autodoc-process-docstring", docstrings.process)
    app.connect("autodoc-process-signature", docstrings.signature)
