"""How Sphinx makes the documentation of this folder: `make docs`."""

import os
import sys

os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # `cae`, asked for its help
os.environ["COLUMNS"] = "90"  # width of that help

project = "cae_jax"
author = "The cae_jax authors"
copyright = "the cae_jax authors, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.programoutput"]
myst_heading_anchors = 3  # so that links to `page.md#heading` are checked
default_role = "code"  # docstrings write `names` as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
programoutput_prompt_template = "{output}"

html_theme = "pydata_sphinx_theme"
html_title = "cae_jax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"index": [], "method": []}  # pages without others below them
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"show_prev_next": True, "footer_start": ["copyright"], "footer_end": []}
