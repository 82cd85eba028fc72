"""The chapter on where the accuracy comes from: its tables and numbers, by hand and against plain loops."""

import dataclasses
import math
import statistics
from itertools import product

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, not_told, random_ratings, records_of
from drawings import HOLDOUT, NAN, RELEASED, lines, marks, ticks
from flexstudy.accuracy import (
    COUNTS,
    accuracy_numbers,
    beside_baselines,
    biases_alone,
    leak_by_count,
    leak_numbers,
    leaks_apart,
    plot_baselines,
    plot_counts,
    plot_steps,
    plot_thinned,
    sizes_that_fit,
    step_changes,
    thinned_data_scores,
    visible_and_hidden,
)
from flexstudy.plans import ALONE, STEPS, accuracy, ladder
from flexstudy.references import score_baselines
from flexstudy.style import COLOURS
from matplotlib.colors import to_hex
from scipy import stats
from scipy.sparse import csr_matrix, hstack
from scipy.sparse.linalg import lsqr

from flexlib.config import PAPERS_DATASET, TABLE2_RMSE, FlexConfig, Protocol
from flexlib.data import split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import evaluate
from flexlib.train import fit

SETS = ("table2:1", "table2:7", "table2:10")


def interval(values, setting="table2:1"):
    """Mean and t-interval from their definitions; the variance of the mean is s^2 (1 / n + test / training)."""
    rate = FlexConfig.preset(setting).test_split_rate
    mean, half = statistics.fmean(values), stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values)
    half *= math.sqrt(1 / len(values) + rate / (1 - rate))
    return pytest.approx((mean, mean - half, mean + half), abs=1e-9)


# Stars that each field of a protocol is worth where it is as `holdout` has it.
WORTH = {
    "means": 0.1,
    "unseen_fallback": 0.01,
    "test_input": -0.02,
    "loss_entries": 0.003,
    "noise": 0.0,
    "pad_first_pass": -0.005,
    "rounding": 0.0004,
}


def planted(setting, seed, name):
    """Each field adds what it is worth, times the setting's place from 1, and a little more on later splits."""
    protocol, holdout = Protocol.named(name).to_dict(), Protocol.named("holdout").to_dict()
    gained = sum(worth for field, worth in WORTH.items() if protocol[field] == holdout[field])
    return 0.8 + 0.3 * setting + (setting + 1) * gained * (1 + seed / 10)


def accuracy_records(outcome=planted, n_seeds=3, sets=SETS):
    plan = accuracy(SMALL, n_seeds, sets)
    return records_of(plan, lambda k, name: outcome(sets.index(plan.settings[k].name), plan.seeds[k], name))


def test_a_step_changes_the_rmse_by_what_its_field_is_worth():
    steps = step_changes(accuracy_records())
    assert steps["set"].tolist() == [name for name in SETS for _ in STEPS]
    assert steps["step"].tolist() == list(STEPS) * 3
    assert steps["protocol"].tolist() == list(ladder().values())[1:] * 3
    for row in steps.itertuples():
        each = [(SETS.index(row.set) + 1) * WORTH[row.step] * (1 + seed / 10) for seed in range(3)]
        assert (row.change, row.low, row.high) == interval(each, row.set)
        assert row.n == 3
        assert row.rmse - row.start == pytest.approx(row.change)
    for setting, name in enumerate(SETS):
        own = steps[steps["set"] == name]
        assert own["start"].iloc[0] == pytest.approx(0.8 + 0.3 * setting)
        assert own["start"].tolist()[1:] == own["rmse"].tolist()[:-1]
        assert own["rmse"].iloc[-1] == pytest.approx(np.mean([planted(setting, seed, "holdout") for seed in range(3)]))


def test_only_splits_on_which_every_step_ended_well_count():
    """Of set 7 one split diverges on the way, of set 10 two of three are lost; `holdout` itself is not on the way."""
    middle = ladder()["test_input"]

    def outcome(setting, seed, name):
        if (setting, seed, name) in ((1, 1, middle), (2, 0, middle)):
            return "diverged"
        lost = (setting, seed, name) == (2, 2, "released") or (setting, name) == (0, "holdout")
        return "skipped" if lost else planted(setting, seed, name)

    steps = step_changes(accuracy_records(outcome))
    assert set(steps["set"]) == {"table2:1", "table2:7"}
    assert set(steps["n"][steps["set"] == "table2:1"]) == {3}
    own = steps[steps["set"] == "table2:7"].set_index("step")
    assert set(own["n"]) == {2}
    assert tuple(own.loc["means", ["change", "low", "high"]]) == interval([2 * 0.1, 2 * 0.1 * 1.2], "table2:7")
    assert own.loc["means", "start"] == pytest.approx(1.1)


def test_one_split_has_changes_without_an_interval():
    steps, apart = step_changes(accuracy_records(n_seeds=1)), leaks_apart(accuracy_records(n_seeds=1))
    assert steps["set"].nunique() == apart["set"].nunique() == len(SETS)
    assert steps.loc[steps["step"] == "means", "change"].notna().all()
    assert steps[["low", "high"]].isna().all(axis=None)
    none = accuracy_records(lambda *_: "diverged", n_seeds=1)
    assert step_changes(none).columns.tolist() == steps.columns.tolist()
    assert len(step_changes(none)) == len(leaks_apart(none)) == 0


def test_the_leaks_are_compared_with_neither_on_the_same_splits():
    def outcome(setting, seed, name):
        if (setting, seed, name) == (1, 0, ALONE["input alone"]):
            return "diverged"
        if setting == 2 and seed > 0 and name == ALONE["means alone"]:
            return "skipped"
        return planted(setting, seed, name)

    apart = leaks_apart(accuracy_records(outcome))
    assert apart["set"].tolist() == ["table2:1"] * 4 + ["table2:7"] * 4
    assert apart["leaks"].tolist() == list(ALONE) * 2
    assert apart["n"].tolist() == [3] * 4 + [2] * 4
    # The leak of the means takes back what they are worth, and the fallback that goes with them; so does the input's.
    worth = {"neither leak": 0, "means alone": -0.1 - 0.01, "input alone": 0.02, "both leaks": -0.1 - 0.01 + 0.02}
    for row in apart.itertuples():
        setting = SETS.index(row.set)
        splits = range(3) if setting == 0 else (1, 2)
        each = [(setting + 1) * worth[row.leaks] * (1 + seed / 10) for seed in splits]
        assert (row.change, row.low, row.high) == interval(each, row.set)
        assert row.rmse == pytest.approx(np.mean([planted(setting, seed, ALONE[row.leaks]) for seed in splits]))


def test_a_network_stands_beside_predictors_that_saw_the_same_ratings():
    ratings = load_ratings(SMALL)
    lost = (1, 2, "released")
    records = accuracy_records(lambda *run: "diverged" if run == lost else planted(*run))
    table = beside_baselines(records, ratings, "table2:7").set_index(["predictor", "fitted_on"])
    assert (table.loc["user and item biases", ["gap", "gap_low", "gap_high"]] == 0).all(axis=None)
    predictors = ["FlexEncoder", "item mean", "user mean", "user and item biases"]
    assert set(table.index) == {(name, f"{part} ratings") for name in predictors for part in ("all", "training")}
    rate = FlexConfig.preset("table2:7").test_split_rate
    for fitted_on, protocol in (("all ratings", "released"), ("training ratings", "holdout")):
        network = {seed: planted(1, seed, protocol) for seed in range(3) if (1, seed, protocol) != lost}
        row = table.loc["FlexEncoder", fitted_on]
        assert row["n"] == len(network)
        assert tuple(row[["mean", "low", "high"]]) == interval(list(network.values()), "table2:7")
        gap_of_network, found, biases = row, {}, {}
        for seed in range(3):
            split = split_ratings(ratings, rate, seed)
            used = split.train if fitted_on == "training ratings" else np.arange(len(ratings))
            values = ratings.values.astype(float)
            squares = []
            for test in split.test:
                of_item, of_user = (values[used][ids[used] == ids[test]] for ids in (ratings.items, ratings.users))
                own = next(part for part in (of_item, of_user, values[used]) if len(part))
                squares.append((values[test] - own.mean()) ** 2)
            found[seed] = math.sqrt(np.mean(squares))
            (fitted,) = [
                one
                for one in score_baselines(ratings, rate, [seed])
                if (one["predictor"], one["fitted_on"]) == ("user and item biases", fitted_on)
            ]
            biases[seed] = fitted["rmse"]
        row = table.loc["item mean", fitted_on]
        assert row["n"] == 3
        assert row["mean"] == pytest.approx(np.mean(list(found.values())), abs=1e-6)
        paired = interval([found[seed] - biases[seed] for seed in range(3)], "table2:7")
        assert tuple(row[["gap", "gap_low", "gap_high"]]) == pytest.approx(paired.expected, abs=1e-5)
        # Paired: the split that the network diverged on counts for the mean of the biases and not for the difference.
        paired = interval([rmse - biases[seed] for seed, rmse in network.items()], "table2:7")
        assert tuple(gap_of_network[["gap", "gap_low", "gap_high"]]) == pytest.approx(paired.expected, abs=1e-5)


def least_squares(ratings, used):
    """Overall mean and biases of users and items that fit the used ratings best, as predictions of all, by NumPy."""
    design = np.zeros((len(ratings), ratings.n_users + ratings.n_items))
    design[np.arange(len(ratings)), ratings.users] = design[
        np.arange(len(ratings)), ratings.n_users + ratings.items
    ] = 1
    values = ratings.values.astype(float)
    known = np.zeros(design.shape[1], bool)  # the others are left out, and have the bias 0
    known[ratings.users[used]] = known[ratings.n_users + ratings.items[used]] = True
    found = np.linalg.lstsq(design[used][:, known], values[used] - values[used].mean(), rcond=None)[0]
    return values[used].mean() + design[:, known] @ found


def rmse_of_split(ratings, split, used, predicted):
    """RMSE over the test ratings; where user or item has no rating in use, by the mean of the one that has some."""
    values, squares = ratings.values.astype(float), {}
    for test in split.test:
        of_user, of_item = (values[used][ids[used] == ids[test]] for ids in (ratings.users, ratings.items))
        known = predicted(test, of_item)
        if not len(of_user) or not len(of_item):
            known = next(part for part in (of_user, of_item, values[used]) if len(part)).mean()
        squares.setdefault(int((ratings.items == ratings.items[test]).sum()), []).append((values[test] - known) ** 2)
    return squares


def test_biases_that_are_not_shrunk_are_least_squares_with_and_without_the_test_ratings():
    ratings = load_ratings(SMALL)
    table = biases_alone(ratings, "table2:7", 4).set_index("fitted_on")
    for fitted_on, row in table.iterrows():
        rmse = []
        for seed in range(4):
            split = split_ratings(ratings, FlexConfig.preset("table2:7").test_split_rate, seed)
            used = np.arange(len(ratings)) if fitted_on == "all ratings" else split.train
            best = least_squares(ratings, used)
            squares = rmse_of_split(ratings, split, used, lambda test, _, best=best: best[test])
            rmse.append(math.sqrt(np.mean(np.concatenate(list(squares.values())))))
        assert row["n"] == 4
        assert tuple(row[["mean", "low", "high"]]) == pytest.approx(interval(rmse, "table2:7").expected, abs=1e-4)
    assert table.loc["all ratings", "high"] < table.loc["training ratings", "mean"]


def test_without_a_network_the_leak_alone_is_below_the_papers_rmse(real_data):
    """Against a library's sparse least squares."""
    ratings, values = real_data(PAPERS_DATASET), None
    values = ratings.values.astype(float)
    ones, rows = np.ones(len(ratings)), np.arange(len(ratings))
    users = csr_matrix((ones, (rows, ratings.users)), (len(ratings), ratings.n_users))
    design = hstack([users, csr_matrix((ones, (rows, ratings.items)), (len(ratings), ratings.n_items))]).tocsr()
    best = values.mean() + design @ lsqr(design, values - values.mean(), atol=1e-10, btol=1e-10)[0]
    table = biases_alone(ratings)
    known = table.set_index("fitted_on").loc["all ratings"]
    tests = [split_ratings(ratings, 0.3, seed).test for seed in range(10)]
    rmse = [math.sqrt(np.mean((best[test] - values[test]) ** 2)) for test in tests]
    assert known["mean"] == pytest.approx(np.mean(rmse), abs=1e-5)
    assert known["high"] < TABLE2_RMSE["table2:1"]
    numbers = leak_numbers(table, leak_by_count(ratings, n_splits=2), TABLE2_RMSE["table2:1"])
    assert numbers["published_words"] == "That is below the 0.833 that the paper prints for its network."
    assert (numbers["rated_once_leaky"], numbers["rated_once_holdout"]) == (0, pytest.approx(1.0, abs=0.05))
    assert numbers["rated_often_holdout"] - numbers["rated_often_leaky"] == pytest.approx(0.012, abs=0.003)


def test_the_leak_by_how_often_a_film_is_rated_is_that_of_plain_loops():
    ratings = random_ratings(3, 80, 60, 0.4)
    once = ratings.items >= 50  # the first rating alone of each of the last items is kept
    once[np.unique(ratings.items, return_index=True)[1]] = False
    kept = np.flatnonzero(~once)
    ratings = dataclasses.replace(
        ratings, users=ratings.users[kept], items=ratings.items[kept], values=ratings.values[kept]
    )
    table = leak_by_count(ratings, "table2:1", 3).set_index("rated")
    assert list(table.index) == [rated for rated in COUNTS if rated in table.index]
    assert {"1", "21 to 50"} <= set(table.index)
    bounds = {
        "1": (1, 1),
        "2": (2, 2),
        "3 to 5": (3, 5),
        "6 to 10": (6, 10),
        "11 to 20": (11, 20),
        "21 to 50": (21, 50),
    }
    bounds["51 or more"] = (51, math.inf)
    for rated, row in table.iterrows():
        low, high = bounds[rated]
        for name in ("leaky", "holdout"):
            rmse, n = [], 0
            for seed in range(3):
                split = split_ratings(ratings, 0.3, seed)
                used = np.arange(len(ratings)) if name == "leaky" else split.train
                squares = rmse_of_split(ratings, split, used, lambda _, of_item: of_item.mean() if len(of_item) else 0)
                own = [square for count, some in squares.items() if low <= count <= high for square in some]
                n += len(own)
                rmse += [math.sqrt(np.mean(own))] if own else []
            assert (row["n"], row["splits"]) == (n / 3, len(rmse))
            found = tuple(row[[name, f"{name}_low", f"{name}_high"]])
            assert found == (pytest.approx(interval(rmse).expected, abs=1e-5) if len(rmse) > 1 else found)
            assert found[0] == pytest.approx(np.mean(rmse), abs=1e-5)
    assert table.loc["1", "leaky"] == 0 < table.loc["1", "holdout"]


def test_the_leaks_numbers_and_sentences_are_of_what_the_data_have():
    alone = pd.DataFrame(
        {
            "fitted_on": ["all ratings", "training ratings"],
            "n": 4,
            "mean": [0.8, 0.9],
            "low": 0.79,
            "high": [0.82, 0.92],
        }
    )
    counts = pd.DataFrame({"rated": ["1", "2", "51 or more"], "leaky": [0.0, 0.5, 0.9], "holdout": [1.25, 1.0, 0.95]})
    numbers = leak_numbers(alone, counts, 0.833)
    assert [numbers[f"biases_unshrunk_leaky{end}"] for end in ("", "_low", "_high")] == [0.8, 0.79, 0.82]
    assert [numbers[f"biases_unshrunk_holdout{end}"] for end in ("", "_low", "_high")] == [0.9, 0.79, 0.92]
    assert [numbers[f"rated_{name}"] for name in ("once_leaky", "once_holdout", "often_leaky", "often_holdout")] == [
        0.0,
        1.25,
        0.9,
        0.95,
    ]
    assert "below the 0.833" in numbers["published_words"]
    assert "not clearly below the 0.810" in leak_numbers(alone, counts, 0.81)["published_words"]
    few = leak_numbers(alone, counts[1:2])
    assert few["published_words"] == ""
    assert all(math.isnan(few[f"rated_{word}_{name}"]) for word in ("once", "often") for name in ("leaky", "holdout"))


def test_visible_and_hidden_ratings_are_scored_apart_of_one_model_each():
    ratings = random_ratings(3, 25, 30)
    seen = visible_and_hidden(ratings, ["table2:1", "cfn"], 2, device="cpu")
    assert seen[["preset", "protocol"]].to_numpy().tolist() == [
        [preset, protocol] for preset in ("table2:1", "cfn") for protocol in ("released", "described")
    ]
    for row in seen.itertuples():
        parts = []
        for seed in range(2):
            table = evaluate(fit(ratings, FlexConfig.preset(row.preset), row.protocol, seed, device="cpu")).predictions
            squares = {True: [], False: []}
            for line in table.itertuples():
                squares[line.hidden].append((line.actual - line.predicted) ** 2)
            parts.append([math.sqrt(np.mean(squares[hidden])) for hidden in (False, True)])
        visible, hidden = np.transpose(parts)
        assert (row.n, row.visible, row.hidden) == (2, pytest.approx(visible.mean()), pytest.approx(hidden.mean()))
        assert (row.gap, row.gap_low, row.gap_high) == interval(visible - hidden, row.preset)


def test_runs_that_diverge_are_neither_visible_nor_hidden(monkeypatch):
    wild = {"learning_rate": 1e12, "optimizer": "sgd", "activation": "relu", "epochs": 5}
    own = {"wild": wild, "tame": {"hidden_layers": [2], "epochs": 1}}
    monkeypatch.setattr(FlexConfig, "preset", classmethod(lambda cls, name: cls.from_dict(own[name])))
    seen = visible_and_hidden(random_ratings(3, 25, 30), ["wild", "tame"], 1, ["released"], "cpu")
    assert seen[["preset", "n"]].to_numpy().tolist() == [["tame", 1]]
    assert math.isnan(seen["gap_low"].iloc[0])


def test_sizes_are_left_out_that_synthetic_data_cannot_have(refused):
    sizes = [100_000, 15_001, 15_000, 300, 299]
    found = sizes_that_fit(sizes, 100, 300)
    assert found == [15_000, 300]
    for size in sizes:
        name = f"synthetic:users=100,items=300,ratings={size}"
        if size in found:
            assert len(load_ratings(name)) == size
        else:
            refused(lambda name=name: load_ratings(name), "cannot be drawn")
    refused(lambda: sizes_that_fit([100_000, 50_000], 100, 300), "thin_ratings", "100 users", "300 to 15,000 ratings")


def test_thinned_data_have_their_own_floor_and_every_predictor():
    table = thinned_data_scores([900, 400], 40, 50, "table2:1", 2, "cpu")
    predictors = [
        "released",
        "holdout",
        "oracle",
        "item mean, all ratings",
        "item mean, training ratings",
    ]
    assert set(zip(table["ratings"], table["predictor"], strict=True)) == set(product((900, 400), predictors))
    assert len(table) == 2 * len(predictors)
    config = FlexConfig.preset("table2:1")
    for size, own in table.groupby("ratings"):
        ratings = load_ratings(f"synthetic:users=40,items=50,ratings={size},seed=0")
        assert len(ratings) == size
        assert set(own["floor"]) == {ratings.noise_floor}
        rows = own.set_index("predictor")
        assert set(rows["n"]) == {2}
        networks = {}
        for name in ("released", "holdout"):
            networks[name] = rmse = [evaluate(fit(ratings, config, name, seed, device="cpu")).rmse for seed in range(2)]
            assert tuple(rows.loc[name, ["mean", "low", "high"]]) == interval(rmse)
        oracle, item_means = [], []
        for seed in range(2):
            test = split_ratings(ratings, config.test_split_rate, seed).test
            gap = ratings.oracle[test].astype(float) - ratings.values[test]
            oracle.append(math.sqrt((gap**2).mean()))
            of_item = [ratings.values[ratings.items == ratings.items[k]].mean(dtype=float) for k in test]
            item_means.append(math.sqrt(((of_item - ratings.values[test]) ** 2).mean()))
        assert tuple(rows.loc["oracle", ["mean", "low", "high"]]) == interval(oracle)
        less = interval(np.subtract(networks["released"], oracle))  # paired: narrower than of two apart
        assert tuple(rows.loc["released", ["over", "over_low", "over_high"]]) == less
        assert rows.loc["oracle", ["over", "over_low", "over_high"]].tolist() == [0, 0, 0]
        assert rows.loc["item mean, all ratings", "mean"] == pytest.approx(np.mean(item_means), abs=1e-6)
        assert rows.loc["item mean, training ratings", "mean"] > rows.loc["item mean, all ratings", "mean"]


def hand_evidence(outcome=planted):
    records, ratings = accuracy_records(outcome), load_ratings(SMALL)
    seen = pd.DataFrame(
        [
            {
                "preset": "table2:1",
                "protocol": "released",
                "n": 2,
                "visible": 1.0,
                "hidden": 1.2,
                "gap": -0.2,
                "gap_low": -0.3,
                "gap_high": -0.1,
            },
        ]
    )
    thin = pd.DataFrame(
        [
            {
                "ratings": size,
                "floor": 0.7 + shift,
                "predictor": name,
                "n": 2,
                "mean": rmse + shift,
                "low": rmse - 0.1,
                "high": rmse + 0.1,
                "over": rmse - 0.71,
                "over_low": rmse - 0.8,
                "over_high": rmse - 0.6,
            }
            for size, shift in ((500, 0.0), (2000, 0.2), (900, 0.1))
            for name, rmse in (
                ("released", 0.6),
                ("holdout", 1.1),
                ("oracle", 0.71),
            )
        ]
    )
    steps, apart = step_changes(records), leaks_apart(records)
    return steps, apart, beside_baselines(records, ratings), seen, thin


def test_the_numbers_by_hand():
    evidence = hand_evidence()
    numbers = accuracy_numbers(*evidence)
    steps, apart, beside, *_ = evidence
    assert (numbers["n_seeds"], numbers["sets"]) == (3, 3)
    assert numbers["others"] == pytest.approx(0.02 * 1.1)  # of the steps but the means, the input's
    assert (numbers["means_least"], numbers["means_most"]) == pytest.approx((0.2 * 1.1, 0.3 * 1.1))
    row = steps.iloc[2]
    assert [numbers[f"step_test_input{end}"] for end in ("", "_low", "_high")] == [row.change, row.low, row.high]
    assert numbers["means_alone"] == pytest.approx(-0.11 * 1.1)
    assert numbers["with_fallback"] == pytest.approx((0.1 + 0.01) * 1.1)
    assert numbers["input_alone_low"] == apart.loc[(apart["leaks"] == "input alone").idxmax(), "low"]
    own = beside.set_index(["predictor", "fitted_on"])
    for key, place in {
        "FlexEncoder_training": ("FlexEncoder", "training ratings"),
        "item_mean_all": ("item mean", "all ratings"),
        "user_and_item_biases_training": ("user and item biases", "training ratings"),
    }.items():
        assert numbers[key] == own.loc[place, "mean"]
        assert numbers[f"{key}_high"] == own.loc[place, "high"]
        assert numbers[f"{key}_gap"] == own.loc[place, "gap"]
        assert numbers[f"{key}_gap_low"] == own.loc[place, "gap_low"]
    assert numbers["seen_worth"] == 0.2
    assert (numbers["thin_ratings"], numbers["thin_over"], numbers["thin_under"]) == pytest.approx((500, -0.11, 0.11))
    assert {type(number) for number in numbers.values()} == {int, float, str}  # as which they can be read again
    assert [numbers[f"thin_over{end}"] for end in ("_low", "_high")] == pytest.approx([-0.2, 0.0])


def test_numbers_of_a_set_that_diverges_on_the_way_are_left_out():
    evidence = hand_evidence(
        lambda setting, seed, name: (
            "diverged" if (setting, name) == (0, ladder()["noise"]) else planted(setting, seed, name)
        )
    )
    numbers = accuracy_numbers(*evidence)
    unknown = ("n_seeds", "others", "with_fallback", "step_means", "step_noise_high")
    assert np.isnan([numbers[name] for name in unknown]).all()
    assert numbers["steps_words"] == ""
    assert (numbers["sets"], numbers["thin_ratings"]) == (2, 500)
    assert numbers["input_alone"] == pytest.approx(0.02 * 1.1)


def test_where_no_set_ends_well_the_steps_are_left_out_with_a_sentence():
    steps, apart, *others = hand_evidence(lambda *_: "skipped")
    assert len(steps) == len(apart) == 0
    numbers = accuracy_numbers(steps, apart, *others)
    assert "no set of Table 2 ended well" in numbers["steps_words"]
    assert numbers["sets"] == 0
    assert numbers.keys() == accuracy_numbers(*hand_evidence()).keys()
    assert np.isnan([numbers[name] for name in ("means_least", "means_alone", "FlexEncoder_all")]).all()


def test_every_number_of_the_chapters_text_is_there():
    ratings = load_ratings(SMALL)
    leak = leak_numbers(biases_alone(ratings, n_splits=2), leak_by_count(ratings, n_splits=2))
    for outcome in (planted, lambda *_: "skipped"):
        assert not_told("04_accuracy", accuracy_numbers(*hand_evidence(outcome)) | leak) == set()


def test_thinned_runs_that_diverge_do_not_count(monkeypatch):
    wild = {"learning_rate": 1e12, "optimizer": "sgd", "activation": "relu", "epochs": 5}
    monkeypatch.setattr(FlexConfig, "preset", classmethod(lambda cls, _: cls.from_dict(wild)))
    rows = thinned_data_scores([900], 40, 50, "wild", 2, "cpu").set_index("predictor")
    assert rows.loc["released", "n"] == 0
    assert rows.loc["released", ["mean", "over"]].isna().all()
    assert rows.loc[["oracle", "item mean, all ratings"], "n"].tolist() == [2, 2]


def steps_table(name="table2:1"):
    rows, start = [], 0.8
    for place, step in enumerate(STEPS):
        change = 0.1 if place == 0 else 0.01 * (-1) ** place
        rows.append(
            {
                "set": name,
                "step": step,
                "n": 3,
                "start": start,
                "rmse": start + change,
                "change": change,
                "low": change - 0.005,
                "high": change + 0.005,
            }
        )
        start += change
    return pd.DataFrame(rows)


@pytest.mark.usefixtures("drawn")
def test_steps_are_a_waterfall_from_released_to_leak_free():
    steps = pd.concat([steps_table("table2:7"), steps_table()])
    figure = plot_steps(steps, "table2:1", STEPS, "here")
    (ax,) = figure.axes
    title = "The longest step, +0.100 stars: row means from training ratings\nhere, table2:1, 3 splits"
    assert figure.get_suptitle() == title
    assert ax.get_xlabel() == "RMSE (stars)"
    own = steps_table()
    bars = [bar for held in ax.containers if isinstance(held, mpl.container.BarContainer) for bar in held]
    bars = sorted(bars, key=lambda bar: bar.get_y())
    assert [bar.get_width() for bar in bars] == pytest.approx(own["change"].tolist())
    assert [bar.get_x() for bar in bars] == pytest.approx(own["start"].tolist())
    worse = [to_hex(bar.get_facecolor()) == COLOURS["means"].lower() for bar in bars]
    assert worse == (own["change"] > 0).tolist()
    for word, place, rmse in (("leaky", -1, 0.8), ("leak-free", len(own), own["rmse"].iloc[-1])):
        (mark,) = lines(ax, word)
        assert mark.get_xydata().tolist() == [[pytest.approx(rmse), place]]
    (spans,) = [spans for _, _, spans, _ in marks(ax).values()]
    assert [end[0] for end in spans[0]] == pytest.approx([0.895, 0.905])
    words = [" ".join(text.split()) for text in ticks(ax.yaxis)]
    assert words == [RELEASED, *STEPS.values(), HOLDOUT]
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["0.800", *(f"{change:+.3f}" for change in own["change"]), f"{own['rmse'].iloc[-1]:.3f}"]
    low, high = ax.get_xlim()
    assert low < 0.8 < 0.91 < high


@pytest.mark.usefixtures("drawn")
def test_the_leak_is_drawn_by_how_often_films_are_rated():
    table = pd.DataFrame(
        {
            "rated": ["1", "51 or more"],
            "n": [12.4, 1300.0],
            "splits": [3, 4],
            "leaky": [0.0, 0.9],
            "leaky_low": [NAN, 0.85],
            "leaky_high": [NAN, 0.95],
            "holdout": [1.1, 0.95],
            "holdout_low": [NAN, 0.9],
            "holdout_high": [NAN, 1.0],
        }
    )
    (ax,) = plot_counts(table, "here").axes
    found = marks(ax)
    for word, rmse, name in (("leaky", [0.0, 0.9], "released"), ("leak-free", [1.1, 0.95], "holdout")):
        x, y, spans, colour = found[word]
        assert (list(x), y) == ([0, 1], rmse)
        assert [end[1] for end in spans[1]] == pytest.approx([rmse[1] - 0.05, rmse[1] + 0.05])
        assert colour == COLOURS[name].lower()
    assert sorted(text.get_text() for text in ax.texts) == ["leak-free: 1.10", "leaky: 0.00"]
    assert ticks(ax.xaxis) == ["1", "51 or\nmore"]
    title = "Rated once: the leak is worth 1.10 stars\nRated 51 or more times: the leak is worth 0.05 stars"
    assert ax.get_title(loc="left") == title


@pytest.mark.usefixtures("drawn")
def test_a_network_and_means_are_drawn_by_their_difference_to_biases():
    table = pd.DataFrame(
        [
            {"predictor": name, "fitted_on": on, "n": 3, "gap": gap, "gap_low": gap - 0.01, "gap_high": gap + 0.01}
            for on, shift in (("training ratings", 0.1), ("all ratings", 0))
            for name, gap in (("FlexEncoder", shift - 0.05), ("item mean", 0.2 + shift), ("user and item biases", 0))
        ]
    )
    (ax,) = plot_baselines(table, "here").axes
    assert ticks(ax.yaxis) == ["FlexEncoder", "film mean"]
    found = marks(ax)
    for word, shift, name in (("leaky", 0, "released"), ("leak-free", 0.1, "holdout")):
        x, _, spans, colour = found[word]
        assert x == pytest.approx([shift - 0.05, 0.2 + shift])
        assert [end[0] for end in spans[1]] == pytest.approx([0.19 + shift, 0.21 + shift])
        assert colour == COLOURS[name].lower()
    texts = ["leaky -0.050", "leaky +0.200", "leak-free +0.050", "leak-free +0.300"]
    assert [text.get_text() for text in ax.texts] == texts
    assert ax.get_title(loc="left") == "FlexEncoder: below biases leaky,\nnot below biases leak-free\nhere, 3 splits"
    one = plot_baselines(table.assign(n=1, gap_low=NAN, gap_high=NAN), "here").axes[0]
    assert [text.xy[0] for text in one.texts] == pytest.approx([-0.05, 0.2, 0.05, 0.3])


PREDICTORS = ("released", "holdout", "oracle", "item mean, all ratings", "item mean, training ratings")


def thin_table(half=0.02):
    table = pd.DataFrame(
        [
            {"ratings": size, "predictor": name, "n": 2, "over": place / 10 - 0.2 + size / 1e5}
            for size in (2000, 500)
            for place, name in enumerate(PREDICTORS)
        ]
    )
    return table.assign(over_low=table["over"] - half, over_high=table["over"] + half)


@pytest.mark.usefixtures("drawn")
def test_thinned_data_have_a_line_a_predictor_beside_the_oracle():
    (ax,) = plot_thinned(thin_table(), "table2:1").axes
    assert ax.get_xscale() == "log"
    assert ax.xaxis_inverted()
    assert ticks(ax.xaxis) == ["500", "2,000"]
    for word, shift in (("network, leaky", -0.2), ("network, leak-free", -0.1), ("film mean, leak-free", 0.2)):
        (line,) = lines(ax, word)
        assert line.get_xydata().ravel().tolist() == pytest.approx([2000, shift + 0.02, 500, shift + 0.005])
    words = [text.get_text() for text in ax.texts]
    expected = ["network, leaky", "network, leak-free", "film mean, leaky", "film mean, leak-free"]
    assert words == ["lower than the truth allows", *expected]
    assert ax.get_title(loc="left") == "With 500 ratings, leaky is 0.20 stars below the oracle\ntable2:1, 2 splits"
    low, high = ax.get_ylim()
    assert low < -0.195 < 0.22 < high
    assert len(plot_thinned(thin_table(NAN), "table2:1").axes) == 1
