"""What search engines, citation managers and link previews are told of each page, and links to where the project is.

The citation is that of CITATION.cff. Addresses are known only where GitHub builds the book, which says for which
repository; nowhere else is one given.
"""

import os
import posixpath
import re
from html import escape

import yaml
from docutils import nodes
from fetch_scripts import ROOT

from flexbook.figures import FRONT

LONGEST = 300  # characters of a description


def read_citation(path=ROOT / "CITATION.cff"):
    """The citation file's mapping."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def citation_tags(citation):
    """(name, content) of the `citation_*` tags that the citation file has something for."""
    people = citation["authors"]
    names = [p["name"] if "name" in p else f"{p['family-names']}, {p['given-names']}" for p in people]
    released = citation.get("date-released")
    return [
        ("citation_title", citation["title"]),
        *[("citation_author", name) for name in names],
        *([("citation_publication_date", str(released).replace("-", "/"))] if released else []),
        ("citation_language", "en"),
    ]


def describe(doctree):
    """A page in a sentence or two: its question, else its first paragraph; "" where it has neither."""
    texts = [" ".join(node.astext().split()) for node in doctree.findall(nodes.paragraph)]
    asked = re.compile(r"(Question|Asked)\. ")  # of a chapter, and of the front page
    questions = [asked.sub("", text, count=1) for text in texts if asked.match(text)]
    return _shorten(next(filter(None, questions + texts), ""))


def _shorten(text):
    """At most `LONGEST` characters, cut after a sentence or a word."""
    if len(text) <= LONGEST:
        return text
    cut = text[:LONGEST]
    return cut[: cut.rfind(". ") + 1 or cut.rfind(" ")]


def add_tags(app, pagename, templatename, context, doctree):
    """Add a page's tags to its head."""
    if app.builder.format != "html":
        return
    citation, base = read_citation(), app.config.html_baseurl
    description = (describe(doctree) if doctree else "") or citation["title"]
    heading = doctree.next_node(nodes.title) if doctree else None  # indices and search have no document
    title = heading.astext() if heading else app.config.html_title
    own = [
        ("og:title", title),
        ("og:description", description),
        ("og:type", "website" if pagename == app.config.root_doc else "article"),
        ("og:site_name", app.config.html_title),
    ]
    if FRONT in app.env.images:
        image = posixpath.join(app.builder.imagedir, app.env.images[FRONT][1])
        own.append(("og:image", base + image if base else context["pathto"](image, 1)))
    if base:
        own.append(("og:url", base + app.builder.get_target_uri(pagename)))
    tags = [("name", "description", description)]
    tags += [("name", *tag) for tag in citation_tags(citation)] + [("property", *tag) for tag in own]
    lines = [f'<meta {kind}="{name}" content="{escape(content)}" />' for kind, name, content in tags]
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines])


def addresses(repository):
    """Where GitHub publishes the site of a repository ("owner/name"), and the theme's options that link to it."""
    owner, name = repository.split("/")
    site = f"{owner.lower()}.github.io"
    return f"https://{site}/" if name.lower() == site else f"https://{site}/{name}/", {
        "repository_url": f"https://github.com/{repository}",
        "repository_branch": os.environ.get("GITHUB_SHA") or "main",
        "path_to_docs": "",
        "use_repository_button": True,
        "launch_buttons": {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"},
    }


def link_repository(app, config):
    """Add the links to the repository, the launch of its notebooks and the site's address, where they are known."""
    repository = os.environ.get("GITHUB_REPOSITORY")
    if repository:
        config.html_baseurl, options = addresses(repository)
        config.html_theme_options = {**config.html_theme_options, **options}


def setup(app):
    """Called by the extension."""
    app.connect("config-inited", link_repository)
    app.connect("html-page-context", add_tags)
