"""Recommended lists by hand, and models that come back from disk as they were."""

import json
import pickle

import numpy as np
import pytest
import torch
from conftest import make_ratings, random_ratings
from safetensors import safe_open
from safetensors.torch import save_file

from flexlib.config import FlexConfig, Protocol
from flexlib.data import Split
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import evaluate
from flexlib.serving.recommending import recommend
from flexlib.storage.models import load_model, save_model
from flexlib.train import fit

MEANS_ONLY = FlexConfig(epochs=0, hidden_layers=[2], activation="tanh", pivot_indexes=[1, 0])
# Item means in training: 0: 3, 1: 5, 2: 4, 3: 4 (two ratings), 4: none. User 2 rated item 2 (in training) and
# item 3 (in test); items 1, 0 are left, and item 4, which nobody rated in training, is not recommended.
TRIPLES = [(0, 0, 3.0), (0, 1, 5.0), (2, 2, 4.0), (0, 3, 3.5), (1, 3, 4.5), (2, 3, 1.0), (1, 4, 5.0)]
SPLIT = Split(np.arange(5), np.array([5, 6]))


def means_only(config=MEANS_ONLY, triples=TRIPLES, split=SPLIT):
    model = fit(make_ratings(triples), config, "holdout", split=split, device="cpu")
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.zero_()
    return model


def test_a_list_by_hand(refused):
    table = recommend(means_only(), 102, k=10)
    assert table["item"].tolist() == [201, 200]
    assert table["title"].tolist() == ["Film 1", "Film 0"]
    assert table["predicted"].tolist() == [5, 3]
    assert table["n_ratings"].tolist() == [1, 1]
    assert recommend(means_only(), "102", k=1)["item"].tolist() == [201]
    refused(lambda: recommend(means_only(), 99), "user '99'", "hand-made", "100, 101, 102")


def test_ties_go_to_more_ratings_then_to_the_lower_id():
    triples = [(0, 0, 4.0), (0, 1, 4.0), (1, 1, 4.0), (0, 2, 4.0), (1, 2, 4.0), (2, 3, 1.0), (3, 0, 1.0)]
    table = recommend(means_only(triples=triples, split=Split(np.arange(6), np.array([6]))), 102)
    assert table["item"].tolist() == [201, 202, 200]


@pytest.mark.parametrize("pivot", [[0, 1], [1, 0]])
def test_a_list_equals_scoring_every_item(pivot):
    """Against the evaluation's own predictions, with the user's unrated items as the test ratings."""
    ratings = random_ratings(8, 12, 15)
    config = FlexConfig(hidden_layers=[5], epochs=3, pivot_indexes=pivot, test_split_rate=0.2)
    model = fit(ratings, config, "holdout", seed=3)
    user = 4
    table = recommend(model, 100 + user, k=100)
    rated = set(ratings.items[ratings.users == user].tolist())
    trained = set(ratings.items[model.split.train].tolist())
    assert set(table["item"] - 200) == trained - rated
    triples = [*zip(ratings.users.tolist(), ratings.items.tolist(), ratings.values.tolist(), strict=True)]
    added = [(user, item - 200, 3.0) for item in table["item"].tolist()]
    bigger = make_ratings(triples + added, ratings.n_users, ratings.n_items)
    model.ratings, n = bigger, len(triples)
    model.split = Split(model.split.train, np.arange(n, n + len(added)))
    scored = evaluate(model).predictions
    np.testing.assert_allclose(scored["predicted"], table["predicted"], rtol=1e-5)


def test_unseen_users_get_the_fallback_and_rounding_applies(refused):
    """User 1 of these has no training rating: the items' training means, as the evaluation says."""
    triples = [(0, 0, 3.2), (0, 1, 4.9), (2, 1, 4.9), (1, 2, 1.0)]
    model = fit(make_ratings(triples), MEANS_ONLY, split=Split(np.arange(3), np.array([3])))
    assert recommend(model, 101)["predicted"].tolist() == pytest.approx([4.9, 3.2])
    model.config = MEANS_ONLY.replace(prediction_rounding=True)
    assert recommend(model, 101)["predicted"].tolist() == [5.0, 3.0]
    refused(lambda: recommend(model, 100), "user '100'", "rated every item")


def test_a_diverged_model_recommends_nothing(refused):
    model = means_only()
    with torch.no_grad():
        model.network.decoder_biases[0].fill_(float("nan"))
    refused(lambda: recommend(model, 102), "not finite")


def contents(path):
    """The facts and the tensors in a model's file."""
    with safe_open(path, "pt") as stream:
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        return json.loads(stream.metadata()["flexlib"]), tensors


@pytest.mark.parametrize("tied", [True, False])
def test_a_saved_model_scores_and_recommends_as_before(tmp_path, tied):
    ratings = load_ratings("synthetic:users=30,items=40,ratings=300,seed=1")
    config = FlexConfig(hidden_layers=[5, 3], epochs=2, decoder_constraint=tied, pivot_indexes=[1, 0])
    model = fit(ratings, config, Protocol(scored="hidden"), seed=7)
    path = tmp_path / "deep" / "model.safetensors"
    path.parent.mkdir()
    save_model(model, path)
    again = load_model(path)
    assert (again.config, again.protocol, again.seed) == (model.config, model.protocol, 7)
    assert (again.status, again.history, again.steps) == (model.status, model.history, model.steps)
    assert evaluate(again).predictions.equals(evaluate(model).predictions)
    assert recommend(again, 3).equals(recommend(model, 3))
    assert again.ratings.noise_floor == ratings.noise_floor
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]
    facts, _ = contents(path)
    assert facts["provenance"]["seed"] == 7
    assert facts["provenance"]["dataset"]["name"] == ratings.name
    assert {"torch", "python", "commit", "device", "seconds"} <= set(facts["provenance"])


STORED_CONFIG = {
    "learning_rate": 0.005,
    "weight_decay": 0.0,
    "hidden_layers": [2],
    "drop_probability": 0.0,
    "noise_probability": 0.0,
    "train_batch_size": 64,
    "epochs": 3,
    "optimizer": "adam",
    "activation": "tanh",
    "dense_refeeding": 1,
    "dense_refeeding_rounding": False,
    "decoder_constraint": False,
    "mean_normalization": True,
    "prediction_rounding": False,
    "pivot_indexes": [1, 0],
    "test_masking_rate": 0.5,
    "test_split_rate": 0.3,
    "output_activation": True,
    "loss_size_average": False,
    "centring": "rows",
    "patience": 0,
}
STORED_PROTOCOL = {
    "means": "training",
    "test_input": "training",
    "masking": "exact",
    "scored": "all",
    "loss_entries": "observed",
    "noise": "input-and-refed",
    "pad_first_pass": False,
    "pad_refeeding": False,
    "rounding": "scale",
    "unseen_fallback": True,
}


def test_files_of_this_format_are_read_for_good(tmp_path):
    """A file as the first versions wrote it, name by name: `TRIPLES` with a network of zeros."""
    users, items, values = zip(*TRIPLES, strict=True)
    tensors = {
        "ratings.users": torch.tensor(users, dtype=torch.int32),
        "ratings.items": torch.tensor(items, dtype=torch.int32),
        "ratings.values": torch.tensor(values, dtype=torch.float32),
        "ratings.timestamps": torch.arange(7),
        "train": torch.arange(5),
        "test": torch.tensor([5, 6]),
        "row_means": torch.tensor([3.0, 5.0, 4.0, 4.0, 0.0]),
        "column_offsets": torch.zeros(3),
        "network.encoder_weights.0": torch.zeros(3, 2),
        "network.encoder_biases.0": torch.zeros(2),
        "network.decoder_weights.0": torch.zeros(3, 2),
        "network.decoder_biases.0": torch.zeros(3),
    }
    facts = {
        "format": "flexlib model 2",
        "config": STORED_CONFIG,
        "protocol": STORED_PROTOCOL,
        "ratings": {
            "user_ids": [100, 101, 102],
            "item_ids": [200, 201, 202, 203, 204],
            "titles": ["Film 0", "Film 1", "Film 2", "Film 3", "Film 4"],
            "genres": None,
            "name": "hand-made",
            "scale": [0.5, 5.0, 0.5],
            "noise_floor": None,
            "facts": {"file": "ratings.csv", "sha256": "00ff"},
        },
        "model": {"seed": 8, "status": "ok", "history": [0.9, 0.8, 0.7], "steps": 6, "seconds": 0.25},
        "provenance": {"commit": "unknown"},
    }
    path = tmp_path / "old.safetensors"
    save_file(tensors, path, metadata={"flexlib": json.dumps(facts)})
    model = load_model(path, device="cpu")
    table = recommend(model, 102)
    assert (table["item"].tolist(), table["predicted"].tolist()) == ([201, 200], [5, 3])
    assert evaluate(model).predictions["predicted"].tolist() == [4, 4.5]  # the item's mean, and the user's
    assert (model.config, model.protocol) == (FlexConfig(**STORED_CONFIG), Protocol())
    assert (model.seed, model.history, model.steps, model.seconds) == (8, [0.9, 0.8, 0.7], 6, 0.25)
    assert model.ratings.timestamps.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert model.ratings.checksum == "00ff"
    save_model(model, tmp_path / "new.safetensors")
    new_facts, new_tensors = contents(tmp_path / "new.safetensors")
    del facts["provenance"], new_facts["provenance"]
    added = {"implicit_input", "input_normalization", "denoising_loss", "loss_decay"}  # off in files from before
    assert {name for name in new_facts["config"] if name not in facts["config"]} == added
    assert not any(new_facts["config"].pop(name) for name in added)
    assert new_facts == facts
    assert set(new_tensors) == set(tensors)
    assert all(new_tensors[name].equal(tensor) for name, tensor in tensors.items())


def test_files_that_are_not_models_are_refused(tmp_path, refused):
    path = tmp_path / "x.safetensors"
    refused(lambda: load_model(path), "x.safetensors", "no such file")
    path.write_bytes(b"")
    refused(lambda: load_model(path), "x.safetensors", "not a model")
    path.write_bytes(pickle.dumps({"a": 1}))
    refused(lambda: load_model(path), "x.safetensors", "not a model")
    save_file({"a": torch.zeros(1)}, path)
    refused(lambda: load_model(path), "x.safetensors", "not a model")
    save_file({"a": torch.zeros(1)}, path, metadata={"flexlib": json.dumps({"format": "flexlib model 99"})})
    refused(lambda: load_model(path), "x.safetensors", "flexlib model 99")
    save_model(means_only(), path)
    facts, tensors = contents(path)
    facts["config"]["hidden_layers"] = [3]
    save_file(tensors, path, metadata={"flexlib": json.dumps(facts)})
    refused(lambda: load_model(path), "x.safetensors", "not a model")
    facts["config"]["optimizer"] = "none"
    save_file(tensors, path, metadata={"flexlib": json.dumps(facts)})
    refused(lambda: load_model(path), "x.safetensors", "optimizer (Opt)")


def damaged(tensors, facts):
    """Files that hold what a model holds, but not what belongs together."""
    long, short = torch.full((5,), 99), torch.zeros(2)
    for name in ("ratings.users", "ratings.items", "train", "test"):
        yield tensors | {name: long.to(tensors[name].dtype)}, facts
        yield tensors | {name: short}, facts
        yield {key: value for key, value in tensors.items() if key != name}, facts
    yield tensors | {"row_means": short}, facts
    for change in ({"titles": ["one"]}, {"scale": "abc"}, {"user_ids": None}):
        yield tensors, facts | {"ratings": facts["ratings"] | change}
    yield tensors, facts | {"config": facts["config"] | {"hidden_layers": [900_000, 900_000]}}


def test_damaged_models_are_refused(tmp_path, refused):
    path = tmp_path / "x.safetensors"
    save_model(means_only(), path)
    facts, tensors = contents(path)
    for arrays, described in damaged(tensors, facts):
        save_file(arrays, path, metadata={"flexlib": json.dumps(described)})
        refused(lambda: load_model(path), "x.safetensors")


def test_a_model_that_stopped_early_survives_being_saved(tmp_path):
    config = FlexConfig(hidden_layers=(4,), epochs=20, patience=2, centring="biases", dense_refeeding=0)
    model = fit(random_ratings(3), config, device="cpu")
    save_model(model, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors", device="cpu")
    assert len(loaded.split.train) < 0.7 * len(model.ratings)
    assert evaluate(loaded).rmse == evaluate(model).rmse
