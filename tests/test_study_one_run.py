"""The comparison of protocols as a table, and its numbers for prose, by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from conftest import random_ratings
from flexstudy.one_run import compare_protocols, learning_curve, protocol_numbers, summarise_protocols
from flexstudy.statistics import mean_interval

from flexlib.config import PROTOCOLS, FlexConfig
from flexlib.evaluate import evaluate
from flexlib.train import fit

CONFIG = FlexConfig(hidden_layers=[4], epochs=2)


def test_compare_protocols_has_a_row_for_each_run_that_fit_and_evaluate_confirm():
    ratings = random_ratings(2, 15, 15)
    scores = compare_protocols(ratings, CONFIG, {name: PROTOCOLS[name] for name in ("released", "holdout")}, [0, 5])
    assert scores[["protocol", "seed"]].to_numpy().tolist() == [
        ["released", 0],
        ["holdout", 0],
        ["released", 5],
        ["holdout", 5],
    ]
    assert scores["rmse"].iloc[3] == evaluate(fit(ratings, CONFIG, "holdout", 5)).rmse


def test_a_diverged_run_has_no_score_even_where_rounding_makes_stars_of_it():
    wild = CONFIG.replace(learning_rate=1e12, optimizer="sgd", activation="relu", prediction_rounding=True, epochs=5)
    scores = compare_protocols(random_ratings(2, 15, 15), wild, {"released": PROTOCOLS["released"]}, [0, 1])
    assert scores["status"].tolist() == ["diverged"] * 2
    assert scores["rmse"].isna().all()
    assert summarise_protocols(scores).loc["released", ["n", "diverged"]].tolist() == [0, 2]


def test_summaries_are_paired_and_count_the_diverged():
    scores = pd.DataFrame(
        {
            "protocol": ["released", "holdout"] * 3,
            "seed": [0, 0, 1, 1, 2, 2],
            "rmse": [0.8, 0.9, 0.7, 0.9, np.nan, 0.9],
            "status": ["ok"] * 4 + ["diverged", "ok"],
        }
    )
    summary = summarise_protocols(scores)
    released = summary.loc["released"]
    assert (released["n"], released["diverged"], released["rmse"]) == (2, 1, pytest.approx(0.75))
    assert released["gap"] == pytest.approx(-0.15)
    assert (released["gap_low"], released["gap_high"]) == pytest.approx(mean_interval([-0.1, -0.2])[1:])
    assert summary.loc["holdout", "gap"] == 0
    assert math.isnan(summarise_protocols(scores[scores["protocol"] == "released"])["gap"].iloc[0])


def test_numbers_for_prose_by_hand():
    scores = pd.DataFrame(
        {
            "protocol": ["released", "holdout"] * 2,
            "seed": [0, 0, 1, 1],
            "rmse": [0.8, 0.9, 0.7, 1.0],
            "status": ["ok"] * 4,
            "seconds": [1.0, 2.0, 3.0, 4.0],
        }
    )
    numbers = protocol_numbers(scores, 0.75)
    assert numbers["rmse_released"] == pytest.approx(0.75)
    assert (numbers["lowest_holdout"], numbers["highest_holdout"]) == (0.9, 1.0)
    assert numbers["gap_released"] == pytest.approx(-0.2)
    assert (numbers["runs"], numbers["n_seeds"], numbers["diverged"], numbers["seconds"]) == (4, 2, 0, 2.5)
    assert (numbers["published"], numbers["off"], numbers["verdict"]) == ("0.75", "+0.000", "inside")
    assert protocol_numbers(scores, 0.81)["verdict"] == "outside"
    assert "leak_closed" not in numbers
    closed = pd.concat([scores, scores[:2].assign(protocol="closed", seed=[0, 1], rmse=[0.9, 0.9])])
    numbers = protocol_numbers(closed, 0.75)
    assert numbers["leak_closed"] == pytest.approx(((0.8 - 0.9) + (0.7 - 0.9)) / 2)
    assert numbers["leak_closed_low"] == pytest.approx(mean_interval([-0.1, -0.2])[1])
    assert protocol_numbers(scores)["published"] == "none for these data"
    gone = protocol_numbers(scores.assign(status="diverged", rmse=np.nan), 0.75)
    assert (gone["diverged"], gone["verdict"], gone["published"]) == (4, "not comparable with", "0.75")


def test_a_learning_curve_ends_at_the_models_score():
    ratings = random_ratings(2, 15, 15)
    curve = learning_curve(ratings, CONFIG, "released", seed=3)
    model = fit(ratings, CONFIG, "released", seed=3)
    assert curve["epoch"].tolist() == [1, 2]
    assert curve["training"].tolist() == model.history
    assert curve["test"].iloc[-1] == evaluate(model).rmse
