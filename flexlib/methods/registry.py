"""All methods by key. Those that are not networks alone stand here: the paper's Table 3, and others beside them.

None reads the value of a test rating. Each predicts something finite for users and items without training ratings.

To add a method, write its `predict` as `flexlib.methods.interface.Predictor` has it, and give it an entry here.

References
----------
Tran et al. (2018), Table 3.
"""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import create_model

from flexlib.config import FlexError, Settings
from flexlib.data import Ratings, Split, hold_back
from flexlib.methods.boltzmann import rbm
from flexlib.methods.extras import with_version
from flexlib.methods.factorization import als, mean_field
from flexlib.methods.factorization_machines import bayesian_svdpp, bpmf
from flexlib.methods.hybrids import cofils, hidden_similarity
from flexlib.methods.interface import Centre, MethodSettings, Predictions, Predictor, Rehearsal, Space
from flexlib.methods.means_and_biases import biases, item_mean, user_mean
from flexlib.methods.networks import NETWORKS
from flexlib.methods.scikit_surprise import (
    improved_svd,
    item_knn,
    nmf,
    regularized_svd,
    slope_one,
    svdpp,
)
from flexlib.methods.stopping import Curve

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

SURPRISE = with_version("scikit-surprise")
MYFM = with_version("myfm")
CENTRES = get_args(Centre)


@dataclass(frozen=True)
class Method:
    """A `Predictor` that is fitted with its settings as they are.

    Parameters
    ----------
    name, citation, made_by, first_tries
        As in `Predictor`.
    predict
        The function that fits and predicts, as `Predictor.predict`. Its parameters that have a default, but for the
        seed, are the method's settings; their types say which values there are.
    space
        The function by which a trial suggests settings, as `Predictor.space`.
    """

    name: str
    predict: Callable[..., Predictions]
    space: Space
    citation: str | None = None
    made_by: str = "flexlib"
    first_tries: tuple[MethodSettings, ...] = ()

    @functools.cached_property
    def defaults(self) -> Settings:
        """The settings where none are told: see `Predictor.defaults`."""
        types = get_type_hints(self.predict, include_extras=True)
        fields: dict[str, Any] = {
            name: (types[name], parameter.default)
            for name, parameter in inspect.signature(self.predict).parameters.items()
            if parameter.default is not parameter.empty and name != "seed"
        }
        return create_model(self.predict.__name__, __base__=Settings, **fields)()

    def rehearse(
        self,
        ratings: Ratings,
        split: Split,
        seed: int,
        settings: MethodSettings,
        max_seconds: float = math.inf,
        earlier: Sequence[Curve] = (),
    ) -> Rehearsal:
        """Try settings out on the validation ratings, however long it takes: see `Predictor.rehearse`."""
        return Rehearsal(self.predict(ratings, hold_back(split, seed), seed, **settings), settings)


def on_training_ratings(predict_all: Callable[..., NDArray[Any]]) -> Callable[..., Predictions]:
    """Make a `Predictor.predict` of a function of `flexlib.methods.means_and_biases`.

    Parameters
    ----------
    predict_all
        Takes the ratings, the index of those to fit on, and settings; predicts all ratings.

    Returns
    -------
    Callable
        Takes the ratings, a split, a seed that it does not use, and settings; predicts the test ratings.
    """

    @functools.wraps(predict_all)  # its settings are those of the other
    def predict(ratings: Ratings, split: Split, seed: int = 0, **settings: Any) -> Predictions:
        return predict_all(ratings, split.train, **settings)[split.test].astype(np.float64)

    return predict


def space_of(**settings: tuple[Any, ...]) -> Space:
    """Make a search space of ranges.

    Parameters
    ----------
    **settings
        Of each setting: the texts to choose from, or the lowest and the highest number. Whole numbers stay whole. A
        number is drawn on a logarithmic scale where the lowest is above 0.

    Returns
    -------
    Space
        The function by which a trial suggests all of them.
    """

    def space(trial: "BaseTrial") -> MethodSettings:
        found: MethodSettings = {}
        for name, (low, *rest) in settings.items():
            if isinstance(low, str):
                found[name] = trial.suggest_categorical(name, (low, *rest))
            elif isinstance(low, int):
                found[name] = trial.suggest_int(name, low, *rest, log=low > 0)
            else:
                found[name] = trial.suggest_float(name, low, *rest, log=low > 0)
        return found

    return space


MACHINE_SPACE = space_of(factors=(4, 32))
SVD_SPACE = space_of(n_factors=(10, 150), n_epochs=(15, 100), lr_all=(0.002, 0.02), reg_all=(0.02, 0.2))

METHODS: dict[str, Predictor] = {
    "user_mean": Method("User mean", on_training_ratings(user_mean), space_of()),
    "item_mean": Method("Item mean", on_training_ratings(item_mean), space_of()),
    "biases": Method(
        "User and item biases",
        on_training_ratings(biases),
        space_of(item_shrinkage=(0.5, 50.0), user_shrinkage=(0.5, 50.0)),
        citation="koren2010factor",
    ),
    "bpmf": Method(
        "BPMF",
        bpmf,
        MACHINE_SPACE,
        citation="salakhutdinov2008bpmf",
        made_by=MYFM,
    ),
    "bayesian_svdpp": Method(
        "Bayesian SVD++, flipped",
        bayesian_svdpp,
        MACHINE_SPACE,
        citation="rendle2019difficulty",
        made_by=MYFM,
    ),
    "rbm": Method(
        "RBM-CF",
        rbm,
        space_of(hidden=(20, 150), epochs=(20, 60), learning_rate=(0.2, 2.0), weight_decay=(0.001, 0.02)),
        citation="salakhutdinov2007rbm",
    ),
    "cofils": Method(
        "Autoencoder COFILS",
        cofils,
        space_of(factors=(4, 20), epochs=(10, 60), noise=(0.0, 0.6), leaf=(3, 30)),
        citation="barbieri2017cofils",
    ),
    "mean_field": Method(
        "Mean Field",
        mean_field,
        space_of(factors=(2, 24), sweeps=(10, 60), centre=CENTRES),
        citation="lim2007variational",
    ),
    "als": Method(
        "ALS",
        als,
        space_of(factors=(2, 40), regularization=(0.03, 0.5), centre=CENTRES),
        citation="zhou2008parallel",
    ),
    "hidden_similarity": Method(
        "Autoencoder and neighbours",
        hidden_similarity,
        space_of(
            pivot=("items", "users"),
            factors=(10, 100),
            noise=(0.0, 0.6),
            neighbours=(10, 100),
            shrinkage=(0.1, 10.0),
        ),
        citation="suzuki2017similarity",
    ),
    "slope_one": Method(
        "Slope One",
        slope_one,
        space_of(),
        citation="lemire2005slope",
        made_by=SURPRISE,
    ),
    "regularized_svd": Method(
        "Regularized SVD",
        regularized_svd,
        SVD_SPACE,
        citation="paterek2007improving",
        made_by=SURPRISE,
    ),
    "improved_svd": Method(
        "Improved Regularized SVD",
        improved_svd,
        SVD_SPACE,
        citation="paterek2007improving",
        made_by=SURPRISE,
    ),
    "svdpp": Method(
        "SVD++",
        svdpp,
        space_of(n_factors=(3, 10), n_epochs=(10, 20), lr_all=(0.003, 0.02), reg_all=(0.01, 0.2)),
        citation="koren2008factorization",
        made_by=SURPRISE,
    ),
    "nmf": Method(
        "NMF",
        nmf,
        space_of(n_factors=(5, 50), n_epochs=(20, 100), regularization=(0.02, 0.5)),
        citation="luo2014nonnegative",
        made_by=SURPRISE,
    ),
    "item_knn": Method(
        "Item kNN",
        item_knn,
        space_of(neighbours=(10, 100), shrinkage=(20.0, 500.0)),
        citation="koren2010factor",
        made_by=SURPRISE,
    ),
}
ALL: dict[str, Predictor] = METHODS | NETWORKS


def find_method(key: str) -> Predictor:
    """Look up a method.

    Parameters
    ----------
    key
        Of `ALL`.

    Returns
    -------
    Predictor
        The method.

    Raises
    ------
    FlexError
        For an unknown method; names those that there are.
    """
    if key not in ALL:
        raise FlexError(f"unknown method '{key}': known are {', '.join(ALL)}")
    return ALL[key]
