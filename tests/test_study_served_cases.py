"""The cases of the chapter on who is served: their splits by brute force, their scores by hand, and a planted case."""

import math
import statistics
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from conftest import make_ratings, random_ratings
from flexstudy import served_cases
from flexstudy.served_cases import (
    BINS,
    ENOUGH,
    SHARES,
    SHOWN,
    bin_labels,
    by_count,
    merged_bins,
    new_rows,
    score_group,
    thin_training,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlib.data import Split, split_ratings

NAN = math.nan


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
        assert all(
            same(again, split)
            for again, split in zip(new_rows(ratings, side, split_seed).values(), splits.values(), strict=True)
        )


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
    parts = thin_training(whole, seed)
    assert tuple(parts) == SHARES == (100, 50, 25, 12.5)
    assert same(parts[100], whole)
    for share, part in parts.items():
        assert len(part.train) == max(1, round(n * share / 100))
        assert part.train.tolist() == sorted(set(part.train.tolist()))
        assert part.test is whole.test
    for more, fewer in pairwise(parts.values()):
        assert set(fewer.train.tolist()) <= set(more.train.tolist())
    if n >= 40:
        assert not same(thin_training(whole, seed + 1)[50], parts[50])


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
    monkeypatch.setattr(served_cases, "ALL", {"fake": fake})
    rows = score_group(ratings, "sparsity", "fake", 1, {"a": 2}, 0.3)
    assert (fake.seed, fake.found) == (1, {"a": 2})
    whole = split_ratings(ratings, 0.3, 1)
    assert [len(split.train) for split in fake.splits] == [round(len(whole.train) * share / 100) for share in SHARES]
    values, users, items = (column.tolist() for column in (ratings.values.astype(float), ratings.users, ratings.items))
    stars = 5.0 if value > 5 else value  # clipped
    for row in rows:
        share = row["shown"] if row["task"] == "sparsity" else 100
        train = thin_training(whole, 1)[share].train.tolist()
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
