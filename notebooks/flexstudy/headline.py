"""The predictions behind chapter 1: what the paper's best setting predicts for each held-out rating of each split.

They let others score in their own way, on our splits. MovieLens may not be redistributed: a rating is named by its
place in the data set's file, and the file has its stars.
"""

import time
from collections.abc import Iterable, Sequence

import pandas as pd
from tqdm import tqdm

from flexlib.config import FlexConfig
from flexlib.data import Ratings
from flexlib.evaluation import evaluate
from flexlib.runs.plan import slug
from flexlib.runs.provenance import device_name, software
from flexlib.train import fit

PROTOCOLS = ("released", "holdout")  # those that score every held-out rating


def headline_name(dataset: str) -> str:
    """Name the record of a data set, without the ending."""
    return f"headline-{slug(dataset)}"


def headline_predictions(
    ratings: Ratings,
    preset: str,
    seeds: Iterable[int],
    protocols: Sequence[str] = PROTOCOLS,
    device: str | None = None,
) -> pd.DataFrame:
    """Train a setting under each protocol and seed, and keep what it predicts.

    Parameters
    ----------
    ratings
        What to learn from.
    preset
        Name of the setting.
    seeds
        Of split, weights and order.
    protocols
        Names of those that score every held-out rating.
    device
        As in `flexlib.fit`.

    Returns
    -------
    pd.DataFrame
        One row a split and held-out rating, which all others of the set are trained on:

        - seed: of the split
        - position: of the rating in the data set's file, from 0
        - a column a protocol: the prediction, in stars
        - dataset, checksum, setting, device, seconds (of all training), and those of `flexlib.runs.provenance.software`
    """
    config, begun, tables = FlexConfig.preset(preset), time.perf_counter(), []
    for seed in tqdm(list(seeds), desc="splits"):
        models = {protocol: fit(ratings, config, protocol, seed, device=device) for protocol in protocols}
        predicted = {name: evaluate(model).predictions["predicted"].to_numpy() for name, model in models.items()}
        (model, *_) = models.values()
        known = {"seed": seed, "position": model.split.test} | predicted
        tables.append(pd.DataFrame(known).astype(dict.fromkeys(protocols, "float32")))
    seconds = round(time.perf_counter() - begun, 1)
    known_of_all = {"dataset": ratings.name, "checksum": ratings.checksum, "setting": preset} | software()
    table = pd.concat(tables, ignore_index=True).assign(**known_of_all)
    return table.assign(device=device_name(model.device), seconds=seconds)
