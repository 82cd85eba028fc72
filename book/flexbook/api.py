"""Plain backquotes in docstrings: code, and a link where it is clear which thing of the package is meant."""

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
        options |= {name: self.env.ref_context.get(f"py:{name}") for name in ("module", "class")}
        return [addnodes.pending_xref(self.rawtext, literal, **options)], []


def find(target, objects, module=None, cls=None):
    """The full name that `target` stands for in a docstring of `module`, and of its class `cls`; None if unclear.

    A bare name is of the class, the module or the package itself, and no module's. That of a class, and one with a dot,
    may also be from elsewhere if there is exactly one.
    """
    for name in (f"{module}.{cls}.{target}", f"{module}.{target}", f"flexlib.{target}"):
        if name in objects and objects[name].objtype != "module":
            return name
    if "." not in target and not target[:1].isupper():
        return None
    found = [name for name in objects if name == target or name.endswith(f".{target}")]
    return found[0] if len(found) == 1 else None


def parameters_around(node):
    """The names in the signatures of what a node describes: a function, or a method and its class."""
    names = set()
    while node is not None:
        if isinstance(node, addnodes.desc):
            signatures = [child for child in node if isinstance(child, addnodes.desc_signature)]
            parameters = [found for signature in signatures for found in signature.findall(addnodes.desc_parameter)]
            named = [parameter.next_node(addnodes.desc_sig_name) for parameter in parameters]
            names |= {name.astext() for name in named if name is not None}
        node = node.parent
    return names


def resolve(app, env, node, content):
    """Answer the references of `CodeRole`; others are left to Sphinx."""
    if node["reftype"] != CODE:
        return None
    objects = env.get_domain("py").objects
    target = node["reftarget"].removesuffix("()")
    name = find(target, objects, node["module"], node["class"])
    if name is None or target in parameters_around(node):
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
