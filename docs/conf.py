"""How Sphinx makes the documentation of this folder: `make docs`."""

project = "cae_jax"
author = "The cae_jax authors"
copyright = "the cae_jax authors, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.programoutput"]
default_role = "code"  # docstrings write `names` as Markdown does
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
programoutput_prompt_template = "$ {command}\n{output}"

html_theme = "pydata_sphinx_theme"
html_title = "cae_jax"
html_copy_source = False
html_theme_options = {"navigation_with_keys": True, "footer_end": []}
