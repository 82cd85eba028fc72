"""Protocols by hand: what leaks under `released` and never under `holdout`, and metrics small enough to check."""

import math
import sys

import numpy as np
import pytest
import torch
from conftest import make_ratings, random_ratings

from flexlib.config import FlexConfig, Protocol
from flexlib.data import Split, hold_back, split_ratings
from flexlib.evaluation import errors, evaluate, hidden_mask
from flexlib.predict import round_predictions
from flexlib.train import _Trainer, fit

# Without epochs and with zeroed weights, the output of this network is 0: a prediction is the row's mean alone.
MEANS_ONLY = FlexConfig(epochs=0, hidden_layers=[2], activation="tanh", pivot_indexes=[1, 0], test_masking_rate=0.5)
# Two items, three users. Train: item 0 has 5 and 3; item 1 has 2. Test: (user 2, item 0) = 1, (user 1, item 1) = 4,
# (user 2, item 1) = 3. User 2 has no training rating.
TINY = [(0, 0, 5.0), (1, 0, 3.0), (0, 1, 2.0), (2, 0, 1.0), (1, 1, 4.0), (2, 1, 3.0)]
TINY_SPLIT = Split(np.array([0, 1, 2]), np.array([3, 4, 5]))


def predict(protocol, config=MEANS_ONLY, triples=TINY, weights=0.0):
    model = fit(make_ratings(triples), config, protocol, split=TINY_SPLIT, device="cpu")
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.mul_(weights)
    return evaluate(model)


def test_means_over_all_ratings_are_a_leak_worked_by_hand():
    released, holdout = predict("released"), predict("holdout")
    # All ratings: item 0 has mean (5 + 3 + 1) / 3 = 3, item 1 has (2 + 4 + 3) / 3 = 3.
    assert released.predictions["predicted"].tolist() == [3, 3, 3]
    assert released.rmse == pytest.approx(math.sqrt((4 + 1 + 0) / 3))
    # Training ratings: item 0 has 4, item 1 has 2.
    assert holdout.predictions["predicted"].tolist() == [4, 2, 2]
    assert holdout.rmse == pytest.approx(math.sqrt((9 + 4 + 1) / 3))
    assert holdout.mae == pytest.approx((3 + 2 + 1) / 3)
    # User 2 is unseen in training; two of the test ratings are theirs.
    assert (holdout.n_scored, holdout.n_unseen, released.n_unseen) == (3, 2, 2)


def test_fallbacks_by_hand():
    user_based = MEANS_ONLY.replace(pivot_indexes=[0, 1], mean_normalization=False)
    predicted = predict("holdout", user_based).predictions["predicted"].tolist()
    # User 2 is unseen: the item's training mean (4, 2). User 1 and item 1 are seen: the network, which says 0.
    assert predicted == [4, 0, 2]
    without = Protocol(unseen_fallback=False)
    assert predict(without, user_based).predictions["predicted"].tolist() == [0, 0, 0]
    # A user and an item that are both unseen get the overall mean of the training ratings.
    triples = [(0, 0, 5.0), (1, 0, 3.0), (0, 1, 1.0), (2, 2, 1.0), (1, 1, 4.0), (2, 1, 3.0)]
    assert predict("holdout", triples=triples).predictions["predicted"].tolist()[0] == 3


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_what_is_visible_is_what_is_not_hidden(rate):
    config = MEANS_ONLY.replace(test_masking_rate=rate)
    ratings = random_ratings(0, 30, 40)
    for name, exact in (("described", True), ("released", False), ("holdout", None)):
        model = fit(ratings, config, name, seed=4)
        hidden = hidden_mask(model)
        n = len(model.split.test)
        if exact is None:
            assert hidden.all()  # the network sees none of the test ratings
        elif exact:
            assert hidden.sum() == round(rate * n)
        else:  # drawn with replacement: 1 - exp(-rate) of them in expectation, well under the rate
            expected = n * (1 - math.exp(-rate))
            assert hidden.sum() == pytest.approx(expected, abs=4 * math.sqrt(n) / 2 + 1) if rate else not hidden.any()
        result = evaluate(model)
        assert result.n_scored == (hidden.sum() if name == "described" else n)


CONFIG = FlexConfig(
    epochs=3,
    hidden_layers=[6],
    train_batch_size=4,
    noise_probability=0.2,
    drop_probability=0.2,
    learning_rate=0.02,
    test_masking_rate=0.4,
)


@pytest.mark.parametrize("pivot", [[0, 1], [1, 0]])
@pytest.mark.parametrize("normalised", [True, False])
def test_changing_one_test_rating_changes_released_and_never_holdout(pivot, normalised):
    """The definition of a leak: a test rating that moves the prediction of another, or its own."""
    ratings = random_ratings(3, 20, 25)
    config = CONFIG.replace(pivot_indexes=pivot, mean_normalization=normalised)
    split = split_ratings(ratings, 0.3, seed=1)
    moved = []
    for protocol in ("released", "holdout"):
        before = evaluate(fit(ratings, config, protocol, 1, split=split, device="cpu")).predictions
        visible = int(np.flatnonzero(~before["hidden"])[0]) if protocol == "released" else 0
        values = ratings.values.copy()
        values[split.test[visible]] = 0.5 if values[split.test[visible]] > 3 else 5.0
        changed = ratings.__class__(**{**ratings.__dict__, "values": values})
        after = evaluate(fit(changed, config, protocol, 1, split=split, device="cpu")).predictions
        moved.append(not np.array_equal(before["predicted"], after["predicted"]))
        others = np.arange(len(before)) != visible
        assert np.array_equal(before["actual"][others], after["actual"][others])
    assert moved == [True, False]


def test_holdout_does_not_even_look_at_test_values():
    ratings = random_ratings(5, 20, 25)
    split = split_ratings(ratings, 0.3, seed=2)
    values = ratings.values.copy()
    values[split.test] = np.nan
    blind = ratings.__class__(**{**ratings.__dict__, "values": values})
    seen = evaluate(fit(ratings, CONFIG, "holdout", 2, split=split)).predictions["predicted"]
    unseen = evaluate(fit(blind, CONFIG, "holdout", 2, split=split)).predictions["predicted"]
    assert np.isfinite(unseen).all()
    assert np.array_equal(seen, unseen)


@pytest.mark.parametrize("pivot", [[0, 1], [1, 0]])
@pytest.mark.parametrize("protocol", ["holdout", "holdout test_input=visible-centred scored=hidden means=all"])
def test_centring_by_three_is_training_on_stars_less_three(pivot, protocol):
    """No entry is masked for being 0, so that nothing tells 3 stars from a missing rating but that it is observed."""
    ratings, split = random_ratings(4, 20, 25), split_ratings(random_ratings(4, 20, 25), 0.3, seed=1)
    shifted = ratings.__class__(**{**ratings.__dict__, "values": ratings.values - 3})
    protocol = Protocol.named(f"{protocol} unseen_fallback=false")
    config = CONFIG.replace(pivot_indexes=pivot, dense_refeeding=1)
    three = fit(ratings, config.replace(centring="three"), protocol, 1, split=split, device="cpu")
    plain = fit(shifted, config.replace(mean_normalization=False), protocol, 1, split=split, device="cpu")
    rows = fit(ratings, config, protocol, 1, split=split, device="cpu")
    assert three.history == plain.history != rows.history
    predicted = evaluate(three).predictions["predicted"].to_numpy()
    assert predicted == pytest.approx(evaluate(plain).predictions["predicted"].to_numpy() + 3, abs=1e-6)
    assert set(three.row_means) == {3}
    assert not three.column_offsets.any()
    # What is off has nothing to take off, whatever would be.
    off = fit(
        ratings, config.replace(centring="three", mean_normalization=False), protocol, 1, split=split, device="cpu"
    )
    assert not off.row_means.any()


def test_protocols_share_split_and_initial_weights():
    ratings = random_ratings(6)
    models = [fit(ratings, CONFIG.replace(epochs=0), name, seed=9) for name in ("released", "described", "holdout")]
    for model in models[1:]:
        assert np.array_equal(model.split.test, models[0].split.test)
        for mine, first in zip(model.network.parameters(), models[0].network.parameters(), strict=True):
            assert torch.equal(mine, first)


def test_protocols_share_the_order_of_batches_and_the_random_numbers():
    """Without mean normalization these two train alike and differ in the scoring alone."""
    config = CONFIG.replace(mean_normalization=False)
    protocols = (Protocol(), Protocol(means="all", test_input="visible-raw", scored="hidden"))
    first, second = (fit(random_ratings(6), config, protocol, seed=9) for protocol in protocols)
    assert first.history == second.history
    assert evaluate(first).rmse != evaluate(second).rmse


def test_a_dense_block_of_rows_may_be_one_row(monkeypatch):
    model = fit(random_ratings(6), CONFIG, seed=9)
    whole = evaluate(model).predictions
    monkeypatch.setattr(sys.modules["flexlib.predict"], "CELLS_PER_BLOCK", 1)
    pieces = evaluate(model).predictions
    np.testing.assert_allclose(pieces["predicted"], whole["predicted"], rtol=1e-5)


def test_released_skips_a_batch_that_has_nothing_to_fit():
    """Items rated once are centred to zero, which `released` takes for missing: 0 / 0, no step (its NaN check)."""
    ratings = make_ratings([(0, 0, 4.0), (1, 1, 3.0), (2, 2, 5.0), (0, 3, 2.0), (1, 3, 4.0), (2, 4, 1.0)])
    split = Split(np.arange(5), np.array([5]))
    config = CONFIG.replace(pivot_indexes=[1, 0], train_batch_size=1, epochs=2, dense_refeeding=0)
    assert fit(ratings, config, "released", split=split).steps == 2  # item 3 alone, in each epoch
    assert fit(ratings, config, "holdout", split=split).steps == 8
    assert fit(ratings, config.replace(loss_size_average=True), "released", split=split).steps == 8


def test_a_run_that_blows_up_ends_as_diverged():
    ratings = random_ratings(1, 20, 20)
    config = FlexConfig(learning_rate=1e12, optimizer="sgd", epochs=50, train_batch_size=2, activation="relu")
    model = fit(ratings, config, "holdout")
    assert model.status == "diverged"
    assert len(model.history) < 50
    result = evaluate(model)
    assert math.isnan(result.rmse)
    assert result.n_nonfinite > 0
    assert result.scores()["rmse"] is None
    # Prediction rounding of the released code reads NaN as 2.5 stars, and so has a score.
    rounded = evaluate(fit(ratings, config.replace(prediction_rounding=True), "released"))
    assert math.isfinite(rounded.rmse)
    assert rounded.n_nonfinite > 0


def test_a_blow_up_in_the_very_last_step_is_seen(monkeypatch):
    """The only loss is finite; the weights that its step leaves behind are not."""
    take_step = _Trainer._step

    def spoil(trainer, decayed):
        take_step(trainer, decayed)
        with torch.no_grad():
            trainer.model.network.encoder_biases[0][0] = float("inf")

    config = CONFIG.replace(epochs=1, train_batch_size=1024, dense_refeeding=0)
    assert fit(random_ratings(1), config).status == "ok"
    monkeypatch.setattr(_Trainer, "_step", spoil)
    model = fit(random_ratings(1), config)
    assert (model.status, model.steps, model.history) == ("diverged", 1, [])


def test_padding_changes_only_the_divisor_of_the_first_pass():
    """SGD's first step is proportional to the loss: padding to row 9 + 1 from 1 row makes it 10 times smaller."""
    ratings = make_ratings([(0, 9, 4.0), (1, 9, 2.0), (2, 9, 3.5), (0, 0, 3.0)])
    split = Split(np.arange(3), np.array([3]))
    config = FlexConfig(pivot_indexes=[1, 0], epochs=1, optimizer="sgd", loss_size_average=True, dense_refeeding=0)
    start = fit(ratings, config.replace(epochs=0), "holdout", split=split).network.state_dict()
    steps = []
    for padded in (False, True):
        model = fit(ratings, config, Protocol(pad_first_pass=padded), split=split)
        steps.append({name: value - start[name] for name, value in model.network.state_dict().items()})
    for name, step in steps[0].items():
        torch.testing.assert_close(step, 10 * steps[1][name], rtol=1e-3, atol=1e-7)


def test_prediction_rounding_of_the_papers_examples():
    halves = (0.5, 5.0, 0.5)
    assert round_predictions(np.array([2.34, 2.15, 7.0, -2.0]), halves, "scale").tolist() == [2.5, 2.0, 5.0, 0.5]
    assert round_predictions(np.array([2.34, np.nan, 7.0, -2.0]), halves, "released").tolist() == [2.5, 2.5, 5.0, 0.0]
    assert round_predictions(np.array([2.34, 2.6]), (1.0, 5.0, 1.0), "scale").tolist() == [2.0, 3.0]
    assert np.isnan(round_predictions(np.array([np.nan, np.inf, -np.inf]), halves, "scale")).all()
    assert round_predictions(np.array([np.inf, -np.inf]), halves, "released").tolist() == [5.0, 0.0]
    assert round_predictions(np.array([5.0, 6.0, 11.0]), (1.0, 10.0, 3.0), "scale").tolist() == [4.0, 7.0, 10.0]


def test_errors_by_hand():
    assert errors(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 1.0])) == (math.sqrt(5 / 3), 1.0)
    for predicted in ([1.0, np.nan], [np.inf, 1.0]):
        assert all(map(math.isnan, errors(np.array([1.0, 2.0]), np.array(predicted))))
    assert math.isnan(errors(np.array([]), np.array([]))[0])


def test_early_stopping_shows_every_epoch_the_split_that_the_model_ends_with():
    """The ratings held back to watch are neither training nor test ratings, in the callback as at the end."""
    ratings, seen = random_ratings(4, 12, 15), []
    split = split_ratings(ratings, 0.3, 0)

    def look(model):
        seen.append((model.split.train.tolist(), model.split.test.tolist(), evaluate(model).n_scored))

    model = fit(ratings, CONFIG.replace(epochs=6, patience=2), "holdout", 0, split, on_epoch=look)
    assert len(seen) > 1
    held_back = hold_back(split, 0)
    expected = held_back.train.tolist(), split.test.tolist(), len(split.test)
    assert seen == [expected] * len(seen)
    assert (model.split.train.tolist(), model.split.test.tolist()) == expected[:2]
    assert set(held_back.test) == set(split.train) - set(model.split.train)
