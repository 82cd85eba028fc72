"""The paper's claims about parameters, on planted data and by loops."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import records_of
from flexstudy.parameter_claims import (
    PARAMETER_CLAIMS,
    check_claims,
    claims_table,
    compare_centring,
    compare_choices,
    compare_without_both,
    count_far_off,
    low_user_based_runs,
    parameter_claim_numbers,
)
from flexstudy.plans import BY_ROWS, BY_THREE
from flexstudy.statistics import holm, median_interval
from planted import (
    CENTRED,
    CENTRED_NAMES,
    CONFIGS,
    PLAN,
    RATINGS,
    RECORDS,
    as_scored,
    by_rows,
    centred,
    ended_well,
    level_of,
    planted,
    worth,
)
from scipy import stats

# The claims once more: those looked at, and those with the property.
AS_CLAIMED = {
    "user_adam": (lambda c: not c.item_based, lambda c: c.optimizer == "adam"),
    "user_selu": (lambda c: not c.item_based, lambda c: c.activation == "selu"),
    "user_refeeding": (lambda c: not c.item_based, lambda c: c.dense_refeeding == 1),
    "user_men": (lambda c: not c.item_based, lambda c: c.mean_normalization),
    "prr": (lambda c: True, lambda c: c.prediction_rounding),
    "defr": (lambda c: c.dense_refeeding > 0, lambda c: c.dense_refeeding_rounding),
    "dropout": (lambda c: True, lambda c: c.drop_probability > 0),
    "noise": (lambda c: True, lambda c: c.noise_probability > 0),
    "high_dropout": (lambda c: c.drop_probability > 0, lambda c: c.drop_probability >= 0.5),
    "high_noise": (lambda c: c.noise_probability > 0, lambda c: c.noise_probability >= 0.5),
    "men": (lambda c: True, lambda c: c.mean_normalization),
    "men_item": (lambda c: c.item_based, lambda c: c.mean_normalization),
}


@pytest.mark.parametrize("protocol", ["released", "holdout"])
def test_claims_are_tested_on_the_runs_that_they_are_about(protocol):
    table = check_claims(RECORDS, protocol, resamples=40)
    assert table["key"].tolist() == list(AS_CLAIMED) == list(PARAMETER_CLAIMS)
    assert set(table["protocol"]) == {protocol}
    p_values = []
    for row, (among, has) in zip(table.itertuples(), AS_CLAIMED.values(), strict=True):
        sides, lost = {True: [], False: []}, {True: 0, False: 0}
        for k, rmse in as_scored(protocol).items():
            if among(CONFIGS[k]):
                sides[has(CONFIGS[k])].append(rmse)
                lost[has(CONFIGS[k])] += isinstance(planted(k, protocol), dict)
        assert (row.n_with, row.n_without) == (len(sides[True]), len(sides[False]))
        assert (row.diverged_with, row.diverged_without) == (lost[True], lost[False])
        won = sum((a < b) + (a == b) / 2 for a, b in product(sides[True], sides[False]))
        assert row.effect == pytest.approx(won / (row.n_with * row.n_without))
        assert row.low <= row.effect <= row.high
        p_values.append(stats.mannwhitneyu(sides[True], sides[False]).pvalue)
    assert table["p"].to_numpy() == pytest.approx(holm(p_values))
    # What was planted is found and nothing else is.
    clear = table[table["p"] < 0.05]
    assert clear["key"].tolist() == ["user_men", "men", "men_item"]
    assert (clear["low"] > 0.6).all()


def test_what_makes_runs_diverge_goes_with_a_higher_rmse():
    records = records_of(PLAN, lambda k, _: "diverged" if CONFIGS[k].prediction_rounding else 1.0)
    table = check_claims(records, "holdout", resamples=10).set_index("key")
    assert table.loc["prr", ["effect", "low", "high"]].tolist() == [0, 0, 0]
    assert table.loc["prr", "p"] < 1e-6


def test_a_claim_about_no_runs_is_not_tested_and_not_counted():
    item_based = RECORDS[RECORDS["pivot_indexes"] == "[1, 0]"]
    table = check_claims(item_based, "released", resamples=10).set_index("key")
    users = [key for key in AS_CLAIMED if key.startswith("user_")]
    assert table.loc[users, ["n_with", "n_without"]].to_numpy().tolist() == [[0, 0]] * 4
    assert table.loc[users, ["effect", "low", "high", "p"]].isna().all(axis=None)
    rest = [key for key in AS_CLAIMED if key not in users]
    assert table.loc[rest, "p"].notna().all()
    # The same runs: the smallest of the 8 p that there are is taken times 8.
    own = {k: rmse for k, rmse in as_scored("released").items() if CONFIGS[k].item_based}
    sides = [[rmse for k, rmse in own.items() if CONFIGS[k].mean_normalization == side] for side in (True, False)]
    p = stats.mannwhitneyu(*sides).pvalue
    assert table.loc["men", "p"] == pytest.approx(8 * p)


def test_the_low_user_based_runs_and_what_they_have_in_common():
    table = low_user_based_runs(RECORDS, "released", limit=0.9).set_index("trait")
    users = {k: rmse for k, rmse in ended_well().items() if not CONFIGS[k].item_based}
    low, other = ([CONFIGS[k] for k, rmse in users.items() if (rmse <= 0.9) == side] for side in (True, False))
    assert table.index.tolist() == ["ADAM", "SELU", "one re-feeding", "mean normalization"]
    assert set(table["n_low"]) == {len(low)}
    p_values = []
    for key, row in zip(list(AS_CLAIMED)[:4], table.itertuples(), strict=True):
        counts = [sum(map(AS_CLAIMED[key][1], side)) for side in (low, other)]
        assert (row.low, row.share_low, row.other) == (counts[0], counts[0] / len(low), counts[1] / len(other))
        sides = [[counts[0], len(low) - counts[0]], [counts[1], len(other) - counts[1]]]
        p_values.append(stats.fisher_exact(sides).pvalue)
    assert table["p"].to_numpy() == pytest.approx(holm(p_values))
    assert table.loc["mean normalization", ["share_low", "p"]].tolist() == [1.0, pytest.approx(0, abs=1e-3)]
    none = low_user_based_runs(RECORDS, "released", limit=0.1)
    assert none["n_low"].tolist() == [0] * 4
    assert none["share_low"].isna().all()
    assert none["p"].tolist() == [1] * 4


@pytest.mark.parametrize("protocol", ["released", "holdout"])
def test_runs_with_neither_dropout_nor_noise_are_counted_among_the_best_tenth(protocol):
    found = compare_without_both(RECORDS, protocol, 0.2)
    order = sorted(as_scored(protocol).items(), key=lambda item: item[1])
    best = round(0.2 * len(order))
    counts = [
        sum(not CONFIGS[k].drop_probability and not CONFIGS[k].noise_probability for k, _ in part)
        for part in (order[:best], order[best:])
    ]
    assert sum(counts) > 2
    assert (found["best"], found["n_best"]) == (counts[0], best)
    assert found["share"] == pytest.approx(100 * counts[0] / best)
    assert found["other"] == pytest.approx(100 * counts[1] / (len(order) - best))
    table = [[counts[0], best - counts[0]], [counts[1], len(order) - best - counts[1]]]
    assert found["p"] == pytest.approx(stats.fisher_exact(table).pvalue)


def test_runs_without_mean_normalization_are_told_apart_by_what_became_of_them():
    ends = [
        3.0,
        3.2,
        4.0,
        4.5,
        1e7,
        "diverged",
        {"status": "diverged", "rmse_of_diverged": 9.0},
        {"status": "diverged", "rmse_of_diverged": 1.5},
        "skipped",
        2.0,
        3.7,
    ]
    off = [k for k in range(150) if not CONFIGS[k].mean_normalization]
    some = dict(zip(off, ends, strict=False))
    found = count_far_off(records_of(PLAN, lambda k, _: some.get(k, "skipped")), "holdout")
    # 9 stars of a run that diverged count as that; 3 stars are not above 3.
    assert found == {"off": 10, "off_above_3": 7, "off_diverged": 2, "off_above_4": 2, "off_between": 3}
    assert count_far_off(records_of(PLAN, lambda k, _: "skipped" if k in off else 9.0), "holdout")["off_above_3"] == 0


def test_runs_that_need_neither_are_found_among_the_best():
    def outcome(k, _):
        return 0.8 if CONFIGS[k].drop_probability == 0 and CONFIGS[k].noise_probability == 0 else 1 + k / 1000

    found = compare_without_both(records_of(PLAN, outcome), "holdout", best=0.01)
    # All that tie with the best are: every one without, and no other.
    assert (found["share"], found["other"]) == (100, 0)
    assert found["n_best"] == found["best"] > 2
    assert found["p"] < 1e-6


def test_the_share_of_a_choice_is_kruskal_and_wallis():
    table = compare_choices(RECORDS, resamples=60)
    keys = ["protocol", "parameter", "pivot"]
    assert table[keys].to_numpy().tolist() == [
        [*key] for key in product(PLAN.protocols, ("activation", "optimizer"), ("user-based", "item-based"))
    ]
    p_values = []
    for row in table.itertuples():
        groups = {}
        for k, rmse in as_scored(row.protocol).items():
            if CONFIGS[k].mean_normalization and CONFIGS[k].item_based == (row.pivot == "item-based"):
                groups.setdefault(getattr(CONFIGS[k], row.parameter), []).append(rmse)
        assert row.n == sum(map(len, groups.values()))
        found = stats.kruskal(*groups.values())
        assert row.share == pytest.approx((found.statistic - len(groups) + 1) / (row.n - len(groups)))
        assert row.low < row.share < row.high
        p_values.append(found.pvalue)
    assert table["p"].to_numpy() == pytest.approx(holm(p_values))
    assert compare_choices(RECORDS, resamples=60).equals(table)
    assert compare_choices(RECORDS, ("holdout",), resamples=60)["share"].tolist() == table["share"].tolist()[4:]


def test_a_choice_that_decides_everything_explains_everything():
    order = {"adam": 0.8, "adagrad": 0.9, "rmsprop": 1.0, "sgd": 1.1}
    decided = records_of(PLAN, lambda k, _: order[CONFIGS[k].optimizer])
    table = compare_choices(decided, ("holdout",), resamples=30)
    own = table[table["parameter"] == "optimizer"]
    assert own[["share", "low", "high"]].to_numpy() == pytest.approx(np.ones((2, 3)))
    assert (own["p"] < 1e-4).all()


def test_a_choice_that_decides_nothing_explains_nothing_on_average():
    """Drawing runs again makes small groups differ by more; the interval is around the share all the same."""
    made, tables = RECORDS[RECORDS["protocol"] == "holdout"], []
    for seed in range(25):
        mixed = made.assign(rmse=np.random.default_rng(seed).permutation(150).astype(float), status="ok")
        tables.append(compare_choices(mixed, ("holdout",), resamples=40))
    table = pd.concat(tables)
    assert table["share"].mean() == pytest.approx(0, abs=3 * table["share"].std() / 10)
    assert table["share"].min() < 0 < table["share"].max()
    own = table[table["parameter"] == "activation"]
    assert ((own["low"] + own["high"]) / 2 - own["share"]).mean() == pytest.approx(0, abs=0.06)


def test_where_there_is_no_choice_or_no_difference_nothing_is_explained():
    one = compare_choices(RECORDS[RECORDS["optimizer"] == "sgd"], ("holdout",), resamples=5)
    one = one[one["parameter"] == "optimizer"]
    assert one[["low", "high", "p"]].isna().all(axis=None)
    assert (one["n"] > 3).all()
    alike = compare_choices(RECORDS.assign(rmse=1.0, status="ok"), ("holdout",), resamples=5)
    assert alike[["share", "low", "high", "p"]].isna().all(axis=None)


def test_choices_among_no_runs_matter_nothing():
    table = compare_choices(RECORDS[RECORDS["pivot_indexes"] == "[0, 1]"], ("holdout",), resamples=5)
    none = table[table["pivot"] == "item-based"]
    assert none["n"].tolist() == [0, 0]
    assert none[["share", "low", "high", "p"]].isna().all(axis=None)


def test_settings_centred_two_ways_are_paired_with_themselves():
    assert len(CENTRED_NAMES) > 12
    assert {(setting.role, setting.config.centring) for setting in CENTRED.settings} == {
        (w, w) for w in (BY_ROWS, BY_THREE)
    }
    table = compare_centring(records_of(CENTRED, centred), RATINGS).set_index("group")
    gaps = {name: -worth(name) for name in CENTRED_NAMES}
    # Those that filling with 3 takes 0.01 or more below the row means have learned by that.
    learned = [name for name in gaps if by_rows(name) + min(0, -gaps[name]) <= -0.01]
    groups = {"all": list(gaps), "that have learned": learned}
    assert table.index.tolist() == list(groups)
    p_values = []
    for group, chosen in groups.items():
        own, row = [gaps[name] for name in chosen], table.loc[group]
        assert (row["n"], row["better"]) == (len(own), sum(gap < 0 for gap in own))
        # In the order of the plan, which the draws of the bootstrap follow
        assert tuple(row[["change", "low", "high"]]) == pytest.approx(median_interval(own), abs=1e-9)
        means = [np.mean([level_of(name, seed) for seed in (0, 1)]) for name in chosen]
        assert row["row_mean"] == pytest.approx(np.median(means))
        rows = [mean + by_rows(name) for name, mean in zip(chosen, means, strict=True)]
        assert row["rows"] == pytest.approx(np.median(rows))
        assert row["three"] == pytest.approx(np.median(np.array(rows) - own))
        p_values.append(stats.wilcoxon(own).pvalue)
    assert table["p"].to_numpy() == pytest.approx(holm(p_values))
    by_three_alone = [name for name in learned if by_rows(name) > -0.01]
    assert 0 < len(by_three_alone) < len(learned) < len(CENTRED_NAMES) / 2


def test_a_setting_that_is_lost_on_one_split_is_left_out():
    lost = {(CENTRED_NAMES[2], BY_THREE, 1): "diverged", (CENTRED_NAMES[4], BY_ROWS, 0): "skipped"}

    def outcome(k, _):
        setting = CENTRED.settings[k]
        return lost.get((setting.name, setting.role, CENTRED.seeds[k]), centred(k))

    table = compare_centring(records_of(CENTRED, outcome), RATINGS)
    left = [name for place, name in enumerate(CENTRED_NAMES) if place not in (2, 4)]
    assert table["n"].iloc[0] == len(left)
    assert table["change"].iloc[0] == pytest.approx(np.median([-worth(name) for name in left]))


def test_where_nothing_has_learned_there_is_nothing_to_compare():
    table = compare_centring(records_of(CENTRED, lambda *_: 3.0), RATINGS).set_index("group")
    assert table["n"].tolist() == [len(CENTRED_NAMES), 0]
    assert table.loc["that have learned", ["change", "low", "high", "p", "rows"]].isna().all()
    assert table.loc["all", ["change", "better"]].tolist() == [0, 0]


def test_claims_are_read_with_the_protocols_beside_each_other():
    claims = {name: check_claims(RECORDS, name, resamples=10) for name in ("released", "holdout")}
    table = claims_table(claims)
    for name, own in claims.items():
        row = own.set_index("key").loc["men_item"]
        shown = table.loc[(9, "mean normalization (MeN), item-based")]
        assert shown["n"].tolist() == [row["n_with"], row["n_without"]]
        p = "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}"
        assert shown[name].to_dict() == {
            "effect": f"{row['effect']:.2f} ({row['low']:.2f} to {row['high']:.2f})",
            "p": p,
            "diverged": f"{row['diverged_with']} / {row['diverged_without']}",
        }
    assert table.index.get_level_values("what").tolist() == [claim.what for claim in PARAMETER_CLAIMS.values()]


def test_the_numbers_of_the_prose_are_those_of_the_tables():
    claims = {name: check_claims(RECORDS, name, resamples=10) for name in PLAN.protocols}
    choices = compare_choices(RECORDS, resamples=10)
    pairs = compare_centring(records_of(CENTRED, centred), RATINGS)
    numbers = parameter_claim_numbers(RECORDS, claims, choices, pairs)
    off = [rmse for k, rmse in as_scored("holdout").items() if not CONFIGS[k].mean_normalization]
    assert (numbers["off_holdout"], numbers["off_above_3_holdout"]) == (len(off), sum(map(math.isinf, off)))
    assert numbers["off_diverged_holdout"] == numbers["off_above_3_holdout"] > 0
    neither = compare_without_both(RECORDS, "released")
    assert {name: numbers[f"neither_released_{name}"] for name in neither} == neither
    men = claims["released"].set_index("key").loc["men"]
    found = [numbers[f"men_released_effect{end}"] for end in ("", "_low", "_high", "_p", "_n", "_diverged_without")]
    assert found == men[["effect", "low", "high", "p", "n_with", "diverged_without"]].tolist()
    assert numbers["prr_holdout"] == claims["holdout"].set_index("key").loc["prr", "effect"]
    row = choices.set_index(["protocol", "parameter", "pivot"]).loc[("holdout", "optimizer", "item-based")]
    found = [numbers[f"optimizer_item_holdout{end}"] for end in ("", "_low", "_high", "_p")]
    assert found == [100 * row["share"], 100 * row["low"], 100 * row["high"], row["p"]]
    row = pairs.set_index("group").loc["that have learned"]
    found = [numbers[f"centred_that{end}"] for end in ("", "_low", "_high", "_n", "_better", "_p")]
    assert found == row[["change", "low", "high", "n", "better", "p"]].tolist()
    assert numbers["centred_all_n"] == len(CENTRED_NAMES)
