"""Build the documentation: python -m sphinx -W --keep-going -b html docs docs/_build/html."""

from pathlib import Path

import sklearn_tinymlp

HERE = Path(__file__).parent

project = "sklearn-tinymlp"
author = "The sklearn-tinymlp developers"
copyright = "the sklearn-tinymlp developers, BSD-3-Clause"
version = release = sklearn_tinymlp.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/**/*.ipynb"]
templates_path = ["_templates"]
nitpicky = True  # a name that leads nowhere is a warning, and a warning is an error
default_role = "literal"
smartquotes = False  # the names of options are in plain quotes
toc_object_entries_show_parents = "hide"
highlight_language = "none"  # of blocks that do not say; docstrings are recognised as sessions
extlinks = {"arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s")}

# What docstrings refer to outside this package: a list in a file, so that no network is needed.
intersphinx_mapping = {"sklearn": ("https://scikit-learn.org/stable/", "elsewhere.inv")}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

# --- The look
html_theme = "pydata_sphinx_theme"
html_title = "sklearn-tinymlp"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "sklearn-tinymlp"},
    "show_toc_level": 2,
    "show_nav_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {page: [] for page in ("index", "faq", "releases")}

# --- The reference
autosummary_generate = True
autodoc_mock_imports = ["onnx", "skl2onnx"]  # large, and not needed to read the docstrings
autodoc_typehints = "none"  # the docstrings have them
numpydoc_show_class_members = False  # the template of a class lists its methods
numpydoc_validation_checks = {
    "all",
    "ES01",  # a summary that says all needs no more
    "EX01",  # a method is shown in the example of its class
    "GL01",  # the summary stands beside the opening quotes, as in all of this code
    "SA01",  # "See Also" where there is something to see
    "SA04",
    "SS06",
    "RT02",  # types alone where the name of what is returned says nothing
    "RT03",
    "RT05",
    "PR07",
    "PR08",
    "YD01",
}
numpydoc_validation_exclude = {r"\.set_\w+_request$", r"\.__\w+__$"}

PAGES = [
    ("The estimators", lambda name: name.endswith("Regressor")),
    ("Diagnosis", lambda name: name in ("diagnose", "Diagnosis", "Finding")),
    ("Activations", lambda name: name == "Activation"),
    ("Displays", lambda name: name.endswith("Display")),
    ("Callbacks", lambda name: name == "StopWhen"),
    ("Export", lambda name: name.startswith("to_")),
    ("ONNX", lambda name: False),  # a module that is imported by those who need it
    ("More", lambda name: True),
]
MODULES = {"Activations": ("activations",), "ONNX": ("onnx",)}


def write_reference(path):
    """Write a page with a table of each kind of public name, so that none is left out."""
    left = [name for name in sklearn_tinymlp.__all__ if name not in ("__version__", "activations")]
    lines = ["API reference", "=============", "", ".. currentmodule:: sklearn_tinymlp", ""]
    for title, belongs in PAGES:
        names = [name for name in left if belongs(name)]
        left = [name for name in left if name not in names]
        if title == "Activations":
            ready = (name for name in sklearn_tinymlp.activations.__all__ if name != "Activation")
            names += [f"activations.{name}" for name in ready]
        if title == "ONNX":
            names = ["onnx.calculate_output_shapes", "onnx.convert"]
        if names:
            lines += [title, "-" * len(title), "", ".. autosummary::", "   :toctree: generated"]
            lines += ["   :nosignatures:", "", *(f"   {name}" for name in names), ""]
        for module in MODULES.get(title, ()):
            lines += [f".. automodule:: sklearn_tinymlp.{module}", ""]
            lines += [".. currentmodule:: sklearn_tinymlp", ""]
    text = "\n".join(lines)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


write_reference(HERE / "api.rst")

# --- The gallery: what an example warns of is either its point or set aside in it
GROUPS = ("tabular", "uncertainty", "time_series", "physics", "teaching", "production")
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "subsection_order": [f"../examples/{group}" for group in GROUPS],
    "filename_pattern": "plot_",
    "ignore_pattern": "^(?!plot_)",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("sklearn_tinymlp",),
    "reference_url": {"sklearn_tinymlp": None},
    "backreferences_dir": "generated/backreferences",
    "download_all_examples": False,
    "remove_config_comments": True,
    "matplotlib_animations": True,
    "thumbnail_size": (480, 336),
    "image_srcset": ["2x"],
}


def setup(app):
    """Keep the README.md beside the data from being taken for that of a gallery."""

    def read_headers_in_rst(app, config):
        config.sphinx_gallery_conf["source_suffix"] = {".rst": "restructuredtext"}

    app.connect("config-inited", read_headers_in_rst, priority=900)
