"""The chapter on other methods: its table and numbers by hand and against scipy."""

import json
import math
import statistics

import pandas as pd
import pytest
from conftest import SMALL, not_told
from flexstudy import methods as chapter
from flexstudy.methods import comparison_numbers, count_clearly_lower, find_tuned, published_rmse, summarise_methods
from flexstudy.paper import TABLE_3_RMSE
from scipy import stats

from flexlib.methods.networks import NETWORKS
from flexlib.methods.tuning import ALL, COLUMNS, TRY_COLUMNS, Tuning

NAN = math.nan


def interval(values):
    """Mean and t-interval from their definitions; of a single value there is none."""
    if len(values) == 1:
        return pytest.approx((values[0], NAN, NAN), abs=1e-9, nan_ok=True)
    mean, half = statistics.fmean(values), stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values)
    return pytest.approx((mean, mean - half / math.sqrt(len(values)), mean + half / math.sqrt(len(values))), abs=1e-9)


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


def test_p_is_of_paired_t_tests_corrected_for_their_number(methods_table):
    own = methods_table.set_index("method")["p"]
    assert math.isnan(own["flexencoder"])
    raw = {}
    for key, values in RMSE.items():
        pairs = [(one, other) for one, other in zip(values, RMSE["flexencoder"], strict=True) if one == one]
        if key != "flexencoder":
            raw[key] = stats.ttest_rel(*zip(*pairs, strict=True)).pvalue
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
    assert (numbers["a_methods"], numbers["a_n"], numbers["a_tries"]) == (8, 4, 10)
    assert numbers["a_lowest"] == numbers["a_best_other"] == "SVD++"
    assert numbers["a_best_other_rmse"] == pytest.approx(statistics.fmean(RMSE["svdpp"]))
    assert [numbers[f"a_best_other_{end}"] for end in ("low", "high")] == own.loc["svdpp", ["low", "high"]].tolist()
    assert [numbers[f"a_best_other_gap{end}"] for end in ("", "_low", "_high", "_p")] == (
        own.loc["svdpp", ["gap", "gap_low", "gap_high", "p"]].tolist()
    )
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
    assert (numbers["a_others"], numbers["a_published_others"]) == (6, 4)
    known = {"svdpp": 0.903, "nmf": 0.944, "slope_one": 0.937, "autorec_item": 0.887}
    mine = {key: statistics.fmean(value for value in RMSE[key] if value == value) for key in known}
    off = sorted(mine[key] - known[key] for key in known)
    assert numbers["a_off_published"] == pytest.approx((off[1] + off[2]) / 2)
    assert (numbers["a_off_least"], numbers["a_off_most"]) == pytest.approx((off[0], off[-1]))
    assert numbers["a_ranks"] == pytest.approx(stats.spearmanr(list(mine.values()), list(known.values())).statistic)
    assert numbers["a_significant"] == (own["p"] < 0.05).sum()
    assert "methods" not in numbers
    assert comparison_numbers(methods_table)["methods"] == 8


def test_a_method_is_clearly_lower_whose_corrected_p_says_so():
    """Of three splits: t is the mean of the differences by their standard error, with two degrees of freedom."""
    rmse = {
        "flexencoder_set1": [1.0, 2.0, 3.0],
        "biases": [0.80, 1.79, 2.80],  # -0.20, -0.21, -0.20: t = -61, p = 0.0003
        "bpmf": [0.9, 1.8, 2.8],  # -0.1, -0.2, -0.2: t = -5, p = 0.038, which is above 0.05 for five methods
        "svdpp": [0.9, 1.7, 2.8],  # -0.1, -0.3, -0.2: t = -3.5, p = 0.07
        "als": [1.2, 2.21, 3.2],  # clearly above
        "flexencoder": [0.5, 1.49, 2.5],  # clearly below, and no other method
    }
    assert count_clearly_lower(records_of_methods(rmse)) == 1
    alone = {key: rmse[key] for key in ("flexencoder_set1", "bpmf")}
    assert count_clearly_lower(records_of_methods(alone)) == 1  # nothing to correct for
    assert (
        count_clearly_lower(records_of_methods({key: own[:1] for key, own in rmse.items()})) == 0
    )  # one tells nothing


def test_the_lowest_of_all_may_be_a_network():
    numbers = comparison_numbers(summarise_methods(records_of_methods(RMSE | {"flexencoder": [0.8, 0.81, 0.8, 0.82]})))
    assert (numbers["lowest"], numbers["best_other"]) == (ALL["flexencoder"].name, "SVD++")
    assert (numbers["flexencoder_place"], numbers["flexencoder_beaten"]) == (1, 0)
    assert numbers["best_other_gap"] > 0


def test_only_methods_with_a_published_number_count_as_in_table_3():
    """Neither the lowest other method nor set 1, the lowest of all, is among them."""
    lower = {
        "biases": [0.8, 0.81, 0.82, 0.83],
        "item_mean": [0.84, 0.85, 0.84, 0.85],
        "flexencoder_set1": [0.7, 0.71, 0.7, 0.72],
    }
    numbers = comparison_numbers(summarise_methods(records_of_methods(RMSE | lower)))
    assert (numbers["lowest"], numbers["best_other"]) == (ALL["flexencoder_set1"].name, ALL["biases"].name)
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
    numbers = comparison_numbers(methods_table, "a_") | comparison_numbers(methods_table, "b_")
    assert not_told("08_methods", numbers | dict.fromkeys(["b_split"])) == set()  # which is put in by itself


def tries_made():
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
            }
        )
    return pd.DataFrame(found).astype(TRY_COLUMNS)


def test_tuned_records_are_found_in_the_folder_or_made(tmp_path, refused, monkeypatch):
    plan, made = Tuning(SMALL, ("biases",), 0.3, 2, 3), []

    def run(tuning, out):
        made.append((tuning, out.is_dir()))
        return ["records", "tries"]

    monkeypatch.setattr(chapter, "run_tuning", run)
    assert find_tuned(plan) == ("records", "tries")
    assert made == [(plan, True)]
    refused(lambda: find_tuned(plan, tmp_path), f"{plan.name}.parquet", "no such file")
    records = records_of_methods()
    records.to_parquet(tmp_path / f"{plan.name}.parquet")
    refused(lambda: find_tuned(plan, tmp_path), f"{plan.name}-tries.parquet", "no such file")
    tries_made().to_parquet(tmp_path / f"{plan.name}-tries.parquet")
    found, tries = find_tuned(plan, str(tmp_path))
    pd.testing.assert_frame_equal(found, records[records["method"] == "biases"])
    pd.testing.assert_frame_equal(tries, tries_made().query("method == 'biases'"))
    other = Tuning(SMALL, ("biases", "als", "nmf"), 0.3, 2, 3)
    absent = sorted({"als", "nmf"} - set(records["method"]))
    refused(lambda: find_tuned(other, tmp_path), f"{plan.name}.parquet", ", ".join(absent))
    assert len(made) == 1
