"""The synthetic ratings: sizes, shape, sameness, and a noise floor that holds against simulation and against fits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlib.config import FlexConfig
from flexlib.datasets import synthetic
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import evaluate
from flexlib.train import fit


@settings(max_examples=25, deadline=None)
@given(users=st.integers(2, 60), items=st.integers(2, 80), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_sizes_are_exact_and_pairs_are_distinct(users, items, share, seed):
    least, most = max(users, items), users * items // 2
    if least > most:
        return
    ratings = round(least + share * (most - least))
    made = synthetic.make_synthetic(users, items, ratings, seed)
    pairs = made.users.astype(np.int64) * items + made.items
    assert len(np.unique(pairs)) == len(pairs) == ratings
    assert len(np.unique(made.users)) == users
    assert len(np.unique(made.items)) == items
    assert set(np.unique(made.values)) <= set(synthetic.STARS)


def test_two_runs_give_identical_bytes():
    def raw(seed):
        made = synthetic.make_synthetic(40, 90, 900, seed)
        return {
            key: value.tobytes() if hasattr(value, "dtype") and value.dtype != object else str(value)
            for key, value in vars(made).items()
        }

    assert raw(1) == raw(1)
    assert raw(1)["values"] != raw(2)["values"]


def test_the_default_set_has_the_shape_of_the_papers_data():
    """Beside ml-latest-small-2016, where 3,063 items have one rating and the median user has 71."""
    ratings = load_ratings("synthetic")
    per_item, per_user = np.bincount(ratings.items), np.bincount(ratings.users)
    assert (len(ratings), ratings.n_users, ratings.n_items) == (100_004, 671, 9_066)
    assert 2_000 < (per_item == 1).sum() < 4_000
    assert 250 < per_item.max() < 450
    assert per_user.min() >= 20
    assert 50 < np.median(per_user) < 100
    assert 1_500 < per_user.max() < 4_000
    assert 3.3 < ratings.values.mean() < 3.8
    assert 0.9 < ratings.values.std() < 1.2
    user_means = np.bincount(ratings.users, ratings.values) / per_user
    assert 0.3 < user_means.std() < 0.6
    assert ratings.titles[0]
    assert ratings.genres[0]
    assert (np.diff(ratings.timestamps[ratings.users == 5]) > 0).all()


def test_the_noise_floor_is_the_oracles_expected_rmse():
    ratings = load_ratings("synthetic:users=6000,items=4000,ratings=1000000,seed=4")
    squares = (ratings.values - ratings.oracle.astype(float)) ** 2
    error = squares.std() / np.sqrt(len(squares)) / (2 * ratings.noise_floor)
    assert error < 0.001
    assert np.sqrt(squares.mean()) == pytest.approx(ratings.noise_floor, abs=3 * error)
    # Another prediction does worse: a shifted oracle, and the items' own means over all ratings.
    shifted = np.sqrt(((ratings.values - ratings.oracle - 0.1) ** 2).mean())
    assert shifted > ratings.noise_floor


def test_taste_has_low_rank_and_more_than_biases():
    """What the oracle says beyond user and item means is taste: a real share of the spread, of at most 8 dimensions."""
    ratings = load_ratings("synthetic:users=80,items=60,ratings=2400,seed=2")
    one_hot = np.zeros((2400, 140))
    one_hot[np.arange(2400), ratings.users] = one_hot[np.arange(2400), 80 + ratings.items] = 1
    rest = ratings.oracle - one_hot @ np.linalg.lstsq(one_hot, ratings.oracle, rcond=None)[0]
    assert 0.1 < rest.std() < 0.6


def test_pairs_drawn_in_many_chunks_are_whole(monkeypatch):
    monkeypatch.setattr(synthetic, "CELLS_PER_CHUNK", 500)
    made = synthetic.make_synthetic(40, 90, 900, 1)
    pairs = made.users.astype(np.int64) * 90 + made.items
    assert len(np.unique(pairs)) == 900
    assert len(np.unique(made.items)) == 90


def test_rating_moments_against_simulation():
    rng = np.random.default_rng(0)
    scores = np.array([-1.0, 0.4, 2.2, 3.74, 4.9, 6.0])
    means, variances = synthetic.rating_moments(scores)
    for score, mean, variance in zip(scores, means, variances, strict=True):
        drawn = np.clip(np.round(2 * (score + synthetic.SIGMA * rng.normal(size=400_000))) / 2, 0.5, 5)
        assert drawn.mean() == pytest.approx(mean, abs=0.006)
        assert drawn.var() == pytest.approx(variance, abs=0.006)


def test_a_leak_free_fit_learns_and_stays_above_the_floor():
    ratings = load_ratings("synthetic:users=300,items=400,ratings=20000,seed=3")
    config = FlexConfig(
        hidden_layers=[16],
        pivot_indexes=[1, 0],
        epochs=5,
        dense_refeeding=0,
        train_batch_size=16,
        learning_rate=0.001,
        output_activation=False,
        drop_probability=0.5,
    )
    trained, untrained = (evaluate(fit(ratings, config.replace(epochs=n), "holdout")).rmse for n in (5, 0))
    assert ratings.noise_floor < trained < untrained - 0.02


def test_sizes_that_cannot_be_are_refused(refused):
    refused(lambda: load_ratings("synthetic:users=10,items=10,ratings=60"), "60 ratings", "at most half")
    refused(lambda: load_ratings("synthetic:users=10,items=10,ratings=5"), "5 ratings")
    refused(lambda: load_ratings("synthetic:users=1,items=10,ratings=5"), "1 users")
