"""Where a number came from: data, code, versions and machine, as plain values beside every result."""

import functools
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flexlib import __version__
from flexlib.predict import FittedModel


def provenance(model: FittedModel) -> dict[str, Any]:
    """Say what made a model.

    Parameters
    ----------
    model
        A fitted network.

    Returns
    -------
    dict
        Plain values:

        - dataset: name, n_ratings and the data's own facts (file, checksum)
        - config, protocol: all fields
        - seed
        - device: with the hardware's name
        - seconds: of training
        - steps: of the optimizer
        - those of `software`
    """
    return {
        "dataset": {"name": model.ratings.name, "n_ratings": len(model.ratings)} | dict(model.ratings.facts),
        "config": model.config.to_dict(),
        "protocol": model.protocol.to_dict(),
        "seed": model.seed,
        "device": device_name(model.device),
        "seconds": round(model.seconds, 3),
        "steps": model.steps,
    } | software()


def software() -> dict[str, str]:
    """Give the versions of all that computes.

    Returns
    -------
    dict
        - flexlib, python, torch, numpy: versions
        - platform: system and processor family
        - commit: of this code, see `commit`
    """
    return {
        "flexlib": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "commit": commit(),
    }


def device_name(device: str) -> str:
    """Name a device with its hardware, such as "cuda (NVIDIA H100)" or "cpu (2 threads)".

    Parameters
    ----------
    device
        As PyTorch names it.
    """
    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)"


@functools.cache
def commit() -> str:
    """Give the checkout's short commit, with "+" where files differ from it.

    Returns
    -------
    str
        "unknown" where this file is in no checkout.
    """
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git("describe", "--always", "--dirty=+", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
