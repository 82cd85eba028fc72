"""Networks that train side by side: an epoch of each in turn, so that their learning curves grow together."""

from collections.abc import Callable, Iterable

from flexlib.config import FlexConfig
from flexlib.data import Ratings
from flexlib.predict import FittedModel
from flexlib.train import TrainingState, fit

Batch = Callable[[FittedModel, float], object]  # as `flexlib.fit` calls it


class _InMemory:
    """Keeps the state of one training (`flexlib.train.Keeper`)."""

    def __init__(self) -> None:
        self.state: TrainingState | None = None
        self.n_epochs = 0

    def load(self, model: FittedModel) -> TrainingState | None:
        return self.state

    def save(self, model: FittedModel, state: TrainingState) -> None:
        # The tensors are those in use, which the end of training may change.
        self.state = TrainingState({name: tensor.clone() for name, tensor in state.tensors.items()}, state.numbers)
        self.n_epochs = len(model.history)


def fit_together(
    ratings: Ratings,
    config: FlexConfig,
    protocols: Iterable[str],
    seed: int = 0,
    device: str | None = None,
    on_epoch: Callable[[str, FittedModel], object] | None = None,
    on_batch: Batch | None = None,
) -> dict[str, FittedModel]:
    """Train a network under each of several protocols, an epoch of each in turn.

    Parameters
    ----------
    ratings, config, seed, device, on_batch
        As in `flexlib.fit`.
    protocols
        Names.
    on_epoch
        Called with a protocol and its model after each epoch of it.

    Returns
    -------
    dict
        Protocol to its model, which is the one that `flexlib.fit` gives by itself.

    Raises
    ------
    FlexError
        As `flexlib.fit` does.
    """
    kept = {protocol: _InMemory() for protocol in protocols}
    models: dict[str, FittedModel] = {}
    going = list(kept)
    while going:
        for protocol in tuple(going):
            keeper = kept[protocol]
            before = keeper.n_epochs

            def end_after_one(model: FittedModel, protocol: str = protocol) -> bool:
                if on_epoch:
                    on_epoch(protocol, model)
                return True

            models[protocol] = fit(
                ratings,
                config,
                protocol,
                seed,
                device=device,
                on_epoch=end_after_one,
                on_batch=on_batch,
                checkpoint=keeper,
            )
            if keeper.n_epochs in (before, config.epochs) or models[protocol].status != "ok":
                going.remove(protocol)
    return models
