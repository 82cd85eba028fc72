"""Docstrings say what the code says: the parameters that there are, and the errors that are raised."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "flexlib", ROOT / "notebooks" / "flexstudy", ROOT / "notebooks" / "flexexplorer"]
MODULES = [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]
SECTION = re.compile(r"^( *)(\w[\w ]*)\n\1-{3,}$", re.M)


def public_functions(tree):
    """(name, function, docstring to look into) of each public function and method of a module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, ast.get_docstring(node) or ""
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            of_class = ast.get_docstring(node) or ""
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    yield node.name, method, of_class
                elif isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", method, ast.get_docstring(method) or ""


def sections(docstring):
    """Title of each numpydoc section to its text."""
    found = list(SECTION.finditer(docstring))
    ends = [match.start() for match in found[1:]] + [len(docstring)]
    return {match[2]: docstring[match.end() : end] for match, end in zip(found, ends, strict=False)}


def parameters(function):
    """Names in a signature, but for self and cls."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [argument.arg for argument in named if argument.arg not in ("self", "cls")]


def raises_flex_error(function):
    """Whether the function itself, not one inside it, has a `raise FlexError(...)`."""
    inner = {
        id(node)
        for child in ast.walk(function)
        if isinstance(child, ast.FunctionDef) and child is not function
        for node in ast.walk(child)
    }
    raised = [node.exc for node in ast.walk(function) if isinstance(node, ast.Raise) and id(node) not in inner]
    return any(isinstance(error, ast.Call) and getattr(error.func, "id", "") == "FlexError" for error in raised)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_name_what_the_code_has(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrong = []
    for name, function, docstring in public_functions(tree):
        said = sections(docstring)
        if "Parameters" in said:
            listed = re.findall(r"^(\S[^\n]*)$", said["Parameters"], re.M)
            named = [word.strip().lstrip("*") for line in listed for word in line.partition(":")[0].split(",")]
            if sorted(named) != sorted(parameters(function)):
                wrong.append(f"{name}: Parameters are {named}, not {parameters(function)}")
        is_command = any("command" in ast.unparse(decorator) for decorator in function.decorator_list)
        if raises_flex_error(function) and not is_command and "FlexError" not in said.get("Raises", ""):
            wrong.append(f"{name}: raises FlexError and does not say when")
    assert wrong == []


EXAMPLES = [path for path in MODULES if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_in_docstrings_print_what_they_say(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0


def test_the_check_finds_what_is_off():
    docstring = "Do.\n\n    Parameters\n    ----------\n    a, c\n        Two.\n    "
    text = f'"""M."""\n\ndef f(a, b):\n    """{docstring}"""\n    raise FlexError("x")\n'
    ((_, function, found),) = public_functions(ast.parse(text))
    assert parameters(function) == ["a", "b"]
    assert "a, c" in sections(found)["Parameters"]
    assert raises_flex_error(function)
    assert "Raises" not in sections(found)
