"""Training that was stopped goes on: its state on disk, one safetensors file, replaced after each epoch.

Only the training that wrote a state goes on from it: the same data, split, protocol, seed and configuration. The
number of epochs may differ.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from flexlib.config import FlexError, first_line
from flexlib.predict import FittedModel
from flexlib.runs.journal import replaced
from flexlib.train import TrainingState

FORMAT = "flexlib checkpoint 2"


class Checkpoint:
    """A file that `flexlib.fit` keeps its state in.

    Parameters
    ----------
    path
        Of the file, whose name ends in .safetensors.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def load(self, model: FittedModel) -> TrainingState | None:
        """Read the state of a model's training.

        Parameters
        ----------
        model
            Untrained, with its split.

        Returns
        -------
        TrainingState
            After the last epoch that was finished; None where there is no file.

        Raises
        ------
        FlexError
            Where the file is damaged, or of another training.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as stream:
                facts = json.loads((stream.metadata() or {})["flexlib"])
                tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a mapping)
            written, wanted = facts["of"], _identity(model)
            differing = [name for name, value in wanted.items() if written[name] != value]
            state = TrainingState(tensors, facts["numbers"])
            if not differing and facts["digest"] != _digest(state):
                raise ValueError("it is damaged")
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
            raise FlexError(f"{self.path}: not a checkpoint of flexlib ({first_line(error)})") from None
        if differing:
            name = differing[0]
            raise FlexError(
                f"{self.path}: is of another training, whose {name} differs: choose another file, or delete this one"
            )
        return state

    def save(self, model: FittedModel, state: TrainingState) -> None:
        """Write the state, beside first and then renamed.

        Raises
        ------
        FlexError
            Where the file cannot be written; the one before is kept.
        """
        tensors = {name: tensor.contiguous().cpu() for name, tensor in state.tensors.items()}
        facts = {"of": _identity(model), "numbers": state.numbers, "digest": _digest(state._replace(tensors=tensors))}
        try:
            with replaced(self.path) as partial:
                save_file(tensors, partial, metadata={"flexlib": json.dumps(facts)})
        except SafetensorError as error:  # what it says of a full disk
            raise FlexError(f"{self.path}: cannot be written ({first_line(error)})") from None


def _digest(state: TrainingState) -> str:
    """Hash a state, so that one of which a bit has changed is not gone on from."""
    digest = hashlib.sha256(json.dumps(state.numbers, sort_keys=True).encode())
    for name, tensor in sorted(state.tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


def _identity(model: FittedModel) -> dict[str, Any]:
    """Say what a training is of: all that its numbers depend on but the number of epochs."""
    train, digest = model.split.train, hashlib.sha256()
    for part in (model.rows, model.columns, model.ratings.values):
        digest.update(np.ascontiguousarray(part[train]).data)
    config = model.config.to_dict()
    del config["epochs"]
    return {
        "format": FORMAT,
        "training ratings": digest.hexdigest(),
        "seed": model.seed,
        "protocol": model.protocol.to_dict(),
        "configuration": config,
    }
