"""FlexEncoder: the deep autoencoder for rating prediction of 2018, its data, and how it is scored."""

from flexlib.config import VERSION, FlexConfig, FlexError, Protocol
from flexlib.data import load_ratings, split_ratings
from flexlib.evaluate import evaluate, recommend
from flexlib.train import fit

__all__ = [
    "FlexConfig", "FlexError", "Protocol", "evaluate", "fit", "load_ratings", "recommend", "split_ratings",
]  # fmt: skip
__version__ = VERSION
