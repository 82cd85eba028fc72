"""A fitted model on disk: one safetensors file, with JSON in its header. Nothing is ever unpickled.

The file holds the ratings too (MovieLens' terms forbid passing those on), so that it can score and recommend by itself.
"""

import itertools
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from flexlib.config import FlexConfig, FlexError, Protocol, first_line
from flexlib.data import Ratings, Split
from flexlib.model import Autoencoder, matrix_shape
from flexlib.predict import FittedModel
from flexlib.runs.journal import replaced
from flexlib.runs.provenance import provenance
from flexlib.train import choose_device

FORMAT = "flexlib model 2"
ARRAYS = ("users", "items", "values", "timestamps", "oracle")  # of the ratings, stored as tensors where there are any
TEXTS = ("user_ids", "item_ids", "titles", "genres")  # of the ratings, stored in the header
NETWORK = "network."  # begins the name of each of the network's tensors
# The tensors that are no part of the network, and what NumPy calls their kinds of values
KINDS = {
    "ratings.users": "i",
    "ratings.items": "i",
    "ratings.values": "f",
    "ratings.timestamps": "if",
    "ratings.oracle": "f",
    "row_means": "f",
    "column_offsets": "f",
    "train": "i",
    "test": "i",
}
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Facts(BaseModel):
    model_config = ConfigDict(strict=True)


class _RatingsFacts(_Facts):
    """What the header says of the ratings."""

    name: str
    scale: tuple[Finite, Finite, Annotated[Finite, Field(gt=0)]]
    noise_floor: Finite | None
    facts: dict[str, JsonValue]
    user_ids: list[int] | list[str]
    item_ids: list[int] | list[str]
    titles: list[str] | None
    genres: list[str] | None


class _ModelFacts(_Facts):
    """What the header says of the model, by the names of `FittedModel`."""

    seed: Count
    status: Literal["ok", "diverged"]
    history: list[float]  # NaN and infinite where it diverged
    steps: Count
    seconds: Finite


class _Header(_Facts):
    """The JSON in a file's header."""

    config: dict[str, JsonValue]
    protocol: dict[str, JsonValue]
    ratings: _RatingsFacts
    model: _ModelFacts


def save_model(model: FittedModel, path: str | Path) -> None:
    """Write a model, beside first and then renamed.

    Parameters
    ----------
    model
        With network, ratings and split.
    path
        Of the file, which is replaced if it is there.

    Raises
    ------
    FlexError
        Where the file cannot be written.
    """
    path, ratings = Path(path), model.ratings
    arrays = {f"ratings.{name}": getattr(ratings, name) for name in ARRAYS}
    arrays |= {"row_means": model.row_means, "column_offsets": model.column_offsets}
    arrays |= {"train": model.split.train, "test": model.split.test}
    tensors = {NETWORK + name: value.contiguous().cpu() for name, value in model.network.state_dict().items()}
    # Copied where they are not to be written to, as those of a mapped file: PyTorch has no such tensors.
    given = {name: np.require(a, requirements=["C", "W"]) for name, a in arrays.items() if a is not None}
    tensors |= {name: torch.from_numpy(a) for name, a in given.items()}
    texts = {name: getattr(ratings, name) for name in TEXTS}
    rest = {"name": ratings.name, "scale": ratings.scale, "noise_floor": ratings.noise_floor, "facts": ratings.facts}
    facts = {
        "format": FORMAT,
        "config": model.config.to_dict(),
        "protocol": model.protocol.to_dict(),
        "ratings": {name: None if a is None else a.tolist() for name, a in texts.items()} | rest,
        "model": {name: getattr(model, name) for name in _ModelFacts.model_fields},
        "provenance": provenance(model),
    }
    try:
        with replaced(path) as partial:
            save_file(tensors, partial, metadata={"flexlib": json.dumps(facts)})
    except SafetensorError as error:  # what it says of a full disk
        raise FlexError(f"{path}: cannot be written ({first_line(error)})") from None


def check_writable(path: str | Path) -> None:
    """Check that a model can be written, before it is trained.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    FlexError
        Where its name does not end in .safetensors, or its folder is not there or not to be written to.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise FlexError(f"{path}: a model's file name ends in .safetensors")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise FlexError(f"{path}: cannot be written; is its folder there?")


def load_model(path: str | Path, device: str | None = None) -> FittedModel:
    """Read a model written by `save_model`.

    Parameters
    ----------
    path
        Of the file.
    device
        For the network; by default cuda where there is one, else cpu.

    Raises
    ------
    FlexError
        Naming the file where it is missing, damaged, or of another format.
    """
    path, device = Path(path), choose_device(device)
    if not path.is_file():
        raise FlexError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as stream:
            text = (stream.metadata() or {})["flexlib"]
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a mapping)
        written = json.loads(text)["format"]
        if written != FORMAT:
            raise FlexError(f"{path}: its format is '{written}', this version reads '{FORMAT}'")
        return _build(_Header.model_validate_json(text), tensors, device)
    except FlexError as error:
        raise error.of(path) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FlexError(f"{path}: not a model saved by flexlib ({where}: {first_line(first['msg'])})") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise FlexError(f"{path}: not a model saved by flexlib ({type(error).__name__}: {first_line(error)})") from None


def _build(header: _Header, tensors: dict[str, Tensor], device: str) -> FittedModel:
    """Put a model together. Raises many kinds of errors where the file holds something else."""
    config, protocol = FlexConfig.from_dict(header.config), Protocol.from_dict(header.protocol)
    arrays = {name: _checked_array(name, tensors[name]) for name in KINDS if name in tensors}
    known = header.ratings
    ratings = Ratings(
        name=known.name,
        users=arrays["ratings.users"],
        items=arrays["ratings.items"],
        values=arrays["ratings.values"],
        timestamps=arrays.get("ratings.timestamps"),
        user_ids=np.array(known.user_ids),
        item_ids=np.array(known.item_ids),
        scale=known.scale,
        titles=None if known.titles is None else np.array(known.titles, object),
        genres=None if known.genres is None else np.array(known.genres, object),
        oracle=arrays.get("ratings.oracle"),
        noise_floor=known.noise_floor,
        facts=known.facts,
    )
    split = Split(arrays["train"], arrays["test"])
    row_means, column_offsets = arrays["row_means"], arrays["column_offsets"]
    _check_ratings(ratings)
    _check_split(split, len(ratings), config)
    shape = matrix_shape(ratings, config)
    if (row_means.shape, column_offsets.shape) != (shape[:1], shape[1:]):
        raise ValueError("centring does not match the ratings")
    weights = {k.removeprefix(NETWORK): tensor for k, tensor in tensors.items() if k.startswith(NETWORK)}
    stored = [tuple(weights[f"encoder_weights.{k}"].shape) for k in range(len(config.hidden_layers))]
    # Checked before a network is made, which might not fit into memory.
    if stored != list(itertools.pairwise([shape[1], *config.hidden_layers])):
        raise ValueError("the stored layers are not those of the configuration")
    if not all(tensor.is_floating_point() for tensor in weights.values()):
        raise ValueError("a weight is not a number")
    network = Autoencoder(shape[1], config, torch.Generator().manual_seed(0))
    network.load_state_dict(weights)
    return FittedModel(
        config=config,
        protocol=protocol,
        network=network.to(device),
        ratings=ratings,
        split=split,
        row_means=row_means,
        column_offsets=column_offsets,
        device=device,
        **dict(header.model),
    )


def _checked_array(name: str, tensor: Tensor) -> NDArray[Any]:
    """Give a tensor as an array, and raise `ValueError` unless it is a row of finite numbers of the right kind."""
    array = np.asarray(tensor.numpy())
    if array.ndim != 1 or array.dtype.kind not in KINDS[name] or array.itemsize < 4 or not np.isfinite(array).all():
        raise ValueError(f"{name} is not a row of numbers")
    return array


def _check_ratings(ratings: Ratings) -> None:
    """Raise `ValueError` for arrays that do not belong together, which a damaged or made-up file may hold."""
    for ids, names in ((ratings.users, ratings.user_ids), (ratings.items, ratings.item_ids)):
        _check_index(ids, len(names))
        if len(ids) != len(ratings):
            raise ValueError("users, items and ratings do not match")
        if names.dtype.kind not in "iU" or len(np.unique(names)) < len(names):
            raise ValueError("an id is there twice, or is too large")
    for extra in (ratings.timestamps, ratings.oracle):
        if extra is not None and len(extra) != len(ratings):
            raise ValueError("timestamps or oracle do not match the ratings")
    if ratings.scale[0] > ratings.scale[1]:
        raise ValueError("the scale has its lowest rating above its highest")
    if any(texts is not None and len(texts) != ratings.n_items for texts in (ratings.titles, ratings.genres)):
        raise ValueError("titles or genres do not match the items")


def _check_split(split: Split, n: int, config: FlexConfig) -> None:
    """Raise `ValueError` for a split that is none of n ratings."""
    if not len(split.train) or any((np.diff(part) <= 0).any() for part in (split.train, split.test)):
        raise ValueError("the split has no training ratings, or is not sorted")
    both = np.sort(np.concatenate([split.train, split.test]))
    _check_index(both, n)
    # Early stopping leaves its validation ratings out of the split.
    whole = config.patience > 0 or len(both) == n
    if not whole or (np.diff(both) == 0).any():
        raise ValueError("the split does not match the ratings")


def _check_index(index: NDArray[Any], size: int) -> None:
    if index.min() < 0 or index.max() >= size:
        raise ValueError("users, items or split are out of range")
