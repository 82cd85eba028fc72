"""What search engines, citation managers and link previews are told of each page, and links to where the project is.

The citation is that of CITATION.cff. Addresses are known only where GitHub builds the book, which says for which
repository. Link previews (Open Graph) need them; elsewhere no page has any.
"""

import os
import re
from html import escape
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from fetch_scripts import ROOT
from sphinx.application import Sphinx
from sphinx.config import Config

from flexbook.figures import PREVIEW

LONGEST = 300  # characters of a description
AFTER_BUTTONS = 900  # the theme has added its buttons by then
EXECUTED, SOURCES = "results/executed/", "notebooks/"  # where a chapter is, with its outputs and without
WORDS_A_MINUTE = 200
LOOKED_UP = {f"book/{name}" for name in ("api", "evidence", "glossary", "records", "rules")}
BEFORE_PREVIEWS = 400  # priority of our tags; the extension for previews has 500, and keeps what is set


def read_citation(path: Path = ROOT / "CITATION.cff") -> dict[str, Any]:
    """Read the citation file's mapping."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def citation_tags(citation: dict[str, Any]) -> list[tuple[str, str]]:
    """List (name, content) of the `citation_*` tags that the citation file has something for."""
    people = citation["authors"]
    names = [p["name"] if "name" in p else f"{p['family-names']}, {p['given-names']}" for p in people]
    released = citation.get("date-released")
    return [
        ("citation_title", citation["title"]),
        *[("citation_author", name) for name in names],
        *([("citation_publication_date", str(released).replace("-", "/"))] if released else []),
        ("citation_language", "en"),
    ]


def describe(doctree: nodes.document) -> str:
    """Describe a page in a sentence or two: its question, else its first paragraph; "" where it has neither."""
    paragraphs = [node for node in doctree.findall(nodes.paragraph) if "reading-time" not in node["classes"]]
    texts = [" ".join(node.astext().split()) for node in paragraphs]
    asked = re.compile(r"(Question|Asked)\. ")  # of a chapter, and of the front page
    questions = [asked.sub("", text, count=1) for text in texts if asked.match(text)]
    return _shorten(next(filter(None, questions + texts), ""))


def _shorten(text: str) -> str:
    """Cut after a sentence or a word, to at most `LONGEST` characters."""
    if len(text) <= LONGEST:
        return text
    cut = text[:LONGEST]
    return cut[: cut.rfind(". ") + 1 or cut.rfind(" ")]


def add_tags(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add a page's description and citation to its head, and the description to its preview."""
    if app.builder.format != "html":
        return
    citation = read_citation()
    description = (describe(doctree) if doctree else "") or citation["title"]
    tags = [("description", description), *citation_tags(citation)]
    lines = [f'<meta name="{name}" content="{escape(content)}" />' for name, content in tags]
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines, ""])
    context["meta"] = {**(context.get("meta") or {}), "og:description": escape(description)}


def tell_reading_time(app: Sphinx, doctree: nodes.document) -> None:
    """Say below a page's title how many minutes its text takes; not where these are few, or a page is looked up in."""
    top = next(iter(doctree.findall(nodes.section)), None)
    words = sum(len(node.astext().split()) for node in doctree.findall(nodes.paragraph))
    minutes = round(words / WORDS_A_MINUTE)
    if top is not None and minutes > 2 and app.env.docname not in {app.config.root_doc, *LOOKED_UP}:
        top.insert(1, nodes.paragraph("", f"{minutes} minutes to read", classes=["reading-time"]))


def addresses(repository: str) -> tuple[str, dict[str, Any]]:
    """Say where GitHub publishes the site of a repository ("owner/name"), and the theme's options that link to it."""
    owner, name = repository.split("/")
    site = f"{owner.lower()}.github.io"
    return f"https://{site}/" if name.lower() == site else f"https://{site}/{name}/", {
        "repository_url": f"https://github.com/{repository}",
        "repository_branch": os.environ.get("GITHUB_SHA") or "main",
        "path_to_docs": "",
        "use_repository_button": True,
        "use_edit_page_button": True,
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        },
    }


def link_repository(app: Sphinx, config: Config) -> None:
    """Add the site's address, previews, and links to the repository and to the launch of its notebooks."""
    config.html_baseurl, options = addresses(os.environ["GITHUB_REPOSITORY"])
    config.html_theme_options = {**config.html_theme_options, **options}
    config.ogp_site_url = config.html_baseurl
    config.ogp_site_name = config.html_title
    config.ogp_image = PREVIEW  # of all pages, as the others' figures are SVG, which previews do not show
    config.ogp_social_cards = {"enable": False}


def lead_to_sources(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Let the links of a chapter lead to its notebook without outputs, which is what is edited and run."""

    def mend(buttons: list[dict[str, Any]]) -> None:
        for button in buttons:
            mend(button.get("buttons") or [])
            if "url" in button:
                button["url"] = button["url"].replace(EXECUTED, SOURCES)

    mend(context.get("header_buttons") or [])


def setup(app: Sphinx) -> None:
    """Add the tags; previews and links to the repository only where an address is known."""
    if os.environ.get("GITHUB_REPOSITORY"):
        app.setup_extension("sphinxext.opengraph")
        app.connect("config-inited", link_repository)
        app.connect("html-page-context", lead_to_sources, priority=AFTER_BUTTONS)
    app.connect("doctree-read", tell_reading_time)
    app.connect("html-page-context", add_tags, priority=BEFORE_PREVIEWS)
