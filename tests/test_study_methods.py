"""The chapter on other methods: its table and numbers by hand and against scipy."""

import json
import math
import statistics

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SMALL, make_ratings, not_told
from flexstudy import methods as chapter
from flexstudy.methods import (
    beaten_words,
    compare_methods,
    comparison_numbers,
    count_clearly_lower,
    find_tuned,
    in_table_numbers,
    numbers_by_prefix,
    published_rmse,
    spelled_users,
    summarise_methods,
    tries_made,
    users_bootstrap,
)
from flexstudy.paper import TABLE_3_RMSE
from scipy import stats

from flexlib.data import Split
from flexlib.datasets.loading import load_ratings
from flexlib.methods.networks import NETWORKS
from flexlib.methods.tuning import ALL, COLUMNS, TRY_COLUMNS, Tuning

NAN = math.nan


def interval(values, test_share=0.3):
    """Mean and t-interval over splits, by the definition of Nadeau and Bengio; of a single value there is none."""
    if len(values) == 1:
        return pytest.approx((values[0], NAN, NAN), abs=1e-9, nan_ok=True)
    mean, n = statistics.fmean(values), len(values)
    half = stats.t.ppf(0.975, n - 1) * statistics.stdev(values) * math.sqrt(1 / n + test_share / (1 - test_share))
    return pytest.approx((mean, mean - half, mean + half), abs=1e-9)


def record(method, split, rmse, networks=1, **others):
    """A row of a `Tuning`'s records."""
    blank = {name: "" if kind == "str" else 0 for name, kind in COLUMNS.items()}
    known = {
        "method": method,
        "split": f"seed {split}",
        "networks": networks,
        "rmse": rmse,
        "tries": 10,
        "rmse_known": rmse - 0.01,
        "rmse_own_fallback": rmse + 0.02,
        "seconds": 2.0 + split,
        "tuning_seconds": 60.0 * (split + 1),
    }
    return blank | known | others


# RMSE on four splits; a method that is as good, one that is clearly better, one that is a little worse, and more.
RMSE = {
    "flexencoder": [0.90, 0.91, 0.89, 0.92],
    "svdpp": [0.88, 0.895, 0.871, 0.899],
    "biases": [0.91, 0.90, 0.93, 0.925],
    "nmf": [0.97, 0.96, 0.99, NAN],
    "item_mean": [1.0, 1.02, 0.985, 1.01],
    "slope_one": [0.93, 0.95, 0.92, 0.96],
    "flexencoder_set1": [0.95, 0.955, 0.96, 0.97],
    "autorec_item": [0.915, 0.92, 0.90, 0.94],
}


def records_of_methods(rmse=RMSE):
    rows = [record(key, split, value) for key, own in rmse.items() for split, value in enumerate(own)]
    rows += [record("flexencoder", split, 0.1, networks=5) for split in range(4)]
    return pd.DataFrame(rows).astype(COLUMNS)


@pytest.fixture
def methods_table():
    return summarise_methods(records_of_methods())


def test_methods_are_summed_up_over_splits(methods_table):
    table = methods_table.set_index("method")
    means = {key: statistics.fmean(value for value in own if value == value) for key, own in RMSE.items()}
    assert list(table.index) == sorted(means, key=means.get)
    for key, row in table.iterrows():
        own = [value for value in RMSE[key] if value == value]
        assert (row["mean"], row["low"], row["high"]) == interval(own)
        assert (row["n"], row["tries"]) == (len(own), 10)
        assert row["name"] == ALL[key].name
        assert row["made_by"] == ALL[key].made_by
        gaps = [one - other for one, other in zip(RMSE[key], RMSE["flexencoder"], strict=True) if one == one]
        assert (row["gap"], row["gap_low"], row["gap_high"]) == interval(gaps)
        assert row["rmse_known"] == pytest.approx(means[key] - 0.01)
        assert row["rmse_own_fallback"] == pytest.approx(means[key] + 0.02)
        assert row["seconds"] == 3.5
        assert row["tuning_minutes"] == 2.5
    assert table.loc["svdpp", "made_by"].startswith("scikit-surprise")


def test_p_is_of_paired_t_tests_corrected_for_overlap_and_for_their_number(methods_table):
    """A plain paired t-test's t, made smaller as its standard error is made larger."""
    own = methods_table.set_index("method")["p"]
    assert math.isnan(own["flexencoder"])
    raw = {}
    for key, values in RMSE.items():
        pairs = [(one, other) for one, other in zip(values, RMSE["flexencoder"], strict=True) if one == one]
        if key != "flexencoder":
            t = stats.ttest_rel(*zip(*pairs, strict=True)).statistic / math.sqrt(1 + len(pairs) * 0.3 / 0.7)
            raw[key] = 2 * stats.t.sf(abs(t), len(pairs) - 1)
    ascending, corrected = sorted(raw, key=raw.get), {}
    for place, key in enumerate(ascending):
        before = corrected[ascending[place - 1]] if place else 0
        corrected[key] = min(1, max(before, (len(raw) - place) * raw[key]))
    assert own.drop("flexencoder").to_dict() == pytest.approx(corrected, rel=1e-6)
    assert 0 < (own < 0.05).sum() < 7


def test_another_reference_and_what_cannot_be_tested():
    table = summarise_methods(records_of_methods(), "biases").set_index("method")
    assert table.loc["biases", "gap"] == 0
    assert math.isnan(table.loc["biases", "p"])
    assert table.loc["flexencoder", "gap"] == pytest.approx(-0.01125)
    one = summarise_methods(records_of_methods({key: own[:1] for key, own in RMSE.items()})).set_index("method")
    assert one[["low", "high", "gap_low", "gap_high", "p"]].isna().all(axis=None)
    assert one.loc["svdpp", "gap"] == pytest.approx(-0.02)
    # A method that is the reference, number for number
    same = summarise_methods(records_of_methods({"flexencoder": [0.5, 0.75], "als": [0.5, 0.75]})).set_index("method")
    assert math.isnan(same.loc["als", "p"])
    assert same.loc["als", "gap"] == 0


def test_a_method_that_never_ended_well_is_last_and_counts_none():
    table = summarise_methods(records_of_methods(RMSE | {"als": [NAN] * 4}))
    last = table.iloc[-1]
    assert (last["method"], last["n"]) == ("als", 0)
    assert math.isnan(last["mean"])
    assert math.isnan(last["p"])


def test_published_numbers_are_table_3s():
    assert published_rmse("svdpp") == TABLE_3_RMSE["svdpp"] == 0.903
    assert published_rmse("autorec_item") == 0.887
    assert published_rmse("flexencoder_set1") == 0.833
    known = {key: published_rmse(key) for key in ALL if not math.isnan(published_rmse(key))}
    renamed = {"flexencoder": "flexencoder_set1", "autorec": "autorec_item"}
    assert known == {renamed.get(key, key): rmse for key, rmse in TABLE_3_RMSE.items()}
    assert len(known) == 11


def test_the_numbers_of_the_comparison_by_hand(methods_table):
    numbers = comparison_numbers(methods_table, "a_")
    assert all(type(value) in (int, float, str) for value in numbers.values())
    own = methods_table.set_index("method")
    # In order: svdpp, flexencoder, biases, autorec_item, slope_one, set 1, nmf, item mean
    assert (numbers["a_n"], numbers["a_fewest"]) == (4, 3)
    assert numbers["a_best_other"] == "SVD++"
    assert numbers["a_best_other_rmse"] == pytest.approx(statistics.fmean(RMSE["svdpp"]))
    places = {"flexencoder": 2, "autorec_item": 4, "flexencoder_set1": 6}
    beaten = {"flexencoder": 1, "autorec_item": 2, "flexencoder_set1": 4}  # by methods other than FlexEncoder
    in_table = {"flexencoder": 1, "autorec_item": 1, "flexencoder_set1": 3}  # by svdpp, autorec_item, slope_one, nmf
    for key in places:
        assert numbers[f"a_{key}_beaten_in_table"] == in_table[key]
        assert numbers[f"a_{key}_place"] == places[key]
        assert numbers[f"a_{key}_beaten"] == beaten[key]
        assert numbers[f"a_{key}"] == pytest.approx(statistics.fmean(RMSE[key]))
        assert numbers[f"a_{key}_high"] == own.loc[key, "high"]
    assert (numbers["a_best_in_table"], numbers["a_best_in_table_rmse"]) == ("SVD++", own.loc["svdpp", "mean"])
    assert numbers["a_biases_low"] == own.loc["biases", "low"]
    assert [numbers[f"a_item_mean{end}"] for end in ("", "_low", "_high")] == (
        own.loc["item_mean", ["mean", "low", "high"]].tolist()
    )
    assert numbers["a_others"] == 6
    known = {"svdpp": 0.903, "nmf": 0.944, "slope_one": 0.937, "autorec_item": 0.887}
    mine = {key: statistics.fmean(value for value in RMSE[key] if value == value) for key in known}
    off = sorted(mine[key] - known[key] for key in known)
    assert numbers["a_off_published"] == pytest.approx((off[1] + off[2]) / 2)
    assert numbers["a_set_1_off"] == pytest.approx(statistics.fmean(RMSE["flexencoder_set1"]) - 0.833)
    assert "others" not in numbers
    assert comparison_numbers(methods_table)["others"] == 6


def below(*keys):
    """Intervals over users that are below 0 for these methods, and hold it for all others."""
    return {key: (-0.1, -0.2, -0.1 if key in keys else 0.1) for key in ALL}


def test_a_method_is_clearly_lower_by_its_splits_and_its_users():
    """Of three splits: t is the mean of the differences by their standard deviation and sqrt(1/3 + 3/7)."""
    rmse = {
        "flexencoder_set1": [1.0, 2.0, 3.0],
        "biases": [0.80, 1.79, 2.80],  # -0.20, -0.21, -0.20: t = -40, p = 0.0006
        "bpmf": [0.8, 1.7, 2.8],  # -0.2, -0.3, -0.2: t = -4.6, p = 0.044, which is above 0.05 for five methods
        "svdpp": [0.9, 1.7, 2.8],  # -0.1, -0.3, -0.2: t = -2.3, p = 0.15
        "als": [1.2, 2.21, 3.2],  # clearly above
        "flexencoder": [0.5, 1.49, 2.5],  # clearly below, and no other method
    }

    def count(rmse, users=None):
        return count_clearly_lower(summarise_methods(records_of_methods(rmse), "flexencoder_set1", 0.3, users))

    assert count(rmse) == 1
    assert count(rmse, below("biases", "als", "svdpp")) == 1
    assert count(rmse, below("bpmf", "als")) == 0  # its users do not say so
    alone = {key: rmse[key] for key in ("flexencoder_set1", "bpmf")}
    assert count(alone) == count(alone, below("bpmf")) == 1  # nothing to correct for
    assert count({key: own[:1] for key, own in rmse.items()}, below(*rmse)) == 0  # one split tells nothing
    # A plain t-test would find this one: -0.10, -0.14 and -0.08 have p = 0.026, and 0.057 for splits that overlap.
    open_still = {"flexencoder_set1": [1.0, 2.0, 3.0], "svdpp": [0.9, 1.86, 2.92]}
    assert stats.ttest_rel(*open_still.values()).pvalue < 0.05
    assert count(open_still) == 0


def test_lower_and_higher_are_by_both_intervals():
    rmse = {
        "flexencoder_set1": [1.0, 2.0, 3.0],
        "bpmf": [0.80, 1.79, 2.80],  # below by its splits
        "svdpp": [0.9, 1.7, 2.8],  # not
        "nmf": [1.2, 2.21, 3.2],  # above
        "slope_one": [0.9, 1.7, NAN],
        "biases": [0.8, 1.79, 2.81],  # not in Table 3
    }
    users = below("bpmf", "biases", "svdpp") | {"nmf": (0.1, 0.05, 0.2), "slope_one": (NAN,) * 3}
    table = summarise_methods(records_of_methods(rmse), "flexencoder_set1", 0.3, users)
    verdicts = dict(zip(table["method"], table["verdict"], strict=True))
    assert verdicts == {
        "bpmf": "lower",
        "svdpp": "open",
        "nmf": "higher",
        "slope_one": "",
        "biases": "lower",
        "flexencoder_set1": "open",
    }
    numbers = in_table_numbers(table, "a_")
    assert numbers == {"a_lower_in_table": 1, "a_set1_lower_in_table": 1, "a_compared_in_table": 3}
    spelled = dict(zip(table["method"], spelled_users(table), strict=True))
    assert spelled["bpmf"] == "-0.200 to -0.100"
    assert (spelled["slope_one"], spelled["flexencoder_set1"]) == ("predictions not kept", "")
    none = summarise_methods(records_of_methods(rmse), "flexencoder_set1")
    assert set(none["verdict"]) == {""}
    numbers = in_table_numbers(none)
    assert numbers["compared_in_table"] == 0
    assert all(math.isnan(numbers[name]) for name in ("lower_in_table", "set1_lower_in_table"))


def test_a_method_with_fewer_splits_is_compared_on_those_that_are_shared():
    """The third split is easier for all by far: who lacks it looks worse, and is better on the splits of both."""
    rmse = {
        "flexencoder": [1.00, 1.02, 0.50],
        "flexencoder_set1": [1.10, 1.13, 0.60],
        "svdpp": [0.90, 0.91, NAN],
        "nmf": [1.2, 1.2, 0.7],
    }
    table = summarise_methods(records_of_methods(rmse))
    own = table.set_index("method")
    assert own.loc["svdpp", "mean"] > own.loc["flexencoder", "mean"]
    assert table["method"].tolist() == ["svdpp", "flexencoder", "flexencoder_set1", "nmf"]
    assert tuple(own.loc["svdpp", ["n", "shared"]]) == (2, 2)
    assert own.loc["svdpp", "level"] == pytest.approx(2.52 / 3 - 0.105)
    assert own.loc["nmf", "level"] == pytest.approx(own.loc["nmf", "mean"])
    against = summarise_methods(records_of_methods(rmse), "flexencoder_set1")
    numbers = comparison_numbers(table, "", against)
    assert (numbers["flexencoder_beaten"], numbers["flexencoder_place"]) == (1, 2)
    assert (numbers["flexencoder_set1_beaten"], numbers["flexencoder_set1_beaten_in_table"]) == (1, 1)
    assert (numbers["best_other"], numbers["best_in_table"]) == ("SVD++", "SVD++")
    assert (numbers["n"], numbers["fewest"]) == (3, 2)


def users_who_differ():
    """Two splits of ratings by 12 users, some of whom are in one test set only, and two methods' predictions."""
    rng = np.random.default_rng(1)
    triples = [(user, item, float(rng.integers(1, 6))) for user in range(12) for item in range(8 + 3 * (user % 3))]
    ratings = make_ratings(triples)
    splits = {}
    for name in ("seed 0", "seed 1"):
        is_test = (rng.random(len(triples)) < 0.3) & (ratings.users != rng.integers(12))
        splits[name] = Split(np.flatnonzero(~is_test), np.flatnonzero(is_test))
    made = [
        {name: rng.integers(100, 501, len(split.test)).astype(np.int16) for name, split in splits.items()}
        for _ in range(2)
    ]
    return ratings, splits, made


def test_users_are_drawn_with_all_their_test_ratings():
    """The same by lists of ratings, one user after the other, for samples that the same generator draws."""
    ratings, splits, (one, other) = users_who_differ()
    tested = sorted(set(ratings.users[np.concatenate([split.test for split in splits.values()])].tolist()))
    users = ratings.users.tolist()

    def gap(drawn):
        gaps = []
        for name, split in splits.items():
            squares = {0: [], 1: []}
            for user in drawn:
                for place, k in enumerate(split.test.tolist()):
                    if users[k] == user:
                        for which, own in enumerate((one, other)):
                            squares[which].append((own[name][place] / 100 - float(ratings.values[k])) ** 2)
            gaps.append(math.sqrt(statistics.fmean(squares[0])) - math.sqrt(statistics.fmean(squares[1])))
        return statistics.fmean(gaps)

    times = np.random.default_rng(3).multinomial(len(tested), [1 / len(tested)] * len(tested), 40)
    drawn = [gap([user for user, n in zip(tested, row, strict=True) for _ in range(n)]) for row in times]
    value, low, high = users_bootstrap(one, other, ratings, splits, seed=3, resamples=40)
    assert value == pytest.approx(gap(tested), abs=1e-9)
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-9)
    assert users_bootstrap(one, other, ratings, splits, resamples=600)[1] < value
    back = users_bootstrap(other, one, ratings, splits, seed=3, resamples=40)
    assert back == pytest.approx((-value, -high, -low), abs=1e-9)


def test_users_count_on_the_splits_that_both_have(refused):
    ratings, splits, (one, other) = users_who_differ()
    lost = one | {"seed 1": np.array([], np.int16)}  # a network that diverged
    short = users_bootstrap(lost, other, ratings, splits)
    assert short == users_bootstrap({"seed 0": one["seed 0"]}, other, ratings, splits)
    assert short[0] != users_bootstrap(one, other, ratings, splits)[0]
    assert all(map(math.isnan, users_bootstrap({}, other, ratings, splits)))
    cut = one | {"seed 0": one["seed 0"][:-1]}
    refused(lambda: users_bootstrap(cut, other, ratings, splits), "another split")


def test_an_interval_over_users_is_as_wide_as_users_differ():
    """One number an error, drawn by users of one rating each: the plain standard error of a mean of squares."""
    rng, n = np.random.default_rng(0), 400
    ratings = make_ratings([(user, 0, 3.0) for user in range(n)])
    split = {"seed 0": Split(np.array([], int), np.arange(n))}
    hundredths = 300 + rng.integers(50, 151, n)
    value, low, high = users_bootstrap({"seed 0": hundredths}, {"seed 0": np.full(n, 300)}, ratings, split)
    squares = ((hundredths - 300) / 100) ** 2
    root = math.sqrt(squares.mean())
    half = 1.96 * squares.std(ddof=1) / math.sqrt(n) / (2 * root)
    assert value == pytest.approx(root)
    assert (low, high) == pytest.approx((root - half, root + half), abs=0.15 * half)


def test_methods_are_compared_as_they_were_tuned(refused):
    """The intervals of a tuning that is made here: over splits from its records, over users from its predictions."""
    plan = Tuning(SMALL, ("biases", "item_mean"), 0.25, 3, 2)
    records, tries, predictions = find_tuned(plan)
    assert tries_made(tries).to_dict() == {"biases": 2, "item_mean": 1}
    table = compare_methods(plan, records, predictions, "item_mean").set_index("method")
    wide = records.pivot(index="split", columns="method", values="rmse")
    gaps = (wide["biases"] - wide["item_mean"]).tolist()
    row = table.loc["biases"]
    assert tuple(row[["gap", "gap_low", "gap_high"]]) == interval(gaps, 0.25)
    kept = predictions.set_index(["method", "split"])["hundredths"]
    ratings = load_ratings(SMALL)
    over_users = users_bootstrap(
        kept["biases"],
        kept["item_mean"],
        ratings,
        {name: split for name, (_, split) in plan.load_splits(ratings).items()},
    )
    assert (row["users_low"], row["users_high"]) == over_users[1:]
    assert over_users[0] == pytest.approx(row["gap"], abs=2e-4)  # predictions are kept to hundredths
    refused(lambda: compare_methods(plan, records, predictions), "flexencoder has no RMSE")
    without = compare_methods(plan, records, predictions.iloc[:0], "item_mean")
    assert without["users_low"].isna().all()


def test_the_chapter_needs_both_flexencoders_and_another_method(refused):
    assert chapter.chosen_methods("") == tuple(ALL)
    few = "biases flexencoder_set1 flexencoder"
    assert chapter.chosen_methods(few) == tuple(few.split())
    for words in ("biases item_mean", "flexencoder biases", "flexencoder flexencoder_set1 flexencoder_paper"):
        refused(lambda words=words: chapter.chosen_methods(words), words, "flexencoder_set1", "another method")


def test_the_lowest_of_all_may_be_a_network():
    numbers = comparison_numbers(summarise_methods(records_of_methods(RMSE | {"flexencoder": [0.8, 0.81, 0.8, 0.82]})))
    assert numbers["best_other"] == "SVD++"
    assert (numbers["flexencoder_place"], numbers["flexencoder_beaten"]) == (1, 0)


def test_only_methods_with_a_published_number_count_as_in_table_3():
    """Neither the lowest other method nor set 1, the lowest of all, is among them."""
    lower = {
        "biases": [0.8, 0.81, 0.82, 0.83],
        "item_mean": [0.84, 0.85, 0.84, 0.85],
        "flexencoder_set1": [0.7, 0.71, 0.7, 0.72],
    }
    numbers = comparison_numbers(summarise_methods(records_of_methods(RMSE | lower)))
    assert numbers["best_other"] == ALL["biases"].name
    assert (numbers["best_in_table"], numbers["best_in_table_rmse"]) == ("SVD++", statistics.fmean(RMSE["svdpp"]))
    for key, (beaten, in_table) in {"flexencoder_set1": (0, 0), "flexencoder": (3, 1), "autorec_item": (3, 1)}.items():
        assert (numbers[f"{key}_beaten"], numbers[f"{key}_beaten_in_table"]) == (beaten, in_table)
    # AutoRec over items is in it, and may be the lowest there.
    autorec = {"autorec_item": [0.86, 0.87, 0.86, 0.87]}
    numbers = comparison_numbers(summarise_methods(records_of_methods(RMSE | lower | autorec)))
    assert (numbers["best_in_table"], numbers["autorec_item_beaten_in_table"]) == (ALL["autorec_item"].name, 0)
    assert numbers["flexencoder_beaten_in_table"] == 2
    # Without any of its methods there is no lowest of them.
    few = {key: RMSE[key] for key in ("flexencoder", "flexencoder_set1", "biases")}
    numbers = comparison_numbers(summarise_methods(records_of_methods(few)))
    assert (numbers["flexencoder_set1_beaten"], numbers["flexencoder_set1_beaten_in_table"]) == (1, 0)
    assert math.isnan(numbers["best_in_table"])
    assert math.isnan(numbers["best_in_table_rmse"])


def test_every_number_has_its_name_though_it_was_not_measured(methods_table):
    """So that a reader of the numbers can tell one that is misspelt from one that is not known."""
    every = comparison_numbers(methods_table)
    few = comparison_numbers(summarise_methods(records_of_methods({key: RMSE[key] for key in ("flexencoder", "nmf")})))
    assert set(few) == set(every)
    lost = {name for name, value in few.items() if isinstance(value, float) and math.isnan(value)}
    absent = [key for key in NETWORKS if key != "flexencoder"]
    ends = ("", "_low", "_high", "_place", "_beaten", "_beaten_in_table")
    assert lost >= {f"{key}{end}" for key in absent for end in ends}
    assert not any(name.startswith("flexencoder_") for name in lost - {f"{key}{end}" for key in absent for end in ends})
    # A network that always diverged has no place, and is above nobody.
    rmse = RMSE | {"flexencoder_set1": [NAN] * 4}
    numbers = comparison_numbers(summarise_methods(records_of_methods(rmse)))
    assert all(math.isnan(numbers[f"flexencoder_set1{end}"]) for end in ends)


def test_every_number_of_the_text_on_methods_is_there(methods_table):
    tables = dict.fromkeys(("a_", "b_"), methods_table)
    numbers = numbers_by_prefix(tables, tables)
    assert numbers["b_clearly_lower"] == count_clearly_lower(methods_table)
    assert not_told("08_methods", numbers | dict.fromkeys(["b_split", "lowest_words"])) == set()  # put in by themselves
    assert chapter.lowest_words("ALS", "ALS") == "ALS on both"
    assert chapter.lowest_words("ALS", "NMF") == "ALS on the first, and NMF on the second"


def test_the_tables_of_the_chapter_are_those_of_its_comparisons(methods_table):
    against = summarise_methods(records_of_methods(), "flexencoder_set1")
    shown = chapter.printed_table(against)
    assert shown.index.tolist() == ["SVD++", ALL["autorec_item"].name, "Slope One", "NMF"]
    row = against.set_index("method").loc["svdpp"]
    assert shown.loc["SVD++", ["the paper prints", "our RMSE"]].tolist() == ["0.903", "0.886"]
    assert shown.loc["SVD++", "above the paper's setting"].startswith(f"{row['gap']:+.3f} ({row['gap_low']:+.3f} to")
    every = chapter.every_comparison(
        [("one", methods_table), ("two", methods_table)], [pd.Series({"svdpp": 7.5}), pd.Series({"nmf": 2})]
    )
    assert len(every) == 2 * len(methods_table)
    assert (every.loc[("one", "svdpp"), "made"], every.loc[("two", "nmf"), "made"]) == (7.5, 2)
    beside = chapter.beside_printed(methods_table, methods_table.assign(mean=methods_table["mean"] + 1))
    assert beside["method"].tolist() == ["flexencoder_set1", "autorec_item", "svdpp", "slope_one", "nmf"]
    assert (beside["mean"] > 1.5).tolist() == [False, True, True, True, True]
    assert chapter.below_words([("here", against)]) == "4 of 6 on here"


def tries_made_here():
    """Two splits of five and three tries, of which two did not end well."""
    rows = [
        ("seed 1", 0, 1.2),
        ("seed 1", 3, 0.9),
        ("seed 1", 2, NAN),
        ("seed 0", 0, NAN),
        ("seed 0", 1, 1.0),
        ("seed 0", 2, 0.95),
        ("seed 0", 4, 0.97),
        ("seed 0", 5, 0.9),
    ]
    base = {
        "centring": "rows",
        "optimizer": "adam",
        "activation": "selu",
        "output_activation": False,
        "decoder_constraint": False,
        "loss_size_average": True,
        "dense_refeeding": 0,
        "drop_probability": 0.5,
        "noise_probability": 0.25,
        "learning_rate": 0.001,
        "weight_decay": 0.0,
        "epochs": 10,
    }
    found = []
    for place, (split, number, rmse) in enumerate(rows):
        own = base | {
            "hidden_layers": [64] if place % 2 else [64, 16],
            "pivot_indexes": [1, 0] if place else [0, 1],
            "epochs": 10 * place,
            "drop_probability": place / 10,
        }
        found.append(
            {
                "method": "flexencoder",
                "split": split,
                "number": number,
                "validation_rmse": rmse,
                "settings": json.dumps(own),
                "suggested": "{}",
                "seconds": 1.0,
                "pruned": False,
                "curve": "",
            }
        )
    return pd.DataFrame(found).astype(TRY_COLUMNS)


def test_tuned_records_are_found_in_the_folder_or_made(tmp_path, refused, monkeypatch):
    plan, made = Tuning(SMALL, ("biases",), 0.3, 2, 3), []

    def run(tuning, out):
        made.append((tuning, out.is_dir()))
        records_of_methods().to_parquet(out / f"{plan.name}.parquet")
        tries_made_by_two().to_parquet(out / f"{plan.name}-tries.parquet")

    monkeypatch.setattr(chapter, "run_tuning", run)
    records = records_of_methods()
    here = records[(records["method"] == "biases") & records["split"].isin(["seed 0", "seed 1"])]  # of the four
    kept = tries_made_by_two().query("method == 'biases' and split != 'seed 2'")
    found, tries, predictions = find_tuned(plan)
    assert made == [(plan, True)]
    pd.testing.assert_frame_equal(found, here)
    pd.testing.assert_frame_equal(tries, kept.reset_index(drop=True))
    assert list(predictions.columns) == ["method", "split", "networks", "hundredths", "validation_hundredths"]
    assert not len(predictions)
    refused(lambda: find_tuned(plan, tmp_path), f"{plan.name}.parquet", "no such file")
    records.to_parquet(tmp_path / f"{plan.name}.parquet")
    refused(lambda: find_tuned(plan, tmp_path), f"{plan.name}-tries.parquet", "no such file")
    tries_made_by_two().to_parquet(tmp_path / f"{plan.name}-tries.parquet")
    rows = [(key, f"seed {split}", 1, [300]) for key in ("biases", "als") for split in range(3)]
    kind = pa.schema([("method", pa.string()), ("split", pa.string()), ("networks", pa.int64())])
    kind = kind.append(pa.field("hundredths", pa.list_(pa.int16())))
    columns = dict(zip(kind.names, zip(*rows, strict=True), strict=True))
    pq.write_table(pa.table(columns, kind), tmp_path / f"{plan.name}-predictions.parquet")
    found, tries, predictions = find_tuned(plan, str(tmp_path))
    pd.testing.assert_frame_equal(found, here)
    pd.testing.assert_frame_equal(tries, kept.reset_index(drop=True))
    assert predictions[["method", "split"]].to_numpy().tolist() == [["biases", "seed 0"], ["biases", "seed 1"]]
    other = Tuning(SMALL, ("biases", "als", "nmf"), 0.3, 2, 3)
    absent = sorted({"als", "nmf"} - set(records["method"]))
    refused(lambda: find_tuned(other, tmp_path), f"{plan.name}.parquet", ", ".join(absent))
    assert len(made) == 1


def test_folds_are_told_by_their_names(tmp_path, real_data):
    ratings = real_data("ml-100k")
    plan = Tuning("ml-100k", ("biases",), None, 2, 3)
    rows = [record("biases", 0, 0.9) | {"split": fold} for fold in ratings.folds]
    pd.DataFrame(rows).astype(COLUMNS).to_parquet(tmp_path / f"{plan.name}.parquet")
    tries_made_by_two().to_parquet(tmp_path / f"{plan.name}-tries.parquet")
    assert find_tuned(plan, tmp_path)[0]["split"].tolist() == ["u1", "u2"]


def tries_made_by_two():
    """The tries of two methods on three splits."""
    one = tries_made_here().query("split == 'seed 0'")
    return pd.concat([one.assign(method=key, split=f"seed {k}") for key in ("biases", "als") for k in range(3)])


def test_words_count_the_methods_that_are_not_flexencoder():
    """Two of three gaps are below 0, one of them by both rules; another FlexEncoder is lower still."""
    rows = [("biases", -0.02, 0.001, -0.01), ("als", -0.01, 0.4, 0.01), ("item_knn", 0.03, 0.001, 0.04)]
    rows += [("flexencoder", -0.05, 0.001, -0.04), ("flexencoder_set1", 0.0, 1.0, 0.0)]
    table = pd.DataFrame(rows, columns=["method", "gap", "p", "users_high"])
    against = table.assign(users_low=table["users_high"] - 0.01)
    assert math.isnan(beaten_words(against.head(0)))
    assert beaten_words(against) == "Tuned alike, 2 of 3 other methods score lower leak-free. The gap is clear for 1."
