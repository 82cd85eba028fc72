"""Records as the explorer reads them, made without a run, and texts that must not get into a page as HTML."""

import itertools
import json

import numpy as np
from conftest import SMALL, records_of
from flexstudy.plans import LEAKY_AND_LEAK_FREE, courses
from hypothesis import strategies as st

from flexlib.config import FlexConfig
from flexlib.runs.plan import Plan, Setting

# What ids, titles and names may hold, and what would show that one of them got into a page as HTML.
HOSTILE = ["<script>alert(1)</script>", "' onload='alert(1)", '" onload="alert(1)', "&lt;b&gt;", "a & b </p>", "<!--"]
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text("<>&'\"/=;#! abc", min_size=1, max_size=12))


def named(configs):
    """Settings of a plan, by their number."""
    return [Setting(f"sample {k}", config) for k, config in enumerate(configs)]


def random_records():
    """A sweep whose settings have values of the grid, or not."""
    rng = np.random.default_rng(0)
    pivots, layers = ([1, 0], [0, 1]), ([64, 4], [8])
    configs = [
        FlexConfig(activation=a, optimizer=o, pivot_indexes=p, mean_normalization=m, hidden_layers=h)
        for a, o, p, m, h in itertools.product(["tanh", "relu", "gelu"], ["sgd", "adam"], pivots, [True, False], layers)
    ]
    plan = Plan.repeat("sweep", SMALL, LEAKY_AND_LEAK_FREE, named(configs), 1)
    outcome = {0: "diverged", 1: "skipped"}
    return records_of(plan, lambda *_: outcome.get(int(rng.integers(5))) or float(rng.uniform(0.7, 1.5)))


def made_course(start, titles=("A film", "Another"), ids=(7, 8)):
    test = [start, start - 0.1, start - 0.15]
    edges = [0.375, 0.625, 0.875, 1.125]
    return {
        "training": [value + 0.05 for value in test],
        "test": test,
        "edges": edges,
        "rmse": {"unrounded": start - 0.15, "clipped": start - 0.16, "rounded": start - 0.12},
        "histogram": {"actual": [3, 0, 9], "unrounded": [1, 10, 1], "rounded": [6, 0, 6]},
        "lists": {"5": [[ids[0], titles[0], 4.321], [ids[1], titles[1], 4.2]], "9": [[ids[1], "", 3.9]]},
    }


ENDED = {"table2:1": 1.0, "table2:7": 1.2, "cfn": 0.95}


def course_records(n_seeds=1):
    plan = courses(SMALL, n_seeds, names=("cfn", "table2:1", "table2:7", "deeprec"), grids=())

    def outcome(k, protocol):
        preset = plan.settings[k].name
        if preset == "deeprec":
            return "skipped"
        if (preset, protocol) == ("table2:7", "holdout"):
            return "diverged"
        start = ENDED[preset] + 0.1 * LEAKY_AND_LEAK_FREE.index(protocol) + plan.seeds[k]
        return {"rmse": start - 0.15, "details": json.dumps(made_course(start))}

    return records_of(plan, outcome)
