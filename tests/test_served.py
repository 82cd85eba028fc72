"""Who is served: the splits by brute force, a planted case, and the chapter's tables and numbers by hand."""

import json
import math
import statistics
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, make_ratings, not_told, random_ratings
from flexstudy import served as chapter
from flexstudy import served_cases as served
from flexstudy.served import METHOD_LOOKS, plot_cases
from flexstudy.served_cases import (
    BINS,
    COLUMNS,
    ENOUGH,
    NAMES,
    SHARES,
    SHOWN,
    bin_labels,
    by_count,
    merged_bins,
    new_rows,
    run_served,
    score_group,
    served_job,
    served_jobs,
    thinned,
)
from flexstudy.style import use_style
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flexlib.__main__ import main
from flexlib.data import Split, split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.methods.tuning import COLUMNS as TUNED_COLUMNS
from flexlib.methods.tuning import Tuning

NAN = math.nan


def interval(values):
    """Mean and t-interval from their definitions."""
    mean, half = statistics.fmean(values), stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values)
    return pytest.approx((mean, mean - half / math.sqrt(len(values)), mean + half / math.sqrt(len(values))), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(4, 40), st.integers(22, 40), st.floats(0.6, 1.0), st.integers(0, 3))
def test_new_rows_are_shown_so_many_ratings_and_nobody_else_loses_one(seed, n_users, n_items, share, split_seed):
    ratings = random_ratings(seed, n_users, n_items, share)
    for side, ids in (("users", ratings.users.tolist()), ("items", ratings.items.tolist())):
        enough = {row for row in ids if ids.count(row) >= ENOUGH}
        if len(enough) < 2:
            continue
        splits = new_rows(ratings, side, split_seed)
        assert tuple(splits) == SHOWN
        new = {ids[k] for k in splits[0].test}
        assert new <= enough
        assert len(new) == max(1, round(0.1 * len(enough)))
        test = splits[0].test.tolist()
        for k, split in splits.items():
            train = split.train.tolist()
            assert split.test.tolist() == test == sorted(set(test))
            assert train == sorted(set(train))
            assert not set(train) & set(test)
            shown = [ids[place] for place in train if ids[place] in new]
            assert {row: shown.count(row) for row in new} == dict.fromkeys(new, k)
            assert [p for p in train if ids[p] not in new] == [p for p in range(len(ids)) if ids[p] not in new]
        for fewer, more in pairwise(splits.values()):
            assert set(fewer.train.tolist()) <= set(more.train.tolist())
        # What is neither shown nor scored of the new: nothing, once the most is shown
        assert sorted(splits[SHOWN[-1]].train.tolist() + test) == list(range(len(ids)))
        assert all(same(again, split) for again, split in zip(new_rows(ratings, side, split_seed).values(),
                                                              splits.values(), strict=True))  # fmt: skip


def same(one, other):
    return one.train.tolist() == other.train.tolist() and one.test.tolist() == other.test.tolist()


def test_the_seed_draws_who_is_new_and_what_is_shown_of_them():
    ratings = random_ratings(0, 40, 40, 1.0)
    drawn = [new_rows(ratings, "users", seed) for seed in range(6)]
    assert len({frozenset(ratings.users[splits[0].test].tolist()) for splits in drawn}) > 1
    places = [np.flatnonzero(np.isin(splits[1].train, splits[0].train, invert=True)) for splits in drawn]
    shown = [ratings.items[splits[1].train[own]] for splits, own in zip(drawn, places, strict=True)]
    assert len(set(np.concatenate(shown).tolist())) > 3  # and not the first of a user's ratings in the file


def test_nobody_is_taken_for_new_where_fewer_than_two_have_enough(refused):
    ratings = make_ratings([(0, i, 3.0) for i in range(25)] + [(1, i, 3.0) for i in range(5)])
    refused(lambda: new_rows(ratings, "users"), "hand-made", "fewer than 2 users", "20 ratings")
    refused(lambda: new_rows(ratings, "items"), "hand-made", "fewer than 2 items")


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(0, 5))
def test_fewer_training_ratings_are_among_the_more(n, seed):
    whole = Split(2 * np.arange(n) + 1, np.arange(7) * 1000)
    parts = thinned(whole, seed)
    assert tuple(parts) == SHARES == (100, 50, 25, 12.5)
    assert same(parts[100], whole)
    for share, part in parts.items():
        assert len(part.train) == max(1, round(n * share / 100))
        assert part.train.tolist() == sorted(set(part.train.tolist()))
        assert part.test is whole.test
    for more, fewer in pairwise(parts.values()):
        assert set(fewer.train.tolist()) <= set(more.train.tolist())
    if n >= 40:
        assert not same(thinned(whole, seed + 1)[50], parts[50])


def test_bins_count_training_ratings():
    """A user with n training ratings for n from 0 to 130, and two test ratings each."""
    counts = [0, 1, 2, 3, 5, 6, 10, 11, 20, 21, 50, 51, 100, 101, 130]
    triples = [(user, item, 3.0) for user, n in enumerate(counts) for item in range(n + 2)]
    ratings = make_ratings(triples)
    is_test = np.array([item >= counts[user] for user, item, _ in triples])
    split = Split(np.flatnonzero(~is_test), np.flatnonzero(is_test))
    found = by_count(ratings, split, "users")
    expected = {0: [0], 1: [1, 2], 3: [3, 5], 6: [6, 10], 11: [11, 20], 21: [21, 50], 51: [51, 100], 101: [101, 130]}
    assert list(found) == list(BINS) == list(expected)
    for low, mask in found.items():
        assert sorted({counts[user] for user in ratings.users[split.test[mask]]}) == expected[low]
        assert mask.sum() == 2 * len(expected[low])
    only = by_count(ratings, Split(split.train, split.test[-4:]), "users")
    assert {low: mask.tolist() for low, mask in only.items()} == {101: [True] * 4}
    items = by_count(ratings, split, "items")
    per_item = np.bincount(ratings.items[split.train], minlength=ratings.n_items)[ratings.items[split.test]]
    assert sum(mask.sum() for mask in items.values()) == len(split.test)
    for low, mask in items.items():
        above = [other for other in BINS if other > low]
        assert all(low <= n and (not above or n < above[0]) for n in per_item[mask])


def test_bins_of_few_ratings_are_taken_together():
    counts = pd.Series({0: 10, 1: 90, 3: 100, 6: 5, 11: 200, 21: 3, 51: 20})
    merged = merged_bins(counts, 100)
    assert merged == {0: 0, 1: 0, 3: 3, 6: 6, 11: 6, 21: 6, 51: 6}
    assert bin_labels(merged) == {0: "0-2", 3: "3-5", 6: "6-100"}
    assert merged_bins(counts, 1) == {low: low for low in counts.index}
    assert set(merged_bins(counts, 10_000).values()) == {0}
    every = merged_bins(pd.Series(dict.fromkeys(BINS, 7)), 7)
    assert list(bin_labels(every).values()) == ["0", "1-2", "3-5", "6-10", "11-20", "21-50", "51-100", "101+"]
    assert bin_labels({6.0: 6.0, 11.0: 11.0}) == {6: "6-10", 11: "11-20"}  # as they stand in records


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(1, 60))
def test_merged_bins_have_enough_or_are_one(counts, at_least):
    counts = pd.Series(counts, index=list(BINS)[: len(counts)])
    merged = merged_bins(counts, at_least)
    sums = counts.groupby(pd.Series(merged)).sum()
    assert len(sums) == 1 or sums.min() >= at_least
    assert list(merged.values()) == sorted(merged.values())


class Fake:
    """A method that predicts the same for every rating, and remembers the splits."""

    def __init__(self, value):
        self.value, self.splits = value, []

    def predict(self, ratings, split, seed=0, **found):
        self.splits.append(split)
        self.seed, self.found = seed, found
        return np.full(len(split.test), self.value)


@pytest.mark.parametrize("value", [3.3, 5.1, NAN])
def test_a_group_is_scored_as_if_by_hand(monkeypatch, value):
    ratings, fake = random_ratings(3, 30, 30, 0.5), Fake(value)
    monkeypatch.setattr(served, "ALL", {"fake": fake})
    rows = score_group(ratings, "sparsity", "fake", 1, {"a": 2}, 0.3)
    assert (fake.seed, fake.found) == (1, {"a": 2})
    whole = split_ratings(ratings, 0.3, 1)
    assert [len(split.train) for split in fake.splits] == [round(len(whole.train) * share / 100) for share in SHARES]
    values, users, items = (column.tolist() for column in (ratings.values.astype(float), ratings.users, ratings.items))
    stars = 5.0 if value > 5 else value  # clipped
    for row in rows:
        share = row["shown"] if row["task"] == "sparsity" else 100
        train = thinned(whole, 1)[share].train.tolist()
        squares, own = [], []
        for k in whole.test.tolist():
            of_user, of_item = ([values[j] for j in train if ids[j] == ids[k]] for ids in (users, items))
            counts = {"user": len(of_user), "item": len(of_item)}
            if row["task"].startswith("by "):
                low = max(edge for edge in BINS if edge <= counts[row["task"][3:]])
                if low != row["shown"]:
                    continue
            mean = statistics.fmean(of_user or of_item or [values[j] for j in train])
            squares.append(((stars if of_user and of_item else mean) - values[k]) ** 2)
            own.append((stars - values[k]) ** 2)
        assert row["n_test"] == len(squares)
        assert row["n_train"] == len(train)
        assert row["rmse"] == pytest.approx(math.sqrt(statistics.fmean(squares)), abs=1e-6, nan_ok=True)
        assert row["rmse_own_fallback"] == pytest.approx(math.sqrt(statistics.fmean(own)), abs=1e-6, nan_ok=True)
    tasks = pd.DataFrame(rows).groupby("task")["n_test"].sum()
    assert tasks["by user"] == tasks["by item"] == len(whole.test)
    assert [row["shown"] for row in rows if row["task"] == "sparsity"] == list(SHARES)


def of_two_kinds():
    """Users who give 1 star and users who give 5 stars, whatever the film; who has user biases must win."""
    rng = np.random.default_rng(0)
    triples = [(u, i, 5.0 if u % 2 else 1.0) for u in range(60) for i in range(45) if rng.random() < 0.15 + u / 80]
    return make_ratings(triples, 60, 45)


def test_biases_win_where_users_are_known_and_tie_where_nobody_is():
    ratings, found = of_two_kinds(), {}
    for method in ("biases", "item_mean"):
        for group in ("sparsity", "new users"):
            for row in score_group(ratings, group, method, 0, {}, 0.3):
                found[method, row["task"], row["shown"]] = row
    for shown in SHOWN:
        biases, mean = (found[method, "new users", shown] for method in ("biases", "item_mean"))
        assert mean["rmse"] == pytest.approx(2, abs=0.2)
        assert biases["rmse"] == mean["rmse"] if shown == 0 else biases["rmse"] < mean["rmse"] - 0.05
        assert biases["n_users"] == mean["n_users"] == len(new_users_of(ratings))
        assert biases["n_unseen"] == (biases["n_test"] if shown == 0 else 0)
    assert found["biases", "new users", 10]["rmse"] < found["biases", "new users", 1]["rmse"] - 0.5
    bins = [shown for method, task, shown in found if (method, task) == ("biases", "by user")]
    for shown in bins:
        assert found["biases", "by user", shown]["rmse"] < found["item_mean", "by user", shown]["rmse"]
    assert len(bins) >= 3


def new_users_of(ratings):
    return set(ratings.users[new_rows(ratings, "users", 0)[0].test].tolist())


# Records: what the chapter makes of them.

TASK_CASES = {"by user": (3, 6), "by item": (0, 1), "new users": SHOWN, "new items": SHOWN, "sparsity": SHARES}
METHODS = ("flexencoder", "biases", "svdpp")


def planted(task, shown, method, seed):
    """FlexEncoder 1 star; biases a tenth above, more or less by split; SVD++ below where films are new."""
    if task.startswith("new") and shown == 0:
        return 1.2
    return 1 + {"flexencoder": 0, "biases": 0.1 + 0.001 * seed, "svdpp": -0.2 if task == "new items" else 0.3}[method]


def records_by(outcome=planted, seeds=3, methods=METHODS, n_test=150):
    rows = [
        {"group": task if task in ("new users", "new items") else "sparsity", "method": method, "seed": seed,
         "task": task, "shown": shown, "n_train": 700, "n_test": n_test + 10 * place, "n_unseen": 0, "n_users": 5,
         "n_items": 6, "rmse": outcome(task, shown, method, seed), "mae": 0.5, "rmse_known": 0.5,
         "rmse_own_fallback": outcome(task, shown, method, seed) + 0.5, "seconds": 1.0, "settings": "{}", "tuned": "t"}
        for task, cases in TASK_CASES.items() for place, shown in enumerate(cases)
        for method in methods for seed in range(seeds)
    ]  # fmt: skip
    facts = {name: "here" for name in COLUMNS if name not in rows[0]}
    return pd.DataFrame(rows).assign(**facts).astype(COLUMNS)[list(COLUMNS)]


def test_errors_of_merged_bins_are_pooled():
    def outcome(task, shown, method, seed):
        lost = (task, shown, method, seed) == ("by item", 1, "svdpp", 1)
        return NAN if lost else 0.5 + shown / 10 + seed

    records = records_by(outcome, n_test=60)
    # In split 2 no film of the lower bin has a test rating
    records = records[(records["task"] != "by item") | (records["shown"] != 0) | (records["seed"] != 2)]
    table = chapter.served_cases(records).set_index(["task", "method", "seed", "shown"]).sort_index()
    by_user = table.loc["by user", "biases", 1]
    assert by_user["case"].tolist() == ["3-10"]
    assert by_user["n_test"].tolist() == [60 + 70]
    pooled = math.sqrt((60 * 1.8**2 + 70 * 2.1**2) / 130)
    assert by_user["rmse"].tolist() == pytest.approx([pooled])
    own = math.sqrt((60 * 2.3**2 + 70 * 2.6**2) / 130)
    assert by_user["rmse_own_fallback"].tolist() == pytest.approx([own])
    # 0 ratings of the lower bin in one split: together 70 in that one, and the bins are the same for all splits
    by_item = table.loc["by item"]
    assert set(by_item["case"]) == {"0-2"}
    assert by_item.loc["biases", "n_test"].tolist() == [130, 130, 70]
    assert by_item.loc["biases", 2]["rmse"].tolist() == pytest.approx([2.6])
    assert math.isnan(by_item.loc["svdpp", 1]["rmse"].iloc[0])  # a part is no whole
    assert not math.isnan(by_item.loc["svdpp", 0]["rmse"].iloc[0])
    assert table.loc["sparsity", "biases", 0]["case"].tolist() == ["12.5", "25", "50", "100"]
    assert set(table["case"]["new users"]) == {"0", "1", "2", "5", "10"}
    apart = records_by(n_test=150)
    assert cases_of(apart, "by user") == {"3-5", "6-10"}
    assert cases_of(apart, "by item") == {"0", "1-2"}
    few = (apart["task"] == "by item") & (apart["shown"] == 0) & (apart["seed"] == 2)
    for records in (apart[~few], apart.assign(n_test=apart["n_test"].where(~few, 99))):  # one split decides for all
        assert cases_of(records, "by item") == {"0-2"}


def cases_of(records, task):
    table = chapter.served_cases(records)
    return set(table[table["task"] == task]["case"])


def test_means_and_intervals_by_hand():
    table = chapter.summarise_served(chapter.served_cases(records_by()))
    own = table.set_index(["task", "shown", "method"])
    row = own.loc["sparsity", 12.5, "biases"]
    assert tuple(row[["mean", "low", "high"]]) == interval([1.1, 1.101, 1.102])
    assert (row["name"], row["case"], row["n"], row["n_test"]) == ("User and item biases", "12.5", 3, 180)
    assert row["own"] == pytest.approx(1.601)
    assert len(table) == len(METHODS) * sum(map(len, TASK_CASES.values()))
    lost = records_by(lambda task, shown, method, seed: NAN if seed == 1 else planted(task, shown, method, seed))
    row = chapter.summarise_served(chapter.served_cases(lost)).iloc[0]
    assert row["n"] == 2


def test_differences_are_paired_and_corrected_over_the_cases():
    def outcome(task, shown, method, seed):
        base = 1 + seed  # splits differ far more than methods
        if method == "biases":
            return base + 0.1 + 0.01 * seed * (1 + (shown > 4))
        if method == "item_mean":
            return base + 0.2 + 0.07 * seed
        return NAN if (method, seed) == ("svdpp", 2) else base

    cases = chapter.served_cases(records_by(outcome, methods=(*METHODS, "item_mean")))
    gaps = chapter.paired_gaps(cases, "flexencoder")
    assert set(gaps["method"]) == {"biases", "svdpp", "item_mean"}
    own = gaps[(gaps["task"] == "new users") & (gaps["method"] == "biases")].set_index("shown")
    few, many = [0.1, 0.11, 0.12], [0.1, 0.12, 0.14]
    for shown, each in ((0, few), (1, few), (2, few), (5, many), (10, many)):
        assert tuple(own.loc[shown, ["gap", "low", "high"]]) == interval(each)
    p_few, p_many = (stats.ttest_1samp(each, 0).pvalue for each in (few, many))
    assert p_few < p_many  # three with the lower p: 5, 4 and 3 times, and none below the one before
    assert own["p"].tolist() == pytest.approx([5 * p_few] * 3 + [max(5 * p_few, 2 * p_many)] * 2)
    own = gaps[(gaps["task"] == "sparsity") & (gaps["method"] == "item_mean")]  # each method is a family of its own
    assert own["p"].tolist() == pytest.approx([4 * stats.ttest_1samp([0.2, 0.27, 0.34], 0).pvalue] * 4)
    lost = gaps[gaps["method"] == "svdpp"]
    assert set(lost["n"]) == {2}
    assert lost["gap"].abs().max() < 1e-12
    assert lost["p"].isna().all()
    other = chapter.paired_gaps(cases, "biases").set_index(["task", "method", "shown"])
    assert other.loc[("new users", "flexencoder", 0), "gap"] == pytest.approx(-0.11)
    assert len(chapter.paired_gaps(cases, "bpmf")) == 0
    one = chapter.paired_gaps(chapter.served_cases(records_by(seeds=1)), "flexencoder")
    assert one["gap"].notna().all()
    assert one[["low", "high", "p"]].isna().all(axis=None)


def test_a_star_marks_a_difference_on_every_split():
    cases = chapter.served_cases(records_by())
    table = chapter.gaps_table(chapter.paired_gaps(cases, "flexencoder"), ["sparsity", "new items"])
    assert table.columns.tolist() == ["SVD++", "User and item biases"]  # the order of NAMES
    words = chapter.TASKS["sparsity"]
    assert table.loc[words].index.tolist() == ["12.5", "25", "50", "100"]
    assert set(table.loc[words, "User and item biases"]) == {"+0.101*"}
    assert set(table.loc[words, "SVD++"]) == {"+0.300"}  # the same on all splits: no test
    assert table.loc[(chapter.TASKS["new items"], "0")].tolist() == ["+0.000", "+0.000"]


def numbers_of(records):
    cases = chapter.served_cases(records)
    return chapter.served_numbers(records, cases, chapter.summarise_served(cases))


def test_the_numbers_by_hand():
    numbers = numbers_of(records_by())
    assert (numbers["n_splits"], numbers["methods"], numbers["tuned"]) == (3, 3, "t")
    assert [numbers[f"sparsity_{end}_case"] for end in ("first", "last")] == ["12.5", "100"]
    assert [numbers[f"by_user_{end}_case"] for end in ("first", "last")] == ["3-5", "6-10"]
    assert (numbers["sparsity_first_flexencoder"], numbers["sparsity_first_flexencoder_own"]) == (1, 1.5)
    span = tuple(numbers[f"new_users_first_biases{end}"] for end in ("", "_low", "_high"))
    assert span == interval([1.1, 1.101, 1.102])
    assert (numbers["new_users_first_case"], numbers["new_users_none_case"]) == ("1", "0")
    assert (numbers["new_users_none_biases"], numbers["new_users_none_biases_own"]) == pytest.approx((1.2, 1.7))
    less = tuple(numbers[f"new_users_last_gap{end}"] for end in ("", "_low", "_high"))
    assert less == interval([-0.1, -0.101, -0.102])
    assert (numbers["new_items_first_best"], numbers["new_items_first_lowest"]) == ("SVD++", pytest.approx(0.8))
    assert (numbers["new_users_last_best"], numbers["new_users_last_lowest"]) == ("FlexEncoder, tuned", 1)
    # Without a rating all have the same, which nobody leads and no test tells apart.
    assert {name: numbers[f"{name}_cases"] for name in ("new_users", "new_items", "sparsity", "by_user")} == {
        "new_users": 4, "new_items": 4, "sparsity": 4, "by_user": 2,
    }  # fmt: skip
    assert (numbers["new_users_led"], numbers["new_items_led"], numbers["sparsity_led"]) == (4, 0, 4)
    assert (numbers["new_users_below"], numbers["new_users_above"]) == (4, 0)
    assert numbers["new_users_change_flexencoder"] == pytest.approx(-0.2)
    change = tuple(numbers[f"new_users_change_biases{end}"] for end in ("", "_low", "_high"))
    assert change == interval([-0.1, -0.099, -0.098])
    own = records_by()
    own.loc[own["shown"] == 0, "rmse_own_fallback"] -= 0.1 * (1 + own["seed"])
    own_numbers = numbers_of(own)
    change = tuple(own_numbers[f"new_users_own_change_biases{end}"] for end in ("", "_low", "_high"))
    assert change == interval([0, 0.101, 0.202])
    assert own_numbers["new_users_change_biases"] == numbers["new_users_change_biases"]
    assert (numbers["new_users_new"], numbers["new_items_new"]) == (5, 6)
    assert (numbers["sparsity_last_test"], numbers["by_item_first_test"]) == (150, 150)
    assert not any("svdpp" in key for key in numbers)


def test_the_first_case_is_one_in_which_methods_differ():
    def outcome(task, shown, method, seed):
        return 1.3 if shown in (0, 3) else planted(task, shown, method, seed)

    numbers = numbers_of(records_by(outcome))
    assert (numbers["by_item_first_case"], numbers["by_item_cases"]) == ("1-2", 1)
    assert (numbers["by_user_first_case"], numbers["by_user_cases"]) == ("6-10", 1)
    assert numbers["by_item_first_gap"] == pytest.approx(-0.101)
    alone = numbers_of(records_by(methods=("flexencoder",)))
    assert (alone["by_item_first_case"], alone["by_item_cases"]) == ("0", 0)


def test_numbers_where_biases_are_better_and_where_there_is_one_split():
    worse = numbers_of(records_by(lambda task, shown, method, seed: 2 - planted(task, shown, method, seed)))
    assert (worse["sparsity_below"], worse["sparsity_above"], worse["sparsity_led"]) == (0, 4, 0)
    one = numbers_of(records_by(seeds=1))
    assert (one["sparsity_below"], one["sparsity_above"]) == (0, 0)
    assert math.isnan(one["sparsity_first_gap_low"])


def test_every_number_of_the_chapters_text_is_there():
    assert not_told("10_served", numbers_of(records_by())) == set()


def test_figures_draw_every_method_over_the_cases():
    mpl.use("agg")
    cases = chapter.served_cases(records_by())
    summary, gaps = chapter.summarise_served(cases), chapter.paired_gaps(cases, "flexencoder")
    words = {task: chapter.TASKS[task] for task in ("new users", "by user")}
    with mpl.rc_context():
        use_style()
        figure = plot_cases(summary, words, "A title\nhere")
        figure.canvas.draw()
        above, below = figure.axes
        assert above.get_xlabel() == "ratings shown of a new user"
        assert [label.get_text() for label in below.get_xticklabels()] == ["3-5\n150", "6-10\n160"]
        drawn = {held.get_label(): held.lines[0].get_ydata().tolist() for held in above.containers}
        assert list(drawn) == ["FlexEncoder, tuned", "SVD++", "User and item biases"]
        assert drawn["User and item biases"] == pytest.approx([1.2, 1.101, 1.101, 1.101, 1.101])
        marks = [line for line in above.get_lines() if line.get_fillstyle() == "none"]
        assert [line.get_ydata().tolist() for line in marks] == [pytest.approx([1.7])] * 3
        assert [line for line in below.get_lines() if line.get_fillstyle() == "none"] == []
        assert above.get_ylim()[0] < 1 < 1.7 < above.get_ylim()[1]
        (only,) = plot_cases(gaps, {"sparsity": "share"}, "t", value="gap", less="FlexEncoder").axes
        only.figure.canvas.draw()
        assert "of FlexEncoder" in only.get_ylabel()
        (spans,) = [
            held.lines[2][0].get_segments() for held in only.containers if held.get_label() == "User and item biases"
        ]
        assert [point[1] for point in spans[0]] == pytest.approx(interval([0.1, 0.101, 0.102]).expected[1:])
        mpl.pyplot.close("all")
    assert list(METHOD_LOOKS) == list(NAMES)


# Working off the jobs.


def tuned_records(path, change=None, methods=("biases", "item_mean"), splits=1):
    n = len(load_ratings(SMALL))
    rows = [
        {"method": method, "split": f"seed {seed}", "networks": 1, "tries": 1, "n_test": round(0.3 * n), "n_unseen": 0,
         "settings": json.dumps({"item_shrinkage": 5.0 + seed} if method == "biases" else {}), "dataset": SMALL,
         "checksum": "", **dict.fromkeys(("validation_rmse", "rmse", "mae", "rmse_known"), 1.0)} | (change or {})
        for method in methods for seed in range(splits)
    ]  # fmt: skip
    facts = {name: "" if kind == "str" else 0 for name, kind in TUNED_COLUMNS.items() if name not in rows[0]}
    pd.DataFrame(rows).assign(**facts).astype(TUNED_COLUMNS).to_parquet(path)
    return path


def test_what_is_there_is_not_made_again_and_what_is_made_is_what_a_job_makes(tmp_path, capsys):
    tuned, ratings = tuned_records(tmp_path / "tuned-x.parquet"), load_ratings(SMALL)
    jobs = served_jobs(ratings, tuned, 1)
    assert list(jobs) == [(group, method, 0) for group in ("sparsity", "new users", "new items")
                          for method in ("biases", "item_mean")]  # fmt: skip
    every = pd.DataFrame([row for job in jobs.values() for row in served_job(*job)[0]]).astype(COLUMNS)[list(COLUMNS)]
    assert set(every["tuned"]) == {"tuned-x"}
    assert json.loads(every[every["method"] == "biases"]["settings"].iloc[0]) == {"item_shrinkage": 5.0}
    kept = every[(every["group"] != "new items") | (every["method"] != "biases")].assign(seconds=99.0)
    path = tmp_path / "served-synthetic-users-60-items-90-ratings-1500-seed-1.parquet"
    kept.to_parquet(path)
    arguments = ["served", "--dataset", SMALL, "--tuned", str(tuned), "--splits", "1", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert f"wrote {path}" in capsys.readouterr().out
    found = chapter.find_served(Tuning(SMALL, (), 0.3), str(tmp_path))
    place = ["group", "method", "seed", "task", "shown"]
    both = every.merge(found, on=place, validate="one_to_one", suffixes=("", "_found"))
    assert len(both) == len(found) == len(every)
    assert both["rmse"].tolist() == pytest.approx(both["rmse_found"].tolist(), abs=1e-12)
    again = (found["seconds"] != 99).groupby([found["group"], found["method"]]).all()
    assert again[again].index.tolist() == [("new items", "biases")]
    before = path.read_bytes()
    assert main(arguments) == 0  # nothing left
    assert path.read_bytes() == before


def test_where_no_folder_is_named_methods_are_tuned_and_scored(monkeypatch):
    plan = Tuning(SMALL, ("biases", "item_mean"), 0.3, 2)
    asked = []

    def run_tuning(tuning, folder):
        asked.append(tuning)
        tuned_records(folder / f"{tuning.name}.parquet", splits=2)

    monkeypatch.setattr(chapter, "run_tuning", run_tuning)
    found = chapter.find_served(plan)
    assert asked == [plan]
    assert set(found["seed"]) == {0, 1}
    assert set(found["task"]) == set(TASK_CASES)
    assert found["rmse"].between(0.3, 2).all()
    settings = found[found["method"] == "biases"].groupby("seed")["settings"].unique()
    assert [list(map(json.loads, own)) for own in settings] == [[{"item_shrinkage": 5.0}], [{"item_shrinkage": 6.0}]]


def test_a_method_without_a_split_is_left_out_of_it(tmp_path):
    path = tuned_records(tmp_path / "t.parquet", splits=2)
    table = pd.read_parquet(path)
    more = table[table["method"] == "biases"].assign(networks=5)  # networks averaged are another matter
    pd.concat([table[(table["method"] != "biases") | (table["split"] != "seed 1")], more]).to_parquet(path)
    jobs = served_jobs(load_ratings(SMALL), path, 2)
    assert {place[1:] for place in jobs} == {("biases", 0), ("item_mean", 0), ("item_mean", 1)}


def test_bad_input_gives_one_line(tmp_path, refused, capsys):
    ratings, good = load_ratings(SMALL), tuned_records(tmp_path / "good.parquet")
    refused(lambda: served_jobs(ratings, tmp_path / "none.parquet", 1), "none.parquet", "no such file")
    other = tuned_records(tmp_path / "other.parquet", {"dataset": "ml-1m"})
    refused(lambda: served_jobs(ratings, other, 1), "other.parquet", "dataset 'ml-1m'", SMALL)
    newer = tuned_records(tmp_path / "newer.parquet", {"checksum": "abc"})
    refused(lambda: served_jobs(ratings, newer, 1), "newer.parquet", "checksum 'abc'")
    strange = tuned_records(tmp_path / "strange.parquet", methods=("als",))
    refused(lambda: served_jobs(ratings, strange, 1), "strange.parquet", "none of the methods", "flexencoder")
    refused(lambda: served_jobs(ratings, good, 2), "good.parquet", "'seed 1'")
    pd.read_parquet(good).drop(columns="settings").to_parquet(tmp_path / "less.parquet")
    refused(lambda: served_jobs(ratings, tmp_path / "less.parquet", 1), "less.parquet", "no column 'settings'")
    rows = [row for job in served_jobs(ratings, good, 1).values() for row in served_job(*job)[0]]
    name = f"{served.served_name(SMALL)}.parquet"
    pd.DataFrame(rows).assign(settings='{"item_shrinkage": 1.0}').to_parquet(tmp_path / name)
    refused(lambda: run_served(SMALL, good, 1, tmp_path), name, "biases", "other settings", "good.parquet", "--out")
    pd.DataFrame(rows).assign(checksum="abc").to_parquet(tmp_path / name)
    refused(lambda: run_served(SMALL, good, 1, tmp_path), name, "another", "--out")
    refused(lambda: chapter.find_served(Tuning(SMALL, ()), str(tmp_path / "no")), "served-synthetic", "no such file")
    assert main(["served", "--dataset", SMALL, "--tuned", str(other), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
