"""The paper's Table 3: its methods for rating prediction, and what to search when tuning each.

A method's `predict(ratings, split, seed=0, **settings)` fits on the training ratings and returns (len(split.test),)
float64 stars, not clipped, for the test ratings, of which it reads users and items alone. For users and items without
training ratings it predicts something finite.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from flexlib.centring import SHRINKAGE
from flexlib.config import FlexError
from flexlib.data import hold_back
from flexlib.methods import predictors as baselines


@dataclass(frozen=True)
class Method:
    """One row of Table 3, or a method beside it. space: takes a trial (Optuna's, or alike) and returns a mapping of
    settings. made_by: whose implementation. citation: key in references.bib. published: Table 3's RMSE, None where the
    method is not in it."""

    name: str
    predict: Callable
    space: Callable
    made_by: str
    citation: str

    def rehearse(self, ratings, split, seed, settings, max_seconds=None):
        """Try settings on the ratings that `hold_back` takes off the training ones: predictions of these, and the
        settings to be used with all of them."""
        return self.predict(ratings, hold_back(split, seed), seed, **settings), settings


def _on_training(predict):
    """The predictor of `flexlib.baselines`, which takes the index of the ratings to fit on, as a method."""

    def method(ratings, split, seed=0, **settings):
        return predict(ratings, split.train, **settings)[split.test].astype(np.float64)

    return method


def _surprise(ratings, split, make, whole=False):
    """Predictions by one of scikit-surprise's algorithms (Hug 2020), which `make` builds from its module.

    Pairs whose user or item has no training rating get the training mean. whole: hand it the ratings in steps of the
    scale (7 for 3.5 stars), for an algorithm that holds ratings as whole numbers and would cut half stars off. Raises
    `FlexError` where scikit-surprise is missing.
    """
    try:
        from surprise import Trainset, prediction_algorithms  # an extra, and slow to import
    except ImportError as error:
        raise FlexError(f"this method needs {error.name}: pip install 'flexlib[methods]'") from None
    train, unit = split.train, ratings.scale[2] if whole else 1.0
    values = ratings.values[train].astype(np.float64) / unit
    values = np.rint(values).astype(int) if whole else values
    # Its own ids count those with a training rating alone, in the order of ours; -1 marks the others.
    inner, sides = [], [(ratings.users, ratings.n_users), (ratings.items, ratings.n_items)]
    for ids, n in sides:
        known = np.bincount(ids[train], minlength=n) > 0
        inner.append(np.where(known, np.cumsum(known) - 1, -1)[ids])
    by_user, by_item = ({k: [] for k in range(ids.max() + 1)} for ids in inner)
    for user, item, value in zip(inner[0][train].tolist(), inner[1][train].tolist(), values.tolist(), strict=True):
        by_user[user].append((item, value))
        by_item[item].append((user, value))
    scale = ratings.scale[0] / unit, ratings.scale[1] / unit
    raw = ({k: k for k in ids} for ids in (by_user, by_item))
    counts = len(by_user), len(by_item), len(train)
    fitted = make(prediction_algorithms).fit(Trainset(by_user, by_item, *counts, scale, *raw))
    predicted = np.full(len(split.test), values.mean())
    pairs = np.stack([ids[split.test] for ids in inner], axis=1)
    both = np.flatnonzero((pairs >= 0).all(axis=1))
    # Algorithms with neighbours return details beside the estimate.
    predicted[both] = [np.ravel(np.asarray(fitted.estimate(u, i), object))[0] for u, i in pairs[both].tolist()]
    return predicted * unit


def slope_one(ratings, split, seed=0):
    """Slope One (Lemire and Maclachlan 2005), unweighted."""
    return _surprise(ratings, split, lambda kinds: kinds.SlopeOne(), whole=True)


def regularized_svd(ratings, split, seed=0, **settings):
    """RSVD (Paterek 2007): factors of stars by gradient descent. settings: those of surprise's `SVD`."""
    return _surprise(ratings, split, lambda kinds: kinds.SVD(biased=False, random_state=seed, **settings))


def improved_svd(ratings, split, seed=0, **settings):
    """RSVD2 (Paterek 2007): with biases of users and items. settings: those of surprise's `SVD`."""
    return _surprise(ratings, split, lambda kinds: kinds.SVD(biased=True, random_state=seed, **settings))


def svdpp(ratings, split, seed=0, **settings):
    """SVD++ (Koren 2008): what a user has rated moves the user's factors too. settings: those of surprise's `SVDpp`."""
    return _surprise(ratings, split, lambda kinds: kinds.SVDpp(random_state=seed, cache_ratings=True, **settings))


def nmf(ratings, split, seed=0, regularization=0.06, **settings):
    """Non-negative matrix factorisation (Luo, Zhou, Xia and Zhu 2014). settings: those of surprise's `NMF`."""
    weights = dict(reg_pu=regularization, reg_qi=regularization)
    return _surprise(ratings, split, lambda kinds: kinds.NMF(random_state=seed, **weights, **settings))


def item_knn(ratings, split, seed=0, neighbours=40, shrinkage=100):
    """Item-based neighbours around biases (Koren 2010, Equation 3), alike by shrunk Pearson correlation."""
    alike = dict(name="pearson_baseline", user_based=False, shrinkage=shrinkage)
    around = dict(method="als", n_epochs=10, reg_u=SHRINKAGE, reg_i=SHRINKAGE)
    options = dict(k=neighbours, sim_options=alike, bsl_options=around, verbose=False)
    return _surprise(ratings, split, lambda kinds: kinds.KNNBaseline(**options))


def _version():
    try:
        return metadata.version("scikit-surprise")
    except metadata.PackageNotFoundError:
        return "not installed"


def _space(**ranges):
    """A search space: a function of a trial that suggests each setting, a text out of several or a number from (low,
    high), on a logarithmic scale where low is above 0."""

    def space(trial):
        settings = {}
        for name, (low, *rest) in ranges.items():
            if isinstance(low, str):
                settings[name] = trial.suggest_categorical(name, (low, *rest))
            else:
                suggest = trial.suggest_int if isinstance(low, int) else trial.suggest_float
                settings[name] = suggest(name, low, *rest, log=low > 0)
        return settings

    return space


CENTRES = "mean", "biases"


SVD_SPACE = _space(n_factors=(10, 150), n_epochs=(15, 100), lr_all=(0.002, 0.02), reg_all=(0.02, 0.2))


# Key: name, predictor, space, key in references.bib
_OURS = {
    "user_mean": ("User mean", _on_training(baselines.user_mean), _space(), None),
    "item_mean": ("Item mean", _on_training(baselines.item_mean), _space(), None),
    "biases": (
        "User and item biases", _on_training(baselines.biases),
        _space(item_shrinkage=(0.5, 50.0), user_shrinkage=(0.5, 50.0)), "koren2010factor",
    ),
    "bpmf": (
        "BPMF", baselines.bpmf, _space(factors=(4, 24), precision=(1.0, 4.0), centre=CENTRES),
        "salakhutdinov2008bpmf",
    ),
    "rbm": (
        "RBM-CF", baselines.rbm,
        _space(hidden=(20, 150), epochs=(20, 60), learning_rate=(0.2, 2.0), weight_decay=(0.001, 0.02)),
        "salakhutdinov2007rbm",
    ),
    "cofils": (
        "Autoencoder COFILS", baselines.cofils,
        _space(factors=(4, 20), epochs=(10, 60), noise=(0.0, 0.6), leaf=(3, 30)), "barbieri2017cofils",
    ),
    "mean_field": (
        "Mean Field", baselines.mean_field, _space(factors=(2, 24), sweeps=(10, 60), centre=CENTRES),
        "lim2007variational",
    ),
    "als": (
        "ALS", baselines.als, _space(factors=(2, 40), regularization=(0.03, 0.5), centre=CENTRES),
        "zhou2008parallel",
    ),
    "hidden_similarity": (
        "Autoencoder and neighbours", baselines.hidden_similarity,
        _space(
            pivot=("items", "users"), factors=(10, 100), noise=(0.0, 0.6), neighbours=(10, 100),
            shrinkage=(0.1, 10.0),
        ), "suzuki2017similarity",
    ),
}  # fmt: skip


_THEIRS = {
    "slope_one": ("Slope One", slope_one, _space(), "lemire2005slope"),
    "regularized_svd": ("Regularized SVD", regularized_svd, SVD_SPACE, "paterek2007improving"),
    "improved_svd": ("Improved Regularized SVD", improved_svd, SVD_SPACE, "paterek2007improving"),
    "svdpp": (
        "SVD++", svdpp,
        _space(n_factors=(3, 10), n_epochs=(10, 20), lr_all=(0.003, 0.02), reg_all=(0.01, 0.2)),
        "koren2008factorization",
    ),
    "nmf": (
        "NMF", nmf, _space(n_factors=(5, 50), n_epochs=(20, 100), regularization=(0.02, 0.5)), "luo2014nonnegative",
    ),
    "item_knn": (
        "Item kNN", item_knn, _space(neighbours=(10, 100), shrinkage=(20.0, 500.0)), "koren2010factor",
    ),
}  # fmt: skip


METHODS = {
    key: Method(name, predict, space, made_by, citation)
    for made_by, table in (("flexlib", _OURS), (f"scikit-surprise {_version()}", _THEIRS))
    for key, (name, predict, space, citation) in table.items()
}
