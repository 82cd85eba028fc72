"""How fast others are, and how accurate: test RMSE against seconds of training, on one split and one machine.

    .venv/bin/python benchmarks/peers.py [--dataset ml-1m] [--method NAME] [--threads 1] [--out peers.parquet]

Every method trains on the same ratings, a random tenth of the data set held out. Each is scored several times on its
way. Scoring is not counted, but for what myfm and some methods of scikit-surprise spend on predicting by themselves. A
method whose training cannot be halted to be scored is trained anew for each of its points. Settings are the libraries'
own, or were chosen on validation ratings; test ratings choose nothing. Cornac and LensKit are left out where they are
not installed. A method that the output has already is left alone.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from measuring import save_measurements
from numpy.typing import NDArray
from torch import nn
from training import chosen_setting

from flexlib.config import FlexConfig
from flexlib.data import Ratings, Split, split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.methods.factorization_machines import BURN_IN, bayesian_svdpp, bpmf
from flexlib.methods.means_and_biases import biases
from flexlib.methods.scikit_surprise import improved_svd, item_knn, svdpp
from flexlib.predict import FittedModel, fallback, predict_ratings
from flexlib.train import fit

RECORDS = Path(__file__).parents[1] / "results" / "records"


class Point(NamedTuple):
    """Where a method is after some of its epochs (or draws): (n_test,) predicted stars, and seconds of training."""

    epochs: int
    seconds: float
    predicted: NDArray[np.floating[Any]]


Settings = dict[str, Any]
Curve = Iterator[Point]


def marks(epochs: int) -> list[int]:
    """Give the numbers of epochs to score after: 1, 2, 5, 10, 20, ... and the last."""
    return sorted({n * 10**k for k in range(5) for n in (1, 2, 5) if n * 10**k < epochs} | {epochs})


def of_flexlib(ratings: Ratings, split: Split, settings: Settings) -> Curve:
    """Train one of flexlib's networks, scored on its way."""
    config, points = FlexConfig.from_dict(settings), []
    wanted = marks(config.epochs)

    def on_epoch(model: FittedModel) -> None:
        if len(model.history) in wanted:
            points.append(Point(len(model.history), model.seconds, predict_ratings(model, split.test)))

    fit(ratings, config, split=split, device="cpu", on_epoch=on_epoch)
    yield from points


def plain_autorec(ratings: Ratings, split: Split, settings: Settings) -> Curve:
    """Train AutoRec as one writes it down: dense rows, autograd, Adam; the loss is that of the preset."""
    config, train = FlexConfig.from_dict(settings), split.train
    torch.manual_seed(0)
    dense, mask = torch.zeros(2, ratings.n_items, ratings.n_users)
    places = torch.from_numpy(ratings.items[train].astype(int)), torch.from_numpy(ratings.users[train].astype(int))
    dense[places], mask[places] = torch.from_numpy(ratings.values[train]), 1
    rated = mask.any(1).nonzero().squeeze(1)
    encoder, decoder = (
        nn.Linear(ratings.n_users, config.hidden_layers[0]),
        nn.Linear(config.hidden_layers[0], ratings.n_users),
    )
    for layer in (encoder, decoder):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    nn.init.constant_(decoder.bias, float(ratings.values[train].mean()))
    network = nn.Sequential(encoder, nn.Sigmoid(), decoder)
    optimizer, seconds = torch.optim.Adam(network.parameters(), lr=config.learning_rate), 0.0
    test = (
        torch.from_numpy(ratings.items[split.test].astype(int)),
        torch.from_numpy(ratings.users[split.test].astype(int)),
    )
    for epoch in range(1, config.epochs + 1):
        begun = time.perf_counter()
        for batch in rated[torch.randperm(len(rated))].split(config.train_batch_size):
            error = ((network(dense[batch]) - dense[batch]) * mask[batch]).square().sum()
            observed = mask[batch].sum()
            decay = config.weight_decay * observed / len(train)
            squares = encoder.weight.square().sum() + decoder.weight.square().sum()
            optimizer.zero_grad()
            ((error + decay * squares) / observed).backward()
            optimizer.step()
        seconds += time.perf_counter() - begun
        if epoch in marks(config.epochs):
            with torch.inference_mode():
                yield Point(epoch, seconds, network(dense)[test].numpy())


def of_myfm(predict: Callable[..., NDArray[np.floating[Any]]]) -> Callable[..., Curve]:
    """Make a curve of a factorization machine, for each number of draws anew."""

    def curve(ratings: Ratings, split: Split, settings: Settings) -> Curve:
        for draws in marks(settings["draws"]):
            if draws <= BURN_IN:
                continue
            begun = time.perf_counter()
            predicted = predict(ratings, split, 0, **settings | {"draws": draws})
            yield Point(draws, time.perf_counter() - begun, predicted)

    return curve


def of_surprise(predict: Callable[..., NDArray[np.floating[Any]]]) -> Callable[..., Curve]:
    """Make a curve of a method of scikit-surprise, less the time for what is not training, as without an epoch."""

    def curve(ratings: Ratings, split: Split, settings: Settings) -> Curve:
        begun = time.perf_counter()
        improved_svd(ratings, split, n_epochs=0, n_factors=1)
        around = time.perf_counter() - begun
        for epochs in marks(settings["n_epochs"]) if "n_epochs" in settings else [1]:
            begun = time.perf_counter()
            predicted = predict(
                ratings, split, 0, **settings | ({"n_epochs": epochs} if "n_epochs" in settings else {})
            )
            yield Point(epochs, max(0.0, time.perf_counter() - begun - around), predicted)

    return curve


def all_at_once(ratings: Ratings, split: Split, settings: Settings) -> Curve:
    """Fit user and item biases, which need no second look."""
    begun = time.perf_counter()
    predicted = biases(ratings, split.train, **settings)
    yield Point(1, time.perf_counter() - begun, predicted[split.test])


def lenskit_als(ratings: Ratings, split: Split, settings: Settings) -> Curve:
    """Train LensKit's matrix factorization by alternating least squares, which is for ratings."""
    from lenskit.als import BiasedMFScorer
    from lenskit.data import ItemList, RecQuery, from_interactions_df

    table = pd.DataFrame({"user_id": ratings.users, "item_id": ratings.items, "rating": ratings.values})
    data, test = from_interactions_df(table.iloc[split.train]), table.iloc[split.test].reset_index(drop=True)
    for epochs in marks(settings["epochs"]):
        scorer = BiasedMFScorer(**settings | {"epochs": epochs})
        begun = time.perf_counter()
        scorer.train(data)
        seconds, predicted = time.perf_counter() - begun, np.full(len(test), np.nan)
        for user, own in test.groupby("user_id"):
            scores = scorer(query=RecQuery(user_id=user), items=ItemList(item_ids=own["item_id"].to_numpy()))
            predicted[own.index] = scores.scores()
        yield Point(epochs, seconds, predicted)


def cornac_mf(ratings: Ratings, split: Split, settings: Settings) -> Curve:
    """Train Cornac's matrix factorization with biases, by stochastic gradient descent."""
    import cornac

    parts = (ratings.users.tolist(), ratings.items.tolist(), ratings.values.tolist())
    triples = list(zip(*parts, strict=True))
    data = cornac.data.Dataset.from_uir([triples[k] for k in split.train], seed=0)
    for epochs in marks(settings["max_iter"]):
        model = cornac.models.MF(
            **settings | {"max_iter": epochs}, seed=0, verbose=False, num_threads=torch.get_num_threads()
        )
        begun = time.perf_counter()
        model.fit(data)
        seconds, predicted = time.perf_counter() - begun, np.full(len(split.test), np.nan)
        for place, k in enumerate(split.test):
            user, item, _ = triples[k]
            if user in data.uid_map and item in data.iid_map:
                predicted[place] = model.rate(data.uid_map[user], data.iid_map[item], clipping=False)
        yield Point(epochs, seconds, predicted)


class Peer(NamedTuple):
    """A method: what it is called, its library on PyPI, where its settings are from, these, and how it is trained."""

    name: str
    library: str
    setting: str
    settings: Settings
    curve: Callable[[Ratings, Split, Settings], Curve]


def peers_of(dataset: str) -> dict[str, Peer]:
    """List the methods for a data set, the quick ones first."""
    autorec = FlexConfig.preset("autorec-item").to_dict()
    best = {"ml-1m": "tuned-ml-1m-0.1-8tries", "ml-latest-small-2016": "tuned-ml-latest-small-2016-0.1-10tries"}
    chosen = chosen_setting(best.get(dataset, best["ml-1m"])).to_dict()
    machine, als = {"factors": 16, "draws": 200}, {"embedding_size": 64, "epochs": 10}
    tuned = _tuned_settings(dataset)
    peers = {
        "biases": Peer("user and item biases", "flexlib", "default", {}, all_at_once),
        "cornac_mf": Peer(
            "matrix factorization, SGD",
            "cornac",
            "default",
            {"k": 10, "learning_rate": 0.01, "lambda_reg": 0.02, "max_iter": 20},
            cornac_mf,
        ),
        "als": Peer("matrix factorization, ALS", "lenskit", "64 factors", als, lenskit_als),
        "knn": Peer("KNNBaseline, items", "scikit-surprise", "40 neighbours", {}, of_surprise(item_knn)),
        "svd": Peer("SVD", "scikit-surprise", "default", {"n_epochs": 20}, of_surprise(improved_svd)),
        "autorec": Peer("AutoRec", "flexlib", "preset", autorec, of_flexlib),
        "plain_autorec": Peer("AutoRec in plain PyTorch", "torch", "preset", autorec, plain_autorec),
        "flexencoder": Peer("FlexEncoder", "flexlib", "chosen on validation ratings", chosen, of_flexlib),
        "bpmf": Peer("BPMF", "myfm", "rank 16", machine, of_myfm(bpmf)),
        "bayesian_svdpp": Peer("Bayesian SVD++", "myfm", "rank 16", machine, of_myfm(bayesian_svdpp)),
        "svdpp": Peer("SVD++", "scikit-surprise", "default", {"n_epochs": 20}, of_surprise(svdpp)),
    }
    for key, (name, predict) in {"svd": ("SVD", improved_svd), "knn": ("KNNBaseline, items", item_knn)}.items():
        if key in tuned:
            peers[f"{key}_tuned"] = Peer(name, "scikit-surprise", "tuned", tuned[key], of_surprise(predict))
    return peers


def _tuned_settings(dataset: str) -> dict[str, Settings]:
    """Read what `flexlib tune` chose for scikit-surprise's methods on split 0, where it was asked to."""
    path = RECORDS / f"tuned-{dataset}-0.1-6tries.parquet"
    if not path.exists():
        return {}
    table = pd.read_parquet(path).query("split == 'seed 0'").set_index("method")["settings"].map(json.loads)
    return {key: table[name] for key, name in {"svd": "improved_svd", "knn": "item_knn"}.items() if name in table}


def last_of(settings: Settings) -> int:
    """Give the number of epochs, by whatever name a library has for it; 1 for a method without."""
    return next((settings[name] for name in ("epochs", "n_epochs", "max_iter", "draws") if name in settings), 1)


def trace(key: str, peer: Peer, ratings: Ratings, split: Split, max_seconds: float) -> list[dict[str, Any]]:
    """Train a method, scored on its way; gives a row a point, and stops after the first beyond the limit."""
    unseen, means = fallback(ratings, split.train, ratings.users[split.test], ratings.items[split.test])
    rows: list[dict[str, Any]] = []
    for point in peer.curve(ratings, split, peer.settings):
        predicted = np.where(unseen | np.isnan(point.predicted), means, point.predicted)
        rmse = float(np.sqrt(np.mean((predicted - ratings.values[split.test]) ** 2)))
        print(f"{key:<16}{point.epochs:>6} epochs {point.seconds:>9.2f} s  RMSE {rmse:.4f}", flush=True)
        known = {
            "benchmark": "peers",
            "key": key,
            "method": peer.name,
            "library": peer.library,
            "setting": peer.setting,
        }
        version, is_final = metadata.version(peer.library), point.epochs == last_of(peer.settings)
        found = {"epochs": point.epochs, "seconds": point.seconds, "rmse": rmse, "is_final": is_final}
        rows.append(known | {"library_version": version, "settings": json.dumps(peer.settings)} | found)
        if point.seconds > max_seconds and not rows[-1]["is_final"]:
            print(f"{key:<16}stopped: it took more than {max_seconds:g} s")
            break
    return rows


def main() -> None:
    """Train all methods that the output lacks, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ml-1m")
    parser.add_argument("--method", action="append", help="may be repeated (default: all)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-seconds", type=float, default=600.0, help="of training, after which a curve ends")
    parser.add_argument("--out", type=Path, help="Parquet file of the measurements, which is added to")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ratings = load_ratings(args.dataset)
    split = split_ratings(ratings, 0.1, 0)
    rows = pd.read_parquet(args.out).to_dict("records") if args.out and args.out.exists() else []
    for key, peer in peers_of(args.dataset).items():
        if key in {row["key"] for row in rows} or key not in (args.method or [key]):
            continue
        try:
            found = trace(key, peer, ratings, split, args.max_seconds)
        except ModuleNotFoundError as error:
            print(f"{key:<16}left out: {error.name} is not installed")
            continue
        sizes = {"dataset": args.dataset, "checksum": ratings.checksum, "n_train": len(split.train)}
        rows += [row | sizes | {"n_test": len(split.test), "threads": args.threads} for row in found]
        if args.out:
            save_measurements(rows, args.out)


if __name__ == "__main__":
    main()
