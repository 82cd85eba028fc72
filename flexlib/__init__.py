"""FlexEncoder: the deep autoencoder for rating prediction of 2018, its data, and how it is scored."""

from typing import TYPE_CHECKING

from flexlib.config import VERSION, FlexConfig, FlexError, Protocol
from flexlib.data import split_ratings
from flexlib.evaluate import evaluate, recommend
from flexlib.train import fit

if TYPE_CHECKING:
    from flexlib.datasets.loading import load_ratings

__all__ = [
    "FlexConfig",
    "FlexError",
    "Protocol",
    "evaluate",
    "fit",
    "load_ratings",
    "recommend",
    "split_ratings",
]
__version__ = VERSION


def __getattr__(name: str) -> object:
    """Import `load_ratings` when it is first asked for, as it brings the downloader along."""
    if name == "load_ratings":
        from flexlib.datasets.loading import load_ratings

        return load_ratings
    raise AttributeError(f"module 'flexlib' has no attribute '{name}'")
