"""FlexEncoder: the deep autoencoder for rating prediction of 2018, its data, and how it is scored."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flexlib.config import FlexConfig, FlexError, Protocol
    from flexlib.data import split_ratings
    from flexlib.datasets.loading import load_ratings
    from flexlib.evaluation import evaluate
    from flexlib.serving.folding import fold_in
    from flexlib.serving.models import load_model, save_model
    from flexlib.serving.recommending import recommend
    from flexlib.train import fit

__version__ = "0.1.0"
__all__ = [
    "FlexConfig",
    "FlexError",
    "Protocol",
    "evaluate",
    "fit",
    "fold_in",
    "load_model",
    "load_ratings",
    "recommend",
    "save_model",
    "split_ratings",
]

_HOMES = {
    "flexlib.config": ("FlexConfig", "FlexError", "Protocol"),
    "flexlib.data": ("split_ratings",),
    "flexlib.datasets.loading": ("load_ratings",),
    "flexlib.evaluation": ("evaluate",),
    "flexlib.serving.folding": ("fold_in",),
    "flexlib.serving.models": ("load_model", "save_model"),
    "flexlib.serving.recommending": ("recommend",),
    "flexlib.train": ("fit",),
}


def __getattr__(name: str) -> object:
    """Import what is asked for when it is first asked for, as PyTorch takes more than a second."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'flexlib' has no attribute '{name}'")
