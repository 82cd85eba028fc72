"""The project's own files agree with each other."""

import ast
import io
import re
import tokenize
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from flexbook import figures
from flexstudy.claims import glued_numbers
from packaging.requirements import Requirement
from PIL import Image, ImageChops
from prose import decimals_of, typed

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STUDY = tomllib.loads((ROOT / "notebooks" / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"].values()
REQUIREMENTS = [*PROJECT["dependencies"], *(r for extra in EXTRAS for r in extra), *STUDY["dependencies"]]
CONDA_NAMES = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",
    "seaborn": "seaborn-base",
    "playwright": "playwright-python",
}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_environment_yml_has_the_pins_of_pyproject():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (by_pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    pins = {text for text in listed if isinstance(text, str) and text != "pip"}
    pins |= {text for text in by_pip if not text.startswith("--editable")}
    expected = {f"python{PROJECT['requires-python']}"}
    for text in REQUIREMENTS:
        name = Requirement(text).name
        expected.add(CONDA_NAMES.get(name, name) + re.sub(r"^[\w-]+(\[\w+\])?", "", text))
    assert pins == expected


def test_the_lock_file_pins_every_requirement_to_a_version_it_allows():
    locked = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())
    for requirement in map(Requirement, REQUIREMENTS):
        assert requirement.specifier.contains(locked[requirement.name.lower()]), requirement
    assert locked["torch"] == "2.13.0"


def test_a_wheel_has_all_rooms_and_files_of_the_package():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    rooms = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "flexlib").rglob("__init__.py")}
    assert set(tool["packages"]) == rooms
    others = {str(path.relative_to(ROOT / "flexlib")) for path in (ROOT / "flexlib").rglob("*.*")}
    others = {name for name in others if not name.endswith((".py", ".pyc"))}
    assert set(tool["package-data"]["flexlib"]) == others


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stripped_parameterised_and_free_of_logic(path):
    notebook = nbformat.read(path, as_version=4)
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        assert cell.outputs == []
        assert cell.execution_count is None
        imported = [node for node in ast.parse(cell.source).body if isinstance(node, ast.Import | ast.ImportFrom)]
        imports = sum(node.end_lineno - node.lineno + 1 for node in imported)
        assert len(cell.source.splitlines()) - imports <= 15, cell.source
        assert not re.search(r"^\s*(def|class|while|for) ", cell.source, re.M), cell.source


def test_profiles_name_notebooks_and_their_parameters():
    profiles = yaml.safe_load((ROOT / "notebooks" / "profiles.yml").read_text())
    assert {"quick", "full", "tiny"} <= set(profiles)
    for chapter, parameters in [item for plan in profiles.values() for item in plan.items()]:
        notebook = nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", as_version=4)
        (tagged,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        assert set(parameters or {}) <= set(re.findall(r"^(\w+) =", tagged.source, re.M)), chapter


def lines_of_code(path):
    """Lines that hold code: not blank, not a comment, not of a docstring."""
    text = path.read_text()
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):  # a text that stands by itself says something of what is above it
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return len(lines - {len(text.splitlines()) + 1})


def test_lines_of_code_are_counted_by_hand(tmp_path):
    (tmp_path / "a.py").write_text(
        '"""Doc\nstring."""\n\n# why\nx = [\n    1,\n]  # 3 lines\n\n\ndef f():\n    """Doc."""\n'
    )
    assert lines_of_code(tmp_path / "a.py") == 4


def test_the_core_can_be_read_in_one_sitting():
    core = set((ROOT / "flexlib").glob("*.py"))
    assert {"train.py", "evaluation.py"} < {path.name for path in core}
    assert sum(map(lines_of_code, core)) <= 1_000


def test_the_files_to_read_first_are_named_and_there():
    for text in ("README.md", "CONTRIBUTING.md"):
        named = re.findall(r"`((?:\w+/)*\w+\.(?:py|yaml|yml))`", (ROOT / text).read_text())
        assert "tests/reference.py" in named
        folders = ["", "flexlib", "notebooks", "notebooks/flexstudy", "benchmarks", "flexlib/methods"]
        missing = [name for name in named if not any((ROOT / folder / name).exists() for folder in folders)]
        assert missing == []


@pytest.mark.parametrize("path", sorted((ROOT / "results" / "executed").glob("*.ipynb")), ids=lambda path: path.stem)
def test_published_chapters_name_no_path_of_the_machine_and_a_commit(path):
    made = nbformat.read(path, as_version=4).metadata["flexlib"]
    assert [value for value in made["parameters"].values() if str(value).startswith(("/", "~"))] == []
    assert re.fullmatch(r"[0-9a-f]{7,}", made["commit"])  # a "+" would say that it was changed since


def glued_in(chapter):
    return glued_numbers(ROOT / "results" / "executed" / f"{chapter}.ipynb")


def test_the_readmes_figure_is_that_of_the_front_page():
    committed = Image.open(ROOT / "results" / "front.png").convert("RGB")
    drawn = Image.open(io.BytesIO(figures.read_figure(ROOT / figures.CHAPTER, figures.NAME, ".png"))).convert("RGB")
    assert ImageChops.difference(committed, drawn).getbbox() is None


def test_the_readmes_numbers_are_those_of_the_committed_results():
    names = (
        "01_one_run",
        "04_accuracy",
        "07_generalization",
        "08_methods",
        "09_best",
        "11_claims",
        "12_speed",
        "explore",
    )
    one_run, accuracy, larger, methods, best, claims, speed, explored = map(glued_in, names)
    assert {one["dataset"] for one in (one_run, accuracy, larger, best)} == {"ml-latest-small-2016"}
    assert (one_run["preset"], methods["a_dataset"]) == ("table2:1", "ml-latest-small-2016")
    assert (larger["large"], speed["dataset"]) == ("ml-1m", "ml-1m")
    protocols = "released", "means", "closed", "holdout"
    scores = [[one_run[f"{name}_{protocol}"] for name in ("rmse", "low", "high")] for protocol in protocols]
    leaky, *_, leak_free = (f"{found[0]:.2f}" for found in scores)
    biases = [accuracy[f"biases_unshrunk_leaky{end}"] for end in ("", "_low", "_high")]
    said = [
        *["| {:.3f} ({:.3f} to {:.3f}) |".format(*found) for found in scores],
        f"| {one_run['published']} |",
        f"Its best RMSE of {one_run['published']} on MovieLens",
        f"{leaky} with the leak, {leak_free} without.",
        f"setting, {one_run['n_seeds']} seeds",
        "no network | {:.3f} ({:.3f} to {:.3f}) |".format(*biases),
        f"score {accuracy['rated_once_leaky']:.2f} for films rated once; over training ratings, "
        f"{accuracy['rated_once_holdout']:.2f}.",
        f"spans {explored['span_hidden_layers_released']:.3f} stars leaky and "
        f"{explored['span_hidden_layers_holdout']:.3f} leak-free",
        f"{larger['higher_on_large_released']} of {larger['higher_on_large_n_released']} sets score higher there leaky",
        f"Leak-free, {larger['higher_on_large_holdout']} of {larger['higher_on_large_n_holdout']} do.",
        f"{methods['a_flexencoder_set1_beaten']} of {methods['a_others']} score lower than the paper's best setting.",
        f"Of these, {methods['a_clearly_lower']} clearly do.",
        f"one network scores {best['a_one']:.3f} with three tenths held out",
        f"{claims['claims']} claims, with {claims['parts']} statements that can be checked",
        f"{claims['reproduced']} are reproduced, and {claims['leak']} hold only with the leak",
        f"{claims['unsupported']} are not supported, and {claims['refuted']} are refuted",
        f"On MovieLens 1M {speed['winners_words']} among {speed['n_peers']} others.",
    ]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert [words for words in said if words not in readme] == []
    rest = (ROOT / "README.md").read_text()
    for words in said:
        rest = re.sub(r"\s+".join(map(re.escape, words.split())), "", rest)
    assert [number for _, number in typed(rest) if number not in ("2", "1,000")] == []  # of GB, and of lines of code
    assert decimals_of(rest) == []
    assert biases[0] < float(one_run["published"])


def test_the_readmes_python_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    small = code.replace('"synthetic"', '"synthetic:users=60,items=90,ratings=1500,seed=1"')
    assert small != code
    exec(compile(small, "README.md", "exec"), {})
