"""How Sphinx makes the site of README.md, docs/, tutorials/ and results/: `make docs`."""

import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

import pslref
from pslref import check

ROOT = Path(__file__).parents[2]

project = "pslref"
author = "the authors of pslref"
release = pslref.__version__
root_doc = "README"
include_patterns = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
    *("docs/*.md", "docs/site/*.rst", "tutorials/*.md", "tutorials/*.ipynb", "results/*.md"),
    "pslref/oracle/vectors/README.md",
]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
]

html_theme = "furo"
html_title = "pslref"
html_show_copyright = False
html_static_path = html_css_files = ["wide.css"]
nb_execution_mode = "off"  # the outputs are committed, and the tests hold them
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

default_role = "code"  # of docstrings, where `x` is code

# Appended to pages that GitHub shows without it: {page: [(caption, pages)]}.
CONTENTS = {
    "README": [
        ("Learn it", ["docs/site/playground", "tutorials/README", "docs/method", "results/README"]),
        ("Use it", ["docs/frameworks", "docs/oracle", "docs/benchmarks", "docs/site/api"]),
        ("Carry on", ["CONTRIBUTING", "CHANGELOG"]),
    ],
    "tutorials/README": [("Notebooks", ["0*"])],
    "results/README": [("More", ["mutants"])],
    "docs/oracle": [("More", ["/pslref/oracle/vectors/README"])],
}


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Say which pages come below this one; the playground's is that which leads to it."""
    source[0] = source[0].replace("playground/index.html)", "site/playground.rst)")
    for caption, pages in CONTENTS.get(page, []):
        options = f":hidden:\n:glob:\n:caption: {caption}\n\n"
        source[0] += f"\n\n```{{toctree}}\n{options}" + "\n".join(pages) + "\n```\n"


def name_types(app: Sphinx, *of_object: object) -> tuple[str | None, str | None]:
    """Arrays are called in signatures what the code calls them."""
    texts = list(of_object[-2:])  # the arguments, and what is returned
    for name in ("FloatArray", "IntArray", "Array"):
        written = stringify_annotation(getattr(check, name), "smart", short_literals=True)
        texts = [text and text.replace(written, name) for text in texts]
    return texts[0], texts[1]


def escape_bars(app: Sphinx, *of_object: object) -> None:
    """A docstring's |x| is an absolute value, and no substitution of reStructuredText."""
    lines = of_object[-1]
    lines[:] = [re.sub(r"(`[^`]*`)|\|", lambda m: m[1] or r"\|", line) for line in lines]


def link_names(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Make a link of every name of the library that stands in the text as code."""
    homes = {}
    for name, found in app.env.domains["py"].objects.items():
        parts = name.split(".")[1:]  # pslref.sampling.ugs is sampling.ugs, and ugs
        homes[".".join(parts)] = found
        homes.setdefault(".".join(parts[1:]), found)
    for literal in [*doctree.findall(nodes.literal)]:
        name = re.match(r"(?:pslref\.)?([\w.]+)(?:\(.*\))?$", literal.astext(), re.DOTALL)
        if name and name[1] in homes and not isinstance(literal.parent, nodes.reference):
            found = homes[name[1]]
            uri = app.builder.get_relative_uri(page, found.docname)
            link = nodes.reference("", "", refuri=f"{uri}#{found.node_id}", internal=True)
            literal.replace_self(link)
            link += literal


def finish(app: Sphinx, error: Exception | None) -> None:
    """Copy what is no page: the playground with the code that it shares, and the first page."""
    for folder in ("playground", "examples"):
        shutil.copytree(ROOT / "docs" / folder, app.outdir / "docs" / folder, dirs_exist_ok=True)
    page = app.outdir / "docs" / "playground" / "index.html"  # its links are to .md
    page.write_text(re.sub(r'(href="[./\w]+)\.md', r"\1.html", page.read_text("utf-8")), "utf-8")
    shutil.copy(app.outdir / "README.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    """What Sphinx calls, and when."""
    app.connect("source-read", add_contents)
    app.connect("autodoc-process-signature", name_types)
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("doctree-resolved", link_names)
    app.connect("build-finished", finish)
