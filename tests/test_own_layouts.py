"""A file with uncommon column names and a stated scale: every chapter takes it, and all that loads it is told."""

import ast
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
from conftest import SMALL, records_of
from flexstudy.best import plan_references, plan_searches
from flexstudy.chapter import ParameterError, fill_file, glued_in, parameters_of, read_layout
from flexstudy.parameter_claims import find_choices, find_pairs
from flexstudy.plans import experiment
from flexstudy.repetitions import find_records, find_sweep
from flexstudy.served import find_served
from flexstudy.sweep import find_evidence

from flexlib.config import FlexError
from flexlib.datasets.loading import load_ratings
from flexlib.methods.tuning import Tuning
from flexlib.runs.plan import repetition_name
from flexlib.runs.records import save_records

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
COLUMNS, SCALE = {"user": "who", "item": "thing", "rating": "mark"}, [1, 10, 1]
LAYOUT = read_layout(COLUMNS, SCALE)
LOADING = ("load_ratings", "find_sweep", "find_evidence", "find_records", "find_pairs", "find_choices", "Tuning")
LOADING += ("plan_searches", "Explorer")  # what a chapter calls with a data set, and that loads it
LIMITED = {"device": "cpu", "max_seconds": 0.02}


def in_chapters():
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    return {name: made for name, made in notebooks.items() if "dataset" in parameters_of(made)}


CHAPTERS = in_chapters()


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """The path of 500 ratings on a scale of 1 to 10 whose ends nobody gave, with ids that are texts."""
    ratings = load_ratings("synthetic:users=30,items=40,ratings=500,seed=1")
    marks = np.clip(np.round(2 * ratings.values), 2, 9).astype(int)
    users, things = ([f"{word} {one}" for one in ids] for word, ids in (("u", ratings.users), ("t", ratings.items)))
    path = tmp_path_factory.mktemp("own") / "odd.csv"
    pd.DataFrame({"mark": marks, "note": "x", "who": users, "thing": things}).to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def fresh(odd):
    return find_sweep(odd, runs=12, **LIMITED, **LAYOUT)


def checksum(path):
    """What the records of this file have if it was read with the layout; another layout gives another."""
    return load_ratings(path, COLUMNS, SCALE).checksum


def of_the_layout(path, records):
    return len(records) > 0 and set(records["checksum"]) == {checksum(path)}


def names_in(node):
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def has_data(call):
    """Whether it is asked for the first data set, or in a turn for either of two."""
    return bool({"dataset", "name"} & {argument.id for argument in call.args if isinstance(argument, ast.Name)})


def names_with_the_layout(tree):
    """Every name that is assigned, or takes its turns, from something with the result of `read_layout`."""
    steps = [(target, node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets]
    steps += [(node.target, node.iter) for node in ast.walk(tree) if isinstance(node, ast.comprehension)]
    found = {"read_layout"}
    for _ in steps:  # as often as the longest chain of them could need
        for target, value in steps:
            found |= names_in(target) if found & names_in(value) else set()
    return found


def test_the_chapters_on_data_are_those_that_take_a_layout():
    expected = [f"{number:02d}" for number in range(1, 11)] + ["13", "ex"]
    assert [name[:2] for name in CHAPTERS] == expected


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_on_data_has_both_parameters_and_hands_them_to_all_that_loads(name):
    assert {key: parameters_of(CHAPTERS[name]).get(key) for key in ("columns", "scale")} == {"columns": {}, "scale": []}
    cells = [cell.source for cell in CHAPTERS[name].cells if cell.cell_type == "code"]
    code = "\n".join(cells)
    assert code.count("read_layout(columns, scale)") == 1
    tree = ast.parse(code)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [(ast.unparse(call.func).split(".")[-1], call) for call in calls]
    loading = [call for function, call in named if function in LOADING and has_data(call)]
    assert loading
    known = names_with_the_layout(tree)
    for call in loading:
        spread = [keyword.value for keyword in call.keywords if keyword.arg is None]
        assert any(names_in(value) & known for value in spread), ast.unparse(call)


@pytest.mark.parametrize("name", CHAPTERS)
def test_papermill_lists_both_with_their_help(name):
    found = papermill.inspect_notebook(str(NOTEBOOKS / f"{name}.ipynb"))
    assert '{"user": "uid", "rating": "stars"}' in found["columns"]["help"]
    assert "[1, 5, 1]" in found["scale"]["help"]
    has_two = {"large", "second", "folded", "thin_items"} & set(found)
    assert all(found[key]["help"].startswith("of dataset alone") == bool(has_two) for key in ("columns", "scale"))


def test_a_layout_is_what_plans_and_loading_take(odd, refused):
    assert read_layout({}, []) == {"columns": (), "scale": None}
    pairs = (("item", "thing"), ("rating", "mark"), ("user", "who"))
    assert {"columns": pairs, "scale": (1, 10, 1)} == LAYOUT
    ratings = load_ratings(odd, **LAYOUT)
    assert (len(ratings), ratings.scale, ratings.user_ids[0]) == (500, (1, 10, 1), "u 0")
    assert {2, 9} == {int(ratings.values.min()), int(ratings.values.max())}
    by_names = load_ratings(odd, COLUMNS, SCALE)
    assert by_names.checksum == ratings.checksum != load_ratings(odd, COLUMNS).checksum
    assert load_ratings(SMALL, **read_layout({}, [])).name == SMALL
    refused(lambda: load_ratings(SMALL, **LAYOUT), SMALL, "columns and scale are for a file")
    for columns, scale, piece in [("{user: uid}", [], "-y 'columns"), ({}, "1 5 1", "-y 'scale"), ({}, ["a"], "['a']")]:
        with pytest.raises(ParameterError, match=r"^(columns|scale) '.*give") as caught:
            read_layout(columns, scale)
        assert piece in str(caught.value)


def test_records_made_now_are_of_the_file_as_it_was_told(odd, fresh):
    assert of_the_layout(odd, fresh)
    assert of_the_layout(odd, find_evidence(odd, runs=1, **LIMITED, **LAYOUT).fresh)
    with pytest.raises(FlexError, match="no column 'userId' for the user"):
        find_sweep(odd, runs=1, **LIMITED)
    limits = LIMITED | LAYOUT
    assert of_the_layout(odd, find_records("best", odd, n_seeds=1, records=fresh.query("status == 'ok'"), **limits))
    rounding = find_records("rounding", odd, n_seeds=1, records=fresh, **limits)  # which screens first
    assert of_the_layout(odd, rounding)
    assert all(of_the_layout(odd, made) for made in find_pairs(odd, "", fresh, 1, **limits))


def test_tuned_choices_are_compared_on_the_file_as_it_was_told(odd, fresh, tmp_path):
    base = fresh[fresh["status"] == "ok"].iloc[:1].assign(pivot_indexes="[1, 0]", mean_normalization=True)
    tried = experiment("choices-tried", odd, records=base, n_seeds=1, **LAYOUT)
    records = records_of(tried, lambda *_: 0.5)
    done = records_of(experiment("choices", odd, records=records, n_seeds=1, **LAYOUT), lambda *_: 0.5)
    for name, table in (("choices-tried", records), ("choices", done)):
        save_records(table, tmp_path / f"{repetition_name(name, odd)}.parquet")
    cells = find_choices(odd, str(tmp_path), **LAYOUT)
    assert (len(cells), cells["learned"].all()) == (32, True)
    with pytest.raises(FlexError, match="no column 'userId' for the user"):
        find_choices(odd, str(tmp_path))


def test_methods_are_tuned_and_scored_on_the_file_as_it_was_told(odd):
    tuning = Tuning(odd, ("biases", "item_mean"), 0.3, 1, 1, **LAYOUT)
    assert of_the_layout(odd, find_served(tuning))


def test_searches_have_the_layout_of_the_first_set_alone(odd):
    plans = list(plan_searches(odd, SMALL, "", (1, 1, 1), (1, 1, 1), 1.0, 2, **LAYOUT).values())
    own = [(LAYOUT["columns"], LAYOUT["scale"])] * 2 + [((), None)]
    assert [(plan.columns, plan.scale) for plan in plans] == own
    beside = [plan_references(plan, 3) for plan in plans]
    assert [(plan.columns, plan.scale) for plan in beside] == own
    assert [(plan.tries, plan.average, plan.shared) for plan in beside] == [(3, 1, plan.shared) for plan in plans]
    same = plan_searches(odd, odd, "", (1, 1, 1), (1, 1, 1), 1.0, 2, **LAYOUT)
    assert {(plan.columns, plan.scale) for plan in same.values()} == {own[0]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_chapter_runs_on_such_a_file_to_its_end(odd, tmp_path):
    out = tmp_path / "one.ipynb"
    given = {"dataset": odd, "columns": COLUMNS, "scale": SCALE, "n_seeds": 1, "list_length": 3}
    papermill.execute_notebook(str(NOTEBOOKS / "01_one_run.ipynb"), str(out), given, progress_bar=False)
    made = nbformat.read(out, as_version=4)
    assert glued_in(made)["dataset"] == odd
    parts = [part for cell in made.cells for part in cell.get("outputs", []) if "data" in part]
    texts = [part.data.get("text/plain", "") for part in parts]
    assert any("1 to 10 in steps of 1" in text for text in texts)
    assert any(checksum(odd) in text for text in texts)
    assert fill_file(out) > 5
