"""Saving and loading a fitted model: one safetensors file, its JSON inside the header. Nothing is ever unpickled.

The file holds the ratings too (MovieLens' terms forbid passing those on), so that it can score and
recommend by itself.
"""

import json
import os
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from flexlib.config import FlexConfig, FlexError, Protocol, first_line
from flexlib.data import Ratings, Split
from flexlib.model import Autoencoder, FittedModel
from flexlib.runs.provenance import provenance
from flexlib.train import choose_device

FORMAT = "flexlib model 2"


ARRAYS = ("users", "items", "values", "timestamps", "oracle")


def save_model(model, path):
    """Write a `FittedModel`, beside first and then renamed."""
    path = Path(path)
    ratings = model.ratings
    tensors = {f"network.{name}": value.contiguous().cpu() for name, value in model.network.state_dict().items()}
    arrays = {f"ratings.{name}": getattr(ratings, name) for name in ARRAYS}
    arrays |= {
        "row_means": model.row_means,
        "column_offsets": model.column_offsets,
        "train": model.split.train,
        "test": model.split.test,
    }
    tensors |= {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items() if a is not None}
    texts = {name: getattr(ratings, name) for name in ("user_ids", "item_ids", "titles", "genres")}
    facts = {
        "format": FORMAT, "config": model.config.to_dict(), "protocol": model.protocol.to_dict(),
        "ratings": {name: None if a is None else a.tolist() for name, a in texts.items()}
        | {"name": ratings.name, "scale": ratings.scale, "noise_floor": ratings.noise_floor, "facts": ratings.facts},
        "model": {name: getattr(model, name) for name in ("seed", "status", "history", "steps", "seconds")},
        "provenance": provenance(model),
    }  # fmt: skip
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(tensors, partial, metadata={"flexlib": json.dumps(facts)})
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise FlexError(f"{path}: cannot be written ({error})") from None


def check_writable(path):
    """Refuse with `FlexError`, before the training that it would cost, a path that a model cannot be written to."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise FlexError(f"{path}: a model's file name ends in .safetensors")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise FlexError(f"{path}: cannot be written; is its folder there?")


def load_model(path, device=None):
    """Read a model written by `save_model`. Raises `FlexError` naming the file where it is not one."""
    path, device = Path(path), choose_device(device)
    if not path.is_file():
        raise FlexError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as stream:
            facts = json.loads((stream.metadata() or {})["flexlib"])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a mapping)
        if facts["format"] != FORMAT:
            raise FlexError(f"{path}: its format is '{facts['format']}', this version reads '{FORMAT}'")
        config, protocol = FlexConfig.from_dict(facts["config"]), Protocol.from_dict(facts["protocol"])
        arrays = {name: t.numpy() for name, t in tensors.items() if not name.startswith("network.")}
        known, layers = facts["ratings"], range(len(config.hidden_layers))
        texts = {name: None if known[name] is None else np.array(known[name], object) for name in ("titles", "genres")}
        ratings = Ratings(
            **{name: arrays.get(f"ratings.{name}") for name in ARRAYS}, **texts, user_ids=np.array(known["user_ids"]),
            item_ids=np.array(known["item_ids"]), scale=tuple(map(float, known["scale"])), name=known["name"],
            noise_floor=known["noise_floor"], facts=known["facts"],
        )  # fmt: skip
        model = FittedModel(
            config=config, protocol=protocol, network=None, ratings=ratings, row_means=arrays["row_means"],
            column_offsets=arrays["column_offsets"],
            split=Split(arrays["train"], arrays["test"]), device=device, **facts["model"],
        )  # fmt: skip
        _check_arrays(model)
        if tuple(len(tensors[f"network.encoder_biases.{k}"]) for k in layers) != config.hidden_layers:
            raise ValueError("the stored layers are not those of the configuration")
        model.network = Autoencoder(model.shape[1], config, torch.Generator().manual_seed(0))
        state = {k.removeprefix("network."): t for k, t in tensors.items() if k.startswith("network.")}
        model.network.load_state_dict(state)
        model.network.to(device)
        return model
    except FlexError as error:
        raise error.of(path) from None
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, AttributeError, OSError) as error:
        raise FlexError(f"{path}: not a model saved by flexlib ({type(error).__name__}: {first_line(error)})") from None


def _check_arrays(model):
    """Raise `ValueError` for arrays that do not belong together, which a damaged or made-up file may hold."""
    ratings, n = model.ratings, len(model.ratings.values)
    split = np.sort(np.concatenate([model.split.train, model.split.test]))
    for ids, size in ((ratings.users, ratings.n_users), (ratings.items, ratings.n_items), (split, n)):
        if ids.dtype.kind != "i" or ids.min() < 0 or ids.max() >= size:
            raise ValueError("users, items or split are out of range")
    # Early stopping leaves its validation ratings out of the split.
    whole = model.config.patience > 0 or len(split) == n
    if {len(ratings.users), len(ratings.items)} != {n} or not whole or (np.diff(split) == 0).any():
        raise ValueError("users, items and split do not match")
    if (model.row_means.shape, model.column_offsets.shape) != (model.shape[:1], model.shape[1:]):
        raise ValueError("centring does not match the ratings")
    if any(texts is not None and len(texts) != ratings.n_items for texts in (ratings.titles, ratings.genres)):
        raise ValueError("titles or genres do not match the items")
