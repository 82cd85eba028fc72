"""Plain backquotes in docstrings: code, and a link where the package has exactly one thing of that name."""

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxRole
from sphinx.util.nodes import make_refnode

CODE = "flexbook-code"


class CodeRole(SphinxRole):
    """The default role of docstrings."""

    def run(self):
        """A reference that `resolve` makes a link or leaves as code."""
        literal = nodes.literal(self.rawtext, self.text)
        options = dict(refdomain="", reftype=CODE, reftarget=self.text, refdoc=self.env.docname, refexplicit=False)
        return [addnodes.pending_xref(self.rawtext, literal, **options)], []


def find(target, objects):
    """The full name that a short one stands for, if there is exactly one; the package's own comes before a module's."""
    found = [name for name in objects if name == target or name.endswith(f".{target}")]
    public = [name for name in found if name == f"flexlib.{target}"]
    found = public or found
    return found[0] if len(found) == 1 else None


def resolve(app, env, node, content):
    """Answer the references of `CodeRole`; others are left to Sphinx."""
    if node["reftype"] != CODE:
        return None
    objects = env.get_domain("py").objects
    name = find(node["reftarget"].removesuffix("()"), objects)
    if name is None:
        return content
    entry = objects[name]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, name)


def skip_fields(app, what, name, obj, skip, options):
    """Leave out the fields of named tuples, of which Python says nothing but their numbers."""
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field number") else None


def setup(app):
    """Called by the extension."""
    app.connect("autodoc-skip-member", skip_fields)
    app.add_role(CODE, CodeRole())
    app.connect("missing-reference", resolve)
