"""The page of the package: its modules, its commands and the types in its docstrings are read off the code.

Plain backquotes in docstrings are code, and a link where it is clear which thing of the package is meant.
"""

import ast
import enum
import importlib.util
import inspect
import pkgutil
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.nodes import make_refnode

import flexlib
from flexbook.markdown import nodes_of, section_of

SETTINGS = (flexlib.FlexConfig, flexlib.Protocol)
CODE = "flexbook-code"
BEFORE_NAPOLEON, AFTER_NAPOLEON = 400, 600  # priorities: napoleon, which has 500, lays the docstrings' sections out
WIDTH = 70  # characters of what a command says, which a page has room for


class CodeRole(SphinxRole):
    """The default role of docstrings."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make a reference that `resolve` makes a link or leaves as code."""
        literal = nodes.literal(self.rawtext, self.text)
        options = dict(refdomain="", reftype=CODE, reftarget=self.text, refdoc=self.env.docname, refexplicit=False)
        options |= {f"py:{name}": self.env.ref_context.get(f"py:{name}") for name in ("module", "class")}
        return [addnodes.pending_xref(self.rawtext, literal, **options)], []


def find(target: str, objects: Mapping[str, Any], module: str | None = None, cls: str | None = None) -> str | None:
    """Find the full name that a name in a docstring stands for.

    Parameters
    ----------
    target
        The name, with or without dots.
    objects
        What is described, by full names.
    module, cls
        Whose docstring it is.

    Returns
    -------
    str | None
        A bare name is of the class, of the module's code or of the package's face, and no module's. That of a class,
        and one with a dot, may also be from elsewhere if there is exactly one. None if unclear.
    """
    is_known = hasattr(sys.modules.get(module or ""), target)
    meant = _defined(module if is_known else "flexlib", target)
    for name in (f"{module}.{cls}.{target}", f"{module}.{target}", meant):
        if name in objects and objects[name].objtype != "module":
            return name
    if is_known or ("." not in target and not target[:1].isupper()):
        return None
    found = [name for name in objects if name == target or name.endswith(f".{target}")]
    return found[0] if len(found) == 1 else None


def _defined(module: str | None, name: str) -> str | None:
    """Give the full name of what a module knows by a name, be it defined there or imported."""
    known = getattr(sys.modules.get(module or ""), name, None)
    return f"{known.__module__}.{known.__qualname__}" if inspect.isclass(known) or inspect.isfunction(known) else None


def parameters_around(node: nodes.Node | None) -> set[str]:
    """Collect the names in the signatures of what a node describes: a function, or a method and its class."""
    names = set()
    while node is not None:
        if isinstance(node, addnodes.desc):
            signatures = [child for child in node if isinstance(child, addnodes.desc_signature)]
            parameters = [found for signature in signatures for found in signature.findall(addnodes.desc_parameter)]
            named = [parameter.next_node(addnodes.desc_sig_name) for parameter in parameters]
            names |= {name.astext() for name in named if name is not None}
        node = node.parent
    return names


def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """Answer the references of `CodeRole`, and those of types, of this package or not; others are left to Sphinx."""
    is_code = node["reftype"] == CODE
    if not is_code and not (node.get("refdomain") == "py" and node["reftype"] in ("class", "exc", "obj")):
        return None
    objects = env.get_domain("py").objects
    target = node["reftarget"].removesuffix("()")
    name = find(target, objects, node["py:module"], node["py:class"])
    if name is None or (is_code and target in parameters_around(node)):
        return content
    entry = objects[name]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, name)


def annotations_of(thing: Any) -> dict[str, ast.expr]:
    """Read the annotations of a function or a class as they stand in the code, where aliases have their names.

    Parameters
    ----------
    thing
        Of a class, the annotations are those of its fields and of its `__init__`.

    Returns
    -------
    dict[str, ast.expr]
        By parameter, and "return"; {} where there is no code to read.
    """
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return {}
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    if isinstance(node, ast.ClassDef):
        fields = [line for line in node.body if isinstance(line, ast.AnnAssign)]
        types = {field.target.id: field.annotation for field in fields if isinstance(field.target, ast.Name)}
        return types | annotations_of(vars(thing).get("__init__"))
    if not isinstance(node, ast.FunctionDef):
        return {}
    own = node.args
    named = [*own.posonlyargs, *own.args, own.vararg, *own.kwonlyargs, own.kwarg]
    types = {argument.arg: argument.annotation for argument in named if argument and argument.annotation}
    return types | ({"return": node.returns} if node.returns else {})


def _code(annotation: ast.expr) -> str:
    """Write a type as code, each side of a union by itself, as it may be a link."""
    if isinstance(annotation, ast.BinOp):
        return f"{_code(annotation.left)} | {_code(annotation.right)}"
    text = annotation.value if isinstance(annotation, ast.Constant) else ast.unparse(annotation)
    return f"`{text}`"


def tidy_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Add the type that a function returns; leave out the arguments that each enumeration or interface has."""
    if what == "class" and (issubclass(thing, enum.Enum) or signature == "(*args, **kwargs)"):
        return "", None
    annotation = annotations_of(thing).get("return") if what in ("function", "method") else None
    if annotation is None or _code(annotation) == "`None`":
        return signature, returned
    return signature, _code(annotation).replace("`", "")


def add_types(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Add the types to the names in the section on parameters, where numpydoc has them."""
    if thing in SETTINGS:
        first = next((place for place, under in enumerate(lines[1:]) if under.startswith("---")), len(lines))
        lines[first:first] = _fields(thing)
    types = {parameter: _code(annotation) for parameter, annotation in annotations_of(thing).items()}
    section = ""
    for place, line in enumerate(lines):
        if "".join(lines[place + 1 : place + 2]).startswith("---"):
            section = line
        names = [one.strip("* ") for one in line.split(",")]
        if section == "Parameters" and all(one in types for one in names):
            own = [types[one] for one in names]
            lines[place] += " : " + (own[0] if len(set(own)) == 1 else ", ".join(own))
        elif section == "Returns" and f"`{line}`" == types.get("return"):
            lines[place] = f"`{line}`"


def _fields(settings: type[flexlib.FlexConfig | flexlib.Protocol]) -> Iterator[str]:
    """Write the section on parameters of a class of settings, whose fields say themselves what they mean."""
    yield from ["", "Parameters", "----------"]
    for field in settings.parameters().values():
        abbreviation = f"{field.abbreviation}: " if field.abbreviation else ""
        yield from [f"{field.name} : `{type(field.default).__name__}`", f"    {abbreviation}{field.meaning}."]
    yield ""


def keep_property(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Keep the text of a property, of which napoleon takes what stands before a colon for a type."""
    if what == "property":
        lines[:] = [*inspect.getdoc(thing).splitlines(), ""]


def skip_fields(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out fields as attributes where they stand among the parameters, and what pydantic says of itself."""
    is_setting = any(name in settings.parameters() for settings in SETTINGS) and not callable(thing)
    is_of_tuple = (getattr(thing, "__doc__", None) or "").startswith("Alias for field")
    return True if name == "model_config" or is_setting or is_of_tuple else None


class Modules(SphinxDirective):
    """The directive `modules`: all public modules of a package, those that it names first, each with a heading.

    The option `but` names modules that stand elsewhere.
    """

    required_arguments = 1
    option_spec = {"but": directives.unchanged}  # noqa: RUF012 (docutils wants it so)
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make a section a module."""
        package = self.arguments[0]
        names = ordered(modules_of(package, self.options.get("but", "").split()), self.content)
        own = nodes_of(self, AUTOMODULE.format(package, "")) if "." in package else []
        modules = [f"{package}.{name}" for name in names]
        return own + [section_of(self, module, AUTOMODULE.format(module, ":members:")) for module in modules]


AUTOMODULE = """\
```{{eval-rst}}
.. automodule:: {}
   {}
```
"""


def modules_of(package: str, but: Collection[str] = ()) -> list[str]:
    """List the names of a package's public modules, without its subpackages and those that stand elsewhere."""
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return [one.name for one in found if not one.ispkg and not one.name.startswith("_") and one.name not in but]


def ordered(names: list[str], first: Iterable[str]) -> list[str]:
    """Put names first that a directive's content has, in its order; `ExtensionError` where one is not among them."""
    wanted = " ".join(first).split()
    if unknown := [name for name in wanted if name not in names]:
        raise ExtensionError(f"the page of the package names {', '.join(unknown)}: there are {', '.join(names)}")
    return list(dict.fromkeys([*wanted, *names]))


class Face(SphinxDirective):
    """The directive `face`: all of a package's `__all__`, those first that it names, and their first paragraphs."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make a definition list."""
        package = importlib.import_module(self.arguments[0])
        names = ordered(package.__all__, self.content)
        return _definitions(self, {name: inspect.getdoc(getattr(package, name)) for name in names})


class Summaries(SphinxDirective):
    """The directive `summaries`: all modules of a package, those first that it names, and their first paragraphs."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make a definition list from the modules' texts, which are read and not imported."""
        package = self.arguments[0]
        names = [f"{package}.{name}" for name in ordered(modules_of(package), self.content)]
        sources = {name: Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8") for name in names}
        return _definitions(self, {name: ast.get_docstring(ast.parse(text)) for name, text in sources.items()})


class Commands(SphinxDirective):
    """The directive `commands`: what each command of a group of click's says of itself, without what it ends with."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make a section a command."""
        module, _, name = self.arguments[0].rpartition(".")
        group = getattr(importlib.import_module(module), name)
        program = module.partition(".")[0]
        manuals = {f"{program} {name}": _manual(f"{program} {name}", one) for name, one in group.commands.items()}
        return [section_of(self, name, f"```text\n{manual}\n```") for name, manual in manuals.items()]


def _manual(name: str, command: click.Command) -> str:
    """Write a command's usage, text and options."""
    context = click.Context(command, info_name=name, terminal_width=WIDTH)
    formatter = context.make_formatter()
    for write in (command.format_usage, command.format_help_text, command.format_options):
        write(context, formatter)
    return formatter.getvalue()


def _definitions(directive: SphinxDirective, texts: dict[str, str | None]) -> list[nodes.Node]:
    """Make a definition list of names and the first paragraph of each one's docstring."""
    lines = [f"`{name}`\n   {' '.join((text or '').split(chr(10) * 2)[0].split())}" for name, text in texts.items()]
    return nodes_of(directive, "\n".join(["```{eval-rst}", *lines, "```"]))


def setup(app: Sphinx) -> None:
    """Add the page's directives, and what tidies its docstrings."""
    app.add_role(CODE, CodeRole())
    app.add_directive("modules", Modules)
    app.add_directive("face", Face)
    app.add_directive("summaries", Summaries)
    app.add_directive("commands", Commands)
    app.connect("autodoc-process-signature", tidy_signature)
    app.connect("autodoc-process-docstring", add_types, priority=BEFORE_NAPOLEON)
    app.connect("autodoc-process-docstring", keep_property, priority=AFTER_NAPOLEON)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("missing-reference", resolve)
