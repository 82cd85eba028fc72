"""The chapter on generalization: runs matched across data sets, how their ranks agree, and Table 2's sets on others."""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, not_told, records_of
from flexstudy.generalization import (
    RANKED_GROUPS,
    WITHIN,
    best_carried_over,
    compare_sizes,
    generalization_numbers,
    match_runs,
    mean_lines,
    pivots_carried_over,
    printed_rmse,
    rank_agreement,
    reference_rmse,
    sets_on,
    sets_table,
    size_numbers,
)
from flexstudy.paper import FIGURE_5
from flexstudy.plans import TABLE_2, experiment
from scipy import stats

from flexlib.config import PAPERS_DATASET, TABLE2_RMSE, FlexConfig
from flexlib.data import split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.methods.means_and_biases import biases
from flexlib.runs.plan import Plan
from flexlib.runs.records import load_records

NAN = math.nan
PLAN = Plan.sweep(SMALL, ("released", "holdout"), 120, 0)
CONFIGS = list(PLAN.configs)
RATES = [config.test_split_rate for config in CONFIGS]


def noise(k, which):
    return np.random.default_rng([k, which]).normal()


def on(which):
    """Records on the smaller (0) or the larger set (1): in part alike, in part not; some runs do not end well."""

    def outcome(k, protocol):
        if k % 9 == 2 + which or (protocol == "released" and k % 13 == 5):
            return "diverged" if k % 2 else "skipped"
        rmse = 1 + 0.3 * noise(k, 2) + 0.2 * noise(k, which) + (0 if CONFIGS[k].mean_normalization else 1)
        return {"rmse": rmse, "rmse_first_half": rmse + 0.1 * noise(k, 3), "rmse_second_half": rmse}

    return records_of(PLAN, outcome)


RECORDS = on(0), on(1)


def test_runs_are_matched_that_ended_well_on_both_sets():
    for protocol in PLAN.protocols:
        matched = match_runs(*RECORDS, protocol)
        rows = [
            {row["run"]: row for row in table[table["protocol"] == protocol].to_dict("records")} for table in RECORDS
        ]
        both = [k for k in range(120) if rows[0][k]["status"] == rows[1][k]["status"] == "ok"]
        assert matched["run"].tolist() == both
        assert len(both) < 110
        assert matched["small"].tolist() == [rows[0][k]["rmse"] for k in both]
        assert matched["big"].tolist() == [rows[1][k]["rmse"] for k in both]
        assert matched["small_first_half"].tolist() == [rows[0][k]["rmse_first_half"] for k in both]
        assert matched["test_split_rate"].tolist() == [RATES[k] for k in both]


def test_fewer_runs_on_one_set_are_matched_by_their_number():
    few = RECORDS[1][RECORDS[1]["run"] < 30].sample(frac=1, random_state=0)
    matched = match_runs(RECORDS[0], few, "holdout")
    assert matched["run"].max() < 30
    assert matched["run"].tolist() == match_runs(RECORDS[0], RECORDS[1], "holdout")["run"].tolist()[: len(matched)]


def table_of(small, big, first=None, **columns):
    """Matched runs by hand."""
    known = {
        "run": range(len(small)),
        "small": small,
        "big": big,
        "small_first_half": first or small,
        "mean_normalization": True,
        "pivot_indexes": "[1, 0]",
        "test_split_rate": 0.3,
    }
    return pd.DataFrame(known | columns)


def test_ranks_are_compared_within_each_group():
    matched = match_runs(*RECORDS, "holdout")
    table = rank_agreement(matched).set_index("group")
    assert table.index.tolist() == list(RANKED_GROUPS)
    rows = matched.to_dict("records")
    ascending = sorted(row["small"] for row in rows)
    centred = [row for row in rows if row["mean_normalization"]]
    chosen = {
        "all settings": rows,
        "with mean normalization": centred,
        "item-based, with mean normalization": [r for r in centred if r["pivot_indexes"] == "[1, 0]"],
        "user-based, with mean normalization": [r for r in centred if r["pivot_indexes"] == "[0, 1]"],
        "the best quarter on the smaller set": [r for r in rows if r["small"] <= ascending[(len(rows) - 1) // 4]],
        "the best tenth on the smaller set": [r for r in rows if r["small"] <= ascending[(len(rows) - 1) // 10]],
    }
    for group, own in chosen.items():
        expected = stats.spearmanr([r["small"] for r in own], [r["big"] for r in own]).statistic
        assert table.loc[group, "n"] == len(own)
        assert table.loc[group, "spearman"] == pytest.approx(expected)
        assert -1 <= table.loc[group, "low"] <= expected <= table.loc[group, "high"] <= 1
    assert 5 < table.loc["the best tenth on the smaller set", "n"] < 15
    # The bootstrap's interval is about as wide as Fisher's.
    rho, low, high = table.loc["all settings", ["spearman", "low", "high"]]
    half = 1.96 / math.sqrt(len(rows) - 3)
    expected = [math.tanh(math.atanh(rho) + side) for side in (-half, half)]
    assert [low, high] == pytest.approx(expected, abs=0.05)


def test_ranks_among_those_of_one_split_rate_leave_its_own_effect_out():
    rng, rate = np.random.default_rng(0), np.repeat([0.1, 0.2, 0.3, 0.4], 50)
    alone = table_of(10 * rate + rng.normal(0, 0.1, 200), 10 * rate + rng.normal(0, 0.1, 200), test_split_rate=rate)
    table = rank_agreement(alone).set_index("group")
    assert table.loc["all settings", "spearman"] > 0.9
    assert table.loc[WITHIN, "low"] < 0 < table.loc[WITHIN, "high"]
    common = rng.normal(0, 0.1, 200)
    shared = table_of(10 * rate + common, common - 10 * rate, test_split_rate=rate)
    table = rank_agreement(shared).set_index("group")
    assert table.loc["all settings", "spearman"] < -0.5
    assert table.loc[WITHIN, ["n", "spearman", "low", "high"]].tolist() == pytest.approx([200, 1, 1, 1])


def test_ranks_within_a_rate_are_shares_so_that_the_worst_of_few_and_of_many_are_alike():
    rates = [0.1] * 3 + [0.2] * 6
    table = rank_agreement(table_of([1, 2, 3, *range(11, 17)], [23, 22, 21, *range(1, 7)], test_split_rate=rates))
    shares = [1 / 3, 2 / 3, 1, *(k / 6 for k in range(1, 7))]
    reversed_ = [1, 2 / 3, 1 / 3, *shares[3:]]
    expected = stats.spearmanr(shares, reversed_).statistic
    assert table.set_index("group").loc[WITHIN, "spearman"] == pytest.approx(expected)


def test_groups_of_fewer_than_three_have_no_correlation():
    on = [True, True, False, False]
    table = rank_agreement(table_of([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0], mean_normalization=on))
    table = table.set_index("group")
    assert table["n"].tolist() == [4, 4, 2, 2, 0, 1, 1]
    assert table.loc["all settings", "spearman"] == pytest.approx(0.8)
    assert table.iloc[2:][["spearman", "low", "high"]].isna().all(axis=None)
    nothing = rank_agreement(match_runs(RECORDS[0][:0], RECORDS[1], "holdout"))
    assert nothing["n"].tolist() == [0] * 7
    assert nothing["spearman"].isna().all()


def test_the_best_of_the_smaller_set_are_followed_to_the_larger():
    # Chosen by the choosing half: runs 3, 0, 4; not by the RMSE, by which run 2 is the best.
    table = table_of([0.9, 1.0, 0.5, 0.8, 1.1], [0.95, 0.85, 1.2, 0.9, 0.99], first=[0.7, 1.0, 1.3, 0.6, 0.8])
    table["test_split_rate"] = [0.1, 0.3, 0.3, 0.3, 0.1]
    lows = pd.DataFrame({"item_mean": [0.96, 0.9], "biases": [0.94, 0.97]}, index=[0.1, 0.3])
    found = best_carried_over(table, lows, n=3)
    assert found == {
        "matched": 5,
        "chosen": 3,
        "rank_first": 2,
        "rmse_first": 0.9,
        "mean_n": pytest.approx((0.9 + 0.95 + 0.99) / 3),
        "best_big": 0.85,
        "median_big": 0.95,
        "below_item_mean": 1,
        "below_biases": 1,
    }
    everything = best_carried_over(table, lows + 1)
    assert everything["chosen"] == 5
    assert math.isnan(everything["below_biases"])  # of ten
    assert everything["mean_n"] == pytest.approx(table["big"].mean())
    assert best_carried_over(table_of([1.0, 2.0], [0.9, 0.9]), lows)["rank_first"] == 1  # a tie is not lost


def test_without_a_match_nothing_is_carried_over():
    found = best_carried_over(table_of([], []), pd.DataFrame({"biases": [0.9]}, index=[0.3]))
    assert (found["matched"], found["chosen"]) == (0, 0)
    assert all(
        math.isnan(found[name])
        for name in ("below_biases", "rmse_first", "rank_first", "mean_n", "best_big", "median_big")
    )


def test_pivots_are_compared_by_their_medians_with_mean_normalization():
    table = table_of(
        [0.9, 0.7, 0.8, 1.5, 0.1],
        [1.0, 0.9, 0.95, 1.4, 0.2],
        pivot_indexes=["[0, 1]", "[1, 0]", "[1, 0]", "[1, 0]", "[0, 1]"],
        mean_normalization=[True, True, True, True, False],
    )
    found = pivots_carried_over(table)
    assert found[["n", "small", "big"]].to_dict("index") == {
        "user": {"n": 1, "small": 0.9, "big": 1.0},
        "item": {"n": 3, "small": 0.8, "big": 0.95},
    }
    one = pivots_carried_over(table[1:4])
    assert one.index.tolist() == ["user", "item"]
    assert one.loc["user"].isna().all()


SETS = ("table2:1", "table2:2", "table2:7")
RATINGS = load_ratings(SMALL)


def end_of(place, seed, protocol):
    """The RMSE by the place of a set among those that are run."""
    if protocol == "released" and (place, seed) in ((1, 0), (1, 1), (2, 1)):
        return "diverged"
    return {"released": 0.9, "described": 1.0, "holdout": 1.1}[protocol] + 0.02 * place + 0.01 * seed


def sets_records(sets=SETS, n_seeds=2, outcome=end_of):
    plan = experiment("table2", SMALL, n_seeds=n_seeds, sets=sets)
    return records_of(plan, lambda k, name: outcome(sets.index(plan.settings[k].name), plan.seeds[k], name))


def known_mean(test, used):
    """The mean over the ratings at `used` of the test rating's item, else of its user, else of all."""
    values = RATINGS.values.astype(float)[used]
    for ids in (RATINGS.items, RATINGS.users):
        if (ids[used] == ids[test]).any():
            return values[ids[used] == ids[test]].mean()
    return values.mean()


def item_mean_rmse(rate, seed, leak):
    """RMSE over the test ratings of the mean of each item's ratings, else of the user's, by loops."""
    split, squares = split_ratings(RATINGS, rate, seed), []
    used = np.arange(len(RATINGS)) if leak else split.train
    values = RATINGS.values.astype(float)
    for test in split.test:
        squares.append((values[test] - known_mean(test, used)) ** 2)
    return math.sqrt(np.mean(squares))


def test_sets_stand_beside_the_item_mean_of_the_same_splits_and_the_same_leak():
    summary = sets_on(sets_records(), dataclasses.replace(RATINGS, name="ml-1m"))
    rows = summary.set_index(["setting", "protocol"])
    assert len(rows) == 9
    assert summary["setting"].unique().tolist() == list(SETS)
    assert rows["published"].tolist() == [FIGURE_5["ml-1m"][k] for k in (0, 1, 6) for _ in range(3)]
    for (name, protocol), row in rows.iterrows():
        place, rate = SETS.index(name), FlexConfig.preset(name).test_split_rate
        means = [item_mean_rmse(rate, seed, protocol != "holdout") for seed in (0, 1)]
        assert row["item_mean"] == pytest.approx(np.mean(means), abs=1e-6)
        ends = {seed: end_of(place, seed, protocol) for seed in (0, 1)}
        ends = {seed: rmse for seed, rmse in ends.items() if rmse != "diverged"}
        assert (row["n"], row["diverged"]) == (len(ends), 2 - len(ends))
        if not ends:
            assert row[["mean", "low", "gap", "gap_high"]].isna().all()
            continue
        assert row["mean"] == pytest.approx(np.mean(list(ends.values())))
        gaps = [rmse - means[seed] for seed, rmse in ends.items()]
        assert row["gap"] == pytest.approx(np.mean(gaps), abs=1e-6)
        if len(gaps) == 2:
            # The variance of the mean is s^2 (1 / n + test / training).
            scale = np.std(gaps, ddof=1) * math.sqrt(1 / 2 + rate / (1 - rate))
            span = stats.t.interval(0.95, 1, np.mean(gaps), scale)
            assert (row["gap_low"], row["gap_high"]) == pytest.approx(span, abs=1e-5)
        else:
            assert math.isnan(row["gap_low"])
    assert sets_on(sets_records(), RATINGS)["published"].isna().all()


def test_the_item_means_lines_are_means_over_the_sets():
    summary = sets_on(sets_records(), RATINGS)
    rates = [FlexConfig.preset(name).test_split_rate for name in SETS]
    for (word, (value, protocol)), leak in zip(mean_lines(summary).items(), (True, False), strict=True):
        assert protocol == ("released" if leak else "holdout")
        assert ("leaks" in word) == leak
        means = [item_mean_rmse(rate, seed, leak) for rate in rates for seed in (0, 1)]
        assert value == pytest.approx(np.mean(means), abs=1e-6)


def test_the_table_of_sets_is_for_reading():
    summary = sets_on(sets_records(), RATINGS)
    table = sets_table(summary)
    assert table.index.tolist() == summary["setting"].tolist()
    lost = table[table["protocol"] == "released"].loc["table2:2"]
    assert (lost["splits that end well"], lost["splits that diverge"]) == (0, 2)
    row = summary.set_index(["setting", "protocol"]).loc[("table2:1", "holdout")]
    shown = table[table["protocol"] == "holdout"].loc["table2:1"]
    heads = ["mean RMSE", "from", "to", "difference to the item mean", "difference from", "difference to"]
    assert shown[heads].tolist() == row[["mean", "low", "high", "gap", "gap_low", "gap_high"]].tolist()


def test_reference_rmse_is_of_held_out_ratings_at_each_rate():
    found = reference_rmse(RATINGS, 2, [0.3, 0.1, 0.3])
    assert found.index.tolist() == [0.1, 0.3]
    assert found.columns.tolist() == ["item_mean", "biases"]
    for rate in (0.1, 0.3):
        means = [item_mean_rmse(rate, seed, False) for seed in (0, 1)]
        assert found.loc[rate, "item_mean"] == pytest.approx(np.mean(means), abs=1e-6)
        predicted = [biases(RATINGS, split_ratings(RATINGS, rate, seed).train) for seed in (0, 1)]
        rmse = []
        for seed, values in enumerate(predicted):
            test = split_ratings(RATINGS, rate, seed).test
            used = split_ratings(RATINGS, rate, seed).train
            for at in test:  # where the user or the item is new, the mean of the other
                if any(ids[at] not in ids[used] for ids in (RATINGS.items, RATINGS.users)):
                    values[at] = known_mean(at, used)
            rmse.append(math.sqrt(np.mean((values[test] - RATINGS.values[test]) ** 2)))
        assert found.loc[rate, "biases"] == pytest.approx(np.mean(rmse), abs=1e-6)


def test_figure_5_is_the_papers(papers_figures):
    part = papers_figures[papers_figures.index("## Figure 5") :]
    part = part[: part.index("(the `1m` column")].partition("by Table 2's set number:")[2]
    printed = {int(number): float(rmse) for number, rmse in re.findall(r"(\d+) (0\.\d{3})", part)}
    assert printed_rmse("ml-1m") == {f"table2:{number}": rmse for number, rmse in printed.items()}
    assert printed_rmse("ml-100k") == {}
    claim = re.search(r"all below (0\.\d+), mean (0\.\d+), set 1 still best at (0\.\d+)", papers_figures)
    claimed = [FIGURE_5["all_below"], FIGURE_5["mean"], printed[1]]
    assert [float(text) for text in claim.groups()] == claimed


@pytest.fixture(scope="module")
def carried_over():
    """What `rank_agreement`, `best_carried_over` and `pivots_carried_over` give under each protocol."""
    lows = pd.DataFrame({"item_mean": 1.5, "biases": 0.8}, index=sorted(set(RATES)))
    matched = {name: match_runs(*RECORDS, name) for name in PLAN.protocols}
    agreement = {name: rank_agreement(table) for name, table in matched.items()}
    carried = {name: best_carried_over(table, lows) for name, table in matched.items()}
    return agreement, carried, {name: pivots_carried_over(table) for name, table in matched.items()}


def numbers_of(carried_over, outcome=end_of):
    summary = sets_on(sets_records(TABLE_2, outcome=outcome), RATINGS)
    return generalization_numbers(summary, *carried_over), summary


def test_the_numbers_by_hand(carried_over):
    numbers, summary = numbers_of(carried_over)
    assert numbers["n_seeds"] == 2
    # Figure 5 has 0.983, 0.981, 0.981 and 0.982.
    assert (numbers["printed_above"], numbers["claimed_below"], numbers["claimed_mean"]) == (4, 0.98, 0.961)
    assert (numbers["claimed_first"], numbers["printed_over"]) == (0.894, pytest.approx(0.003))
    order = stats.spearmanr([TABLE2_RMSE[name] for name in TABLE_2], FIGURE_5["ml-1m"]).statistic
    assert numbers["printed_order"] == pytest.approx(order)
    assert numbers["printed_order_low"] == pytest.approx(math.tanh(math.atanh(order) - 1.959964 / math.sqrt(7)))
    assert numbers["printed_order_high"] == pytest.approx(math.tanh(math.atanh(order) + 1.959964 / math.sqrt(7)))
    lines = [value for value, _ in mean_lines(summary).values()]
    assert [numbers["item_mean_all"], numbers["item_mean_training"]] == lines
    rows = summary.set_index(["protocol", "setting"])
    assert (numbers["compared_released"], numbers["compared_holdout"]) == (9, 10)
    # As released set k has 0.905 + 0.02 (k - 1), but set 2 nothing and set 3 its first split alone.
    ours = [0.905 + 0.02 * k - 0.005 * (k == 2) for k in range(10) if k != 1]
    assert numbers["mean_released"] == pytest.approx(np.mean(ours))
    assert numbers["mean_released_same"] == numbers["mean_released"]  # all ten have a mean on held-out ratings
    assert numbers["below_released"] == sum(rmse < 0.98 for rmse in ours) == 3
    assert numbers["below_holdout"] == 0
    assert numbers["beaten_holdout"] == (rows.loc["holdout", "gap_high"] < 0).sum()
    assert numbers["set_1_holdout"] == pytest.approx(1.105)
    found = [numbers["set_1_holdout_low"], numbers["set_1_holdout_high"]]
    assert found == rows.loc[("holdout", "table2:1"), ["low", "high"]].tolist()
    assert (numbers["set_1_place_released"], numbers["set_1_place_holdout"]) == (1, 1)
    names = ("all", "within", "centred", "item", "user", "quarter", "tenth")
    for protocol, table in carried_over[0].items():
        for name, (_, row) in zip(names, table.iterrows(), strict=True):
            found = [numbers[f"{name}_{protocol}{end}"] for end in ("", "_low", "_high", "_n")]
            assert found == row[["spearman", "low", "high", "n"]].tolist()
        for name, value in carried_over[1][protocol].items():
            assert numbers[f"{name}_{protocol}"] == value
        pivots = carried_over[2][protocol]
        assert numbers[f"big_item_{protocol}"] == pivots.loc["item", "big"]
        assert numbers[f"small_user_{protocol}"] == pivots.loc["user", "small"]


def test_item_means_stand_on_the_splits_on_which_the_sets_end_well(carried_over):
    numbers, _ = numbers_of(carried_over)
    for protocol in ("released", "holdout"):
        means, ends = [], []
        for place, name in enumerate(TABLE_2):
            own = [seed for seed in (0, 1) if end_of(place, seed, protocol) != "diverged"]
            rate = FlexConfig.preset(name).test_split_rate
            if own:
                means.append(np.mean([item_mean_rmse(rate, seed, protocol == "released") for seed in own]))
                ends.append(np.mean([end_of(place, seed, protocol) for seed in own]))
        assert numbers[f"item_mean_large_{protocol}"] == pytest.approx(np.mean(means), abs=1e-6)
        assert numbers[f"worst_{protocol}"] == pytest.approx(max(ends))


def test_sets_that_score_higher_on_the_larger_set_are_counted_with_a_sign_test():
    """Leaky, 7 of 8 sets are higher there, one is lower, one never ends well, and one is equal."""

    def on_small(place, seed, protocol):
        return "diverged" if place == 8 and protocol == "released" else 0.9 + 0.01 * seed

    def on_large(place, seed, protocol):
        if place == 9:
            return 0.9 + 0.01 * seed
        is_higher = place != 0 if protocol == "released" else place % 2
        return on_small(place, seed, "holdout") + (0.05 if is_higher else -0.05) * (1 + place)

    small, big = (sets_records(TABLE_2, outcome=outcome) for outcome in (on_small, on_large))
    table = compare_sizes(small, big).set_index("protocol")
    assert table.index.tolist() == ["released", "described", "holdout"]
    assert table.loc["released", ["n", "higher"]].tolist() == [8, 7]
    assert table.loc["holdout", ["n", "higher"]].tolist() == [9, 4]
    # As unlikely or more: 0, 1, 7 and 8 of 8 coins, (1 + 8 + 8 + 1) / 256; and 4 or 5 of 9, or fewer or more, always
    assert table["p"].tolist()[::2] == pytest.approx([18 / 256, 1])
    gaps = [0.05 * (1 + place) * (-1 if place == 0 else 1) for place in range(8)]
    assert table.loc["released", ["median", "least", "most"]].tolist() == pytest.approx(
        [np.median(gaps), min(gaps), max(gaps)]
    )
    numbers = size_numbers(table.reset_index())
    assert (numbers["higher_on_large_released"], numbers["higher_on_large_n_released"]) == (7, 8)
    assert (numbers["higher_on_large_holdout"], numbers["higher_on_large_p_holdout"]) == (4, pytest.approx(1))
    assert "no evidence that the larger set looks worse with the leak" in numbers["sizes_words"]


@pytest.mark.parametrize(
    ("p_released", "higher_released", "p_holdout", "words"),
    [
        (0.004, 9, 1.0, "looks worse with the leak; without it, there is no evidence"),
        (0.004, 9, 0.004, "looks worse under both protocols"),
        (0.004, 0, 0.004, "no evidence that the larger set looks worse with the leak"),
        (NAN, 0, NAN, "no evidence that the larger set looks worse with the leak"),
    ],
)
def test_what_is_said_of_the_sizes_follows_from_both_protocols(p_released, higher_released, p_holdout, words):
    table = pd.DataFrame(
        {"protocol": ["released", "holdout"], "n": 9, "higher": [higher_released, 9], "p": [p_released, p_holdout]}
    )
    assert words in size_numbers(table)["sizes_words"]
    assert math.isnan(size_numbers(table[:0])["higher_on_large_n_holdout"])
    assert size_numbers(table[:0])["sizes_words"] == ""
    assert math.isnan(size_numbers(table[:0])["higher_on_large_p_released"])


def test_on_movielens_the_larger_set_looks_worse_with_the_leak_alone():
    folder = Path(__file__).parents[1] / "results" / "records"
    small, big = (load_records(folder / f"table2-{name}.parquet") for name in (PAPERS_DATASET, "ml-1m"))
    numbers = size_numbers(compare_sizes(small, big))
    assert [numbers[f"higher_on_large_{name}"] for name in ("released", "n_released", "holdout", "n_holdout")] == [
        9,
        9,
        5,
        9,
    ]
    assert numbers["higher_on_large_p_released"] == pytest.approx(2 / 2**9)


def test_the_same_sets_are_those_that_end_well_on_held_out_ratings_at_least_once(carried_over):
    lost = {(2, 0, "holdout"), (2, 1, "holdout"), (4, 0, "holdout"), (9, 0, "holdout"), (9, 1, "holdout")}
    numbers, _ = numbers_of(carried_over, lambda *at: "diverged" if at in lost else end_of(*at))
    assert (numbers["compared_released"], numbers["compared_holdout"]) == (9, 8)
    # Set 2 has nothing as released, sets 3 and 10 nothing on held-out ratings; set 5 has one split there.
    ours = [0.905 + 0.02 * k for k in range(10) if k not in (1, 2, 9)]
    assert numbers["mean_released_same"] == pytest.approx(np.mean(ours))
    assert numbers["mean_released_same"] < numbers["mean_released"] - 0.001


def test_a_first_set_that_never_ends_well_has_no_place(carried_over):
    numbers, _ = numbers_of(carried_over, lambda place, *at: "diverged" if place == 0 else end_of(place, *at))
    assert math.isnan(numbers["set_1_place_released"])
    assert math.isnan(numbers["set_1_holdout"])
    assert numbers["compared_holdout"] == 9


def test_the_number_of_settings_of_the_chapters_answer_is_that_of_all_matched_ones(carried_over):
    (numbers, _), (agreement, carried, _) = numbers_of(carried_over), carried_over
    for protocol in PLAN.protocols:
        assert numbers[f"n_{protocol}"] == agreement[protocol]["n"].iloc[0] == carried[protocol]["matched"] > 10


def test_sets_beat_the_item_mean_where_the_whole_interval_is_below_it(carried_over):
    def outcome(place, seed, _):
        return 0.3 + (place == 3) * seed * 0.5 + 0.001 * seed - 0.01 * place

    numbers, _ = numbers_of(carried_over, outcome)
    # Set 4's splits are half a star apart: lower on average, but not clearly so. It is the only one behind set 1.
    assert (numbers["beaten_holdout"], numbers["beaten_described"]) == (9, 9)
    assert numbers["set_1_place_holdout"] == 9


def test_every_number_of_the_chapters_text_is_there(carried_over):
    sizes = size_numbers(compare_sizes(sets_records(), sets_records()))
    assert not_told("07_generalization", numbers_of(carried_over)[0] | sizes) == set()
