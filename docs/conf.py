"""How Sphinx builds the documentation; `make docs` runs it with warnings as errors."""

from dioptra_worker import __version__

project = "dioptra-worker"
author = "the dioptra-worker developers"
release = __version__

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "dioptra-worker"
