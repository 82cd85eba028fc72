"""Every method of `flexlib.methods` in use: fitted on ratings, it predicts any pair and recommends."""

import dataclasses
import json
import sys
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flexlib.config import FlexConfig, FlexError
from flexlib.data import AnyIds, Ratings, Split, split_ratings
from flexlib.methods.interface import MethodSettings
from flexlib.methods.registry import METHODS, find_method
from flexlib.predict import Fitted, fallback
from flexlib.train import fit


@dataclasses.dataclass(eq=False)
class FittedMethod(Fitted):
    """A method with all it takes to predict; a method keeps nothing between calls, so each call fits it.

    Parameters
    ----------
    method
        Key of `flexlib.methods.registry.METHODS`.
    settings
        By name; those that are missing have their defaults.
    ratings, split
        What it is fitted on: the split's training ratings.
    seed
        At least 0.
    """

    method: str
    settings: MethodSettings
    ratings: Ratings
    split: Split
    seed: int = 0
    pairs_at_once = sys.maxsize

    def predict_pairs(self, users: AnyIds, items: AnyIds) -> NDArray[np.floating[Any]]:
        """Fit, and predict by dense ids: see `Fitted.predict_pairs`. A pair's own rating is never read."""
        train, known = self.split.train, (users >= 0) & (items >= 0)
        unseen, means = fallback(self.ratings, train, users, items)
        n, asked = len(train), int(known.sum())
        # The method is given training ratings, then the pairs without a value.
        given = dataclasses.replace(
            self.ratings,
            users=np.concatenate([self.ratings.users[train], users[known].astype(np.int32)]),
            items=np.concatenate([self.ratings.items[train], items[known].astype(np.int32)]),
            values=np.concatenate([self.ratings.values[train], np.full(asked, np.nan, np.float32)]),
            timestamps=None,
            folds={},
            oracle=None,
        )
        split = Split(np.arange(n), n + np.arange(asked))
        predicted = means.astype(np.float64)
        if asked:
            own = METHODS[self.method].predict(given, split, self.seed, **self.settings)
            predicted[known] = np.where(unseen[known], means[known], own)
        return predicted


def fit_method(
    ratings: Ratings, method: str, settings: MethodSettings | None = None, seed: int = 0, split: Split | None = None
) -> Fitted:
    """Fit a method that `flexlib tune` knows, with settings that it may have found.

    Parameters
    ----------
    ratings
        What to learn from.
    method
        Key of `flexlib.methods.registry.METHODS` or of `flexlib.methods.networks.NETWORKS`.
    settings
        By name; by default the method's own. Those that are missing have its defaults, but for a network those of
        `FlexConfig`, as what records hold of a network is told against these.
    seed
        At least 0.
    split
        Whose training ratings are learned from; by default all ratings.

    Returns
    -------
    Fitted
        A `flexlib.predict.FittedModel` for a network, else a `FittedMethod`.

    Raises
    ------
    FlexError
        For an unknown method, and for the first setting that the method does not have or whose value cannot be.

    Examples
    --------
    >>> from flexlib import load_ratings, recommend
    >>> from flexlib.serving.methods import fit_method
    >>> model = fit_method(load_ratings("synthetic:users=60,items=90,ratings=1500,seed=1"), "als", {"factors": 4})
    >>> len(recommend(model, [42, 7], k=5))
    10
    """
    defaults, split = find_method(method).defaults, split or split_ratings(ratings, 0)
    checked = defaults if settings is None else type(defaults).from_dict(settings)
    if isinstance(checked, FlexConfig):
        return fit(ratings, checked, "holdout", seed, split)
    return FittedMethod(method, checked.model_dump(mode="json", exclude_unset=True), ratings, split, seed)


def choose_winner(records: pd.DataFrame) -> tuple[str, MethodSettings]:
    """Choose among tuned methods, by validation ratings alone.

    Parameters
    ----------
    records
        Of `flexlib.methods.tuning.run_tuning`.

    Returns
    -------
    method, settings
        The method with the lowest mean validation RMSE over splits, and the settings of its best split.

    Raises
    ------
    FlexError
        Where no method has a validation RMSE.
    """
    known = records[(records["networks"] == 1) & records["validation_rmse"].notna()]
    if known.empty:
        raise FlexError("no method has a validation RMSE: there is no winner")
    method = known.groupby("method")["validation_rmse"].mean().idxmin()
    best = known[known["method"] == method].sort_values("validation_rmse", kind="stable").iloc[0]
    return str(method), json.loads(best["settings"])
