"""Saving and loading a fitted model: one safetensors file, its JSON inside the header. Nothing is ever unpickled.

The file holds the ratings too (MovieLens' terms forbid passing those on), so that it can score and
recommend by itself.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from flexlib.config import FlexConfig, FlexError, Protocol
from flexlib.data import Ratings, Split
from flexlib.model import Autoencoder
from flexlib.provenance import provenance
from flexlib.train import FittedModel, choose_device

FORMAT = "flexlib model 1"
ARRAYS = ("users", "items", "values", "timestamps", "oracle")


def save_model(model, path):
    """Write a `FittedModel`, beside first and then renamed."""
    path = Path(path)
    ratings = model.ratings
    tensors = {f"network.{name}": value.contiguous().cpu() for name, value in model.network.state_dict().items()}
    arrays = {f"ratings.{name}": getattr(ratings, name) for name in ARRAYS}
    arrays |= {"row_means": model.row_means, "train": model.split.train, "test": model.split.test}
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
    partial.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, partial, metadata={"flexlib": json.dumps(facts)})
    partial.replace(path)


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
        known = facts["ratings"]
        ratings = Ratings(
            **{name: arrays.get(f"ratings.{name}") for name in ARRAYS},
            user_ids=np.array(known["user_ids"]), item_ids=np.array(known["item_ids"]),
            titles=None if known["titles"] is None else np.array(known["titles"], dtype=object),
            genres=None if known["genres"] is None else np.array(known["genres"], dtype=object),
            name=known["name"], scale=tuple(known["scale"]), noise_floor=known["noise_floor"], facts=known["facts"],
        )  # fmt: skip
        n_columns = ratings.n_users if config.item_based else ratings.n_items
        network = Autoencoder(n_columns, config, torch.Generator().manual_seed(0))
        network.load_state_dict({k.removeprefix("network."): t for k, t in tensors.items() if k.startswith("network.")})
        return FittedModel(
            config=config, protocol=protocol, network=network.to(device), ratings=ratings,
            split=Split(arrays["train"], arrays["test"]), row_means=arrays["row_means"], device=device,
            **facts["model"],
        )  # fmt: skip
    except FlexError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0][:120]
        raise FlexError(f"{path}: not a model saved by flexlib ({type(error).__name__}: {reason})") from None
