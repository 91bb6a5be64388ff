"""How Sphinx builds the documentation; `make docs` runs it with warnings as errors."""

import sys
from pathlib import Path

from dioptra_worker import __version__
from dioptra_worker.sdk import compat

sys.path.insert(0, str(compat.path()))  # what plugins import, as a runner has it
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # our extensions

project = "dioptra-worker"
author = "the dioptra-worker developers"
release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "docs.extensions.docstrings",
    "docs.extensions.glossary_links",
    "docs.extensions.llms",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# What a docstring quotes is linked where the reference has it, and is code elsewhere:
# so what is not found among Python's names is no mistake.
default_role = "py:obj"
nitpick_ignore_regex = [("py:.*", ".*")]

html_theme = "furo"
html_title = "dioptra-worker"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["words.css"]
html_favicon = "../src/dioptra_worker/tools/jobs/page/static/icon.svg"
