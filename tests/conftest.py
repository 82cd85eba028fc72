"""Shared fixtures: small ratings and records that can be checked by hand, and the real data where they are at hand."""

import ast
import json
import os
import re
from pathlib import Path

import dask
import numpy as np
import pytest
import torch
from distributed import LocalCluster
from hypothesis import HealthCheck, settings

from flexlib.config import FlexError
from flexlib.data import Ratings
from flexlib.datasets.loading import load_ratings
from flexlib.datasets.sources import data_folders
from flexlib.runs.records import blank_record, to_table

# Cases a property: the same ones in each run, or with HYPOTHESIS_PROFILE=long many others. None is timed, as machines
# differ.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", _UNTIMED, max_examples=300, derandomize=True)
settings.register_profile("long", _UNTIMED, max_examples=5_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

SMALL = "synthetic:users=60,items=90,ratings=1500,seed=1"


def make_ratings(triples, n_users=None, n_items=None, scale=(0.5, 5.0, 0.5), name="hand-made"):
    """`Ratings` from (user, item, stars) with dense ids; original ids are 100 + user and 200 + item."""
    users, items, values = (np.array(column) for column in zip(*triples, strict=True))
    n_users, n_items = n_users or users.max() + 1, n_items or items.max() + 1
    return Ratings(
        name=name,
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        values=values.astype(np.float32),
        timestamps=None,
        user_ids=100 + np.arange(n_users),
        item_ids=200 + np.arange(n_items),
        scale=scale,
        titles=np.array([f"Film {i}" for i in range(n_items)], dtype=object),
    )


def random_ratings(seed, n_users=7, n_items=9, share=0.5):
    """Half-star ratings of about a share of all pairs, with a user and an item that have a single one."""
    rng = np.random.default_rng(seed)
    triples = [(u, i, rng.integers(1, 11) / 2) for u in range(n_users) for i in range(n_items) if rng.random() < share]
    triples += [(n_users, 0, 4.0), (0, n_items, 2.5)]
    return make_ratings(triples)


def records_of(plan, outcome):
    """A plan's table of records without a run: `outcome(k, protocol)` is run k's RMSE, the status of a run without one,
    or the fields of its record that matter."""
    ratings, records = plan.load(), []
    for k in range(len(plan.configs)):
        for protocol in plan.protocols:
            found = outcome(k, protocol)
            found = (
                {"status": found} if isinstance(found, str) else found if isinstance(found, dict) else {"rmse": found}
            )
            blank = blank_record(plan.run(k, protocol, 1.0), ratings, found.get("status", "ok"))
            blank |= {"mae": 0.5, "seconds": 1.0, "device": "cpu"} if blank["status"] == "ok" else {}
            records.append(blank | found)
    return to_table(records, plan.key)


def not_told(chapter, numbers):
    """The keys that a chapter's text shows and that neither `numbers` holds nor the notebook adds to them by itself."""
    path = Path(__file__).parents[1] / "notebooks" / f"{chapter}.ipynb"
    cells = [("".join(c["source"]), c["cell_type"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    shown = set(re.findall(r"\{glue:text\}`([^`:]+)", "".join(text for text, kind in cells if kind == "markdown")))
    (glueing,) = (ast.parse(text) for text, kind in cells if kind == "code" and "glue(" in text)
    keys = [key for node in ast.walk(glueing) if isinstance(node, ast.Dict) for key in node.keys]
    keys += [node.key for node in ast.walk(glueing) if isinstance(node, ast.DictComp)]
    added = ["rerun_words"] if "rerun_numbers" in ast.dump(glueing) else []
    for key in keys:
        parts = getattr(key, "values", [key])  # of an f-string, whose fields may be anything
        added.append("".join(re.escape(part.value) if isinstance(part, ast.Constant) else ".+" for part in parts))
    assert len(shown) > 5
    return {key for key in shown - set(numbers) if not any(re.fullmatch(own, key) for own in added if own != ".+")}


@pytest.fixture(scope="session", autouse=True)
def one_cluster():
    """One Dask cluster for all tests that run plans: a thread of this process, as a process takes seconds to start."""
    with (
        dask.config.set({"distributed.worker.profile.enabled": False}),
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("FLEXLIB_SCHEDULER", cluster.scheduler_address)
        yield cluster


@pytest.fixture
def drawn():
    """The chapters' style, and every figure rendered once, which is when much of what is wrong is warned of."""
    from flexstudy.style import use_style  # here, as its import takes long and few tests draw
    from matplotlib import pyplot, rc_context

    with rc_context():
        use_style()
        yield
        for number in pyplot.get_fignums():
            pyplot.figure(number).canvas.draw()
        pyplot.close("all")


@pytest.fixture
def real_data():
    """A loader of named sets that skips the test, saying why, where the set is not on this machine."""

    def load(name):
        if not any((folder / name).exists() or (folder / f"{name}.zip").exists() for folder in data_folders()):
            pytest.skip(f"needs {name}, which is neither in FLEXLIB_DATA nor in the cache")
        return load_ratings(name)

    return load


@pytest.fixture
def authors_records():
    """The path of the authors' table, which lies beside the data sets and is not part of this project."""
    for folder in data_folders():
        path = folder.parent / "reference" / "authors-records.csv"
        if path.exists():
            return path
    pytest.skip("needs the authors' table: reference/authors-records.csv beside the folder FLEXLIB_DATA")


@pytest.fixture
def papers_figures():
    """The text of the paper's tables and figures as data, which is not part of this project."""
    for folder in data_folders():
        path = folder.parent / "paper" / "tables-and-figures.md"
        if path.exists():
            return path.read_text(encoding="utf-8")
    pytest.skip("needs the paper's tables as data: paper/tables-and-figures.md beside the folder FLEXLIB_DATA")


@pytest.fixture
def double_precision():
    """Run a test in float64, so that a comparison can be tight."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def refused():
    """Assert that a call raises a `FlexError` of one line that holds every given piece."""

    def check(call, *pieces):
        with pytest.raises(FlexError) as caught:
            call()
        message = str(caught.value)
        assert "\n" not in message
        for piece in pieces:
            assert piece in message, message
        return message

    return check
