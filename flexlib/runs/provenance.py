"""Where a number came from: data, code, versions and machine, as plain values beside every result."""

import functools
import platform
import subprocess
from pathlib import Path

import numpy as np
import torch

from flexlib.config import VERSION


def provenance(model):
    """What made a `FittedModel`: data set and checksum, configuration, protocol, seed, versions, device, commit."""
    return {
        "dataset": {"name": model.ratings.name, "n_ratings": len(model.ratings)} | model.ratings.facts,
        "config": model.config.to_dict(),
        "protocol": model.protocol.to_dict(),
        "seed": model.seed,
        "device": device_name(model.device),
        "seconds": round(model.seconds, 3),
        "steps": model.steps,
    } | software()


def software():
    """Versions of what computes, and the commit of this code ("unknown" outside a git checkout)."""
    return {
        "flexlib": VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "commit": commit(),
    }


def device_name(device):
    """The device with its hardware's name, such as "cuda (NVIDIA H100)" or "cpu (2 threads)"."""
    if str(device).startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)"


@functools.cache
def commit():
    """The checkout's short commit, with "+" where files differ from it; "unknown" where this file is in no checkout."""
    git = dict(cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True)
    try:
        subprocess.run(["git", "ls-files", "--error-unmatch", Path(__file__).name], **git)
        return subprocess.run(["git", "describe", "--always", "--dirty=+", "--exclude=*"], **git).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
