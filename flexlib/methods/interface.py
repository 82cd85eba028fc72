"""What tuning and scoring need of a method: `Predictor`, one interface for all."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from flexlib.config import Number, Settings, Whole
from flexlib.data import Ratings, Split
from flexlib.methods.stopping import Curve

if TYPE_CHECKING:
    from optuna.trial import BaseTrial  # an optional dependency, and slow to import

Predictions = NDArray[np.float64]
MethodSettings = dict[str, Any]
Space = Callable[["BaseTrial"], MethodSettings]

# What settings of several methods may be, as `Settings` checks it; beside `Size` and `Share` of `flexlib.config`
Passes = Annotated[Whole, Field(ge=0)]
Rate = Annotated[Number, Field(ge=1e-12)]
Weight = Annotated[Number, Field(ge=0)]
Centre = Literal["mean", "biases"]


class Rehearsal(NamedTuple):
    """What a try came to.

    Parameters
    ----------
    predictions
        (n_validation,) stars; NaN where a network diverged.
    settings
        What to use with all training ratings: as given, or with the number of epochs found.
    curve
        Of a method with early stopping: its RMSE after each epoch, in stars.
    pruned
        Whether it was ended because earlier tries were better.
    """

    predictions: Predictions
    settings: MethodSettings
    curve: Curve = ()
    pruned: bool = False


class Predictor(Protocol):
    """A way to predict ratings, with a space of settings to choose from.

    `flexlib.methods.registry` and `flexlib.methods.networks` hold those that there are.
    """

    @property
    def name(self) -> str:
        """What tables and figures call it."""

    @property
    def made_by(self) -> str:
        """The library that implements it, with its version where that is not flexlib."""

    @property
    def citation(self) -> str | None:
        """Key of its paper in `references.bib`; None for what has no paper."""

    @property
    def first_tries(self) -> tuple[MethodSettings, ...]:
        """What a search begins with: values of what `space` suggests, by the names that they have there."""

    @property
    def defaults(self) -> Settings:
        """Its settings where none are told; `Settings.override` changes and checks them."""

    def space(self, trial: "BaseTrial") -> MethodSettings:
        """Let a trial of Optuna suggest settings.

        Parameters
        ----------
        trial
            Of a search, or one with fixed values.

        Returns
        -------
        MethodSettings
            Name of each setting to a plain value, as JSON has them.
        """

    def predict(self, ratings: Ratings, split: Split, seed: int = 0, **settings: Any) -> Predictions:
        """Fit on the training ratings and predict the test ratings, of which only users and items are read.

        Parameters
        ----------
        ratings, split
            The ratings, and which of them train and test.
        seed
            At least 0; for all random draws.
        **settings
            Those that the method has; each has a default.

        Returns
        -------
        Predictions
            (len(split.test),) stars, not clipped. Finite, unless a network diverged: then all are NaN.

        Raises
        ------
        FlexError
            Where a library is missing that the method needs.
        """

    def rehearse(
        self,
        ratings: Ratings,
        split: Split,
        seed: int,
        settings: MethodSettings,
        max_seconds: float = math.inf,
        earlier: Sequence[Curve] = (),
    ) -> Rehearsal | None:
        """Try settings out on the validation ratings, which `hold_back` takes off the training ratings.

        Parameters
        ----------
        ratings, split
            As in `predict`; test ratings are not read.
        seed
            At least 0; also chooses the validation ratings.
        settings
            Of `space`.
        max_seconds
            The most that a try may take, for a method whose cost can be estimated.
        earlier
            Curves of the search's tries that ended by themselves, to which a method with early stopping compares its
            own.

        Returns
        -------
        Rehearsal
            None where the estimate is above `max_seconds`.
        """
