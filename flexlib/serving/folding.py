"""New ratings for a trained network: those of known users, and of users and items that it has never seen.

A row of the rating matrix needs no training: the network is shown its ratings. A column has weights of its own in the
output layer. Those of a new column are fitted to its ratings, with the rest of the network as it is: the most probable
ones, if a column's weights are normally distributed as those of the trained columns are.

References
----------
Salakhutdinov and Mnih (2007), Section 2, for weights under a normal prior.
"""

import copy
import dataclasses
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from flexlib.centring import fit_centring
from flexlib.config import FlexError
from flexlib.data import AnyIds, Index, Ratings, Split, find_ids
from flexlib.fast.entries import RowTable, has_sparse_products
from flexlib.model import Autoencoder, matrix_shape
from flexlib.predict import CELLS_PER_BLOCK, Fitted, FittedModel, encode_rows
from flexlib.train import rmse_of

Model = TypeVar("Model", bound=Fitted)

ERROR_SAMPLE = 100_000  # training ratings that tell how far predictions are off
STEPS = 100  # at most, of the search for a column's weights
OF_COLUMNS = ("encoder_weights.0", "rated_weights.0")  # with the decoder's last, the tensors with an entry a column


def fold_in(model: Model, users: ArrayLike, items: ArrayLike, values: ArrayLike) -> Model:
    """Add ratings to a trained network without training it again.

    A user-based network is shown the ratings of known and of new users alike: other users' predictions do not change.
    An item-based network is shown them as part of the items' rows. Who has new ratings also gets output weights that
    are fitted to these: beginning with the user's own, or with the average user's. New items are treated the other way
    round: an item-based network is shown their rows, and a user-based one gets output weights for them.

    Row means (MeN) are taken again where a row has new ratings; with biases, the user's or new item's own too. Another
    method than a network is fitted at each call anyway, and then to these ratings too.

    Parameters
    ----------
    model
        Of `flexlib.fit`, `flexlib.load_model` or `flexlib.serving.methods.fit_method`; it stays as it is.
    users, items
        (k,) original ids, known or new; one of them may be a single id. A rating that the model has is replaced, and
        counts as a training rating from then on.
    values
        (k,) stars.

    Returns
    -------
    Model
        Of the same kind, to predict, recommend and save. Ratings that are all known give equal predictions. Where
        output weights were fitted, the decoder is untied (DeC).

    Raises
    ------
    FlexError
        For a value off the scale's range, arrays of different lengths, a pair given twice, or a model that diverged.

    Examples
    --------
    >>> from flexlib import FlexConfig, fit, fold_in, load_ratings, recommend
    >>> model = fit(load_ratings("synthetic:users=60,items=90,ratings=1500,seed=1"), FlexConfig(epochs=2))
    >>> larger = fold_in(model, "Ada", [17, 42, 3], [5.0, 1.0, 4.5])
    >>> len(recommend(larger, "Ada", k=5))
    5
    """
    ratings = model.ratings
    user, item, stars = _checked(users, items, values, ratings)
    user_ids, item_ids = _with_new(ratings.user_ids, user), _with_new(ratings.item_ids, item)
    users_of, items_of = find_ids(user_ids, user), find_ids(item_ids, item)
    places, added = _places(ratings, users_of, items_of, len(item_ids))
    n = len(ratings)
    known, trained = places < n, np.zeros(n + int(added.sum()), bool)
    trained[model.split.train] = True
    changed = ~trained[places]
    changed[known] |= ratings.values[places[known]] != stars[known]
    new_values = np.concatenate([ratings.values, stars[added]])
    new_values[places] = stars
    trained[places] = True
    larger = dataclasses.replace(
        ratings,
        users=np.concatenate([ratings.users, users_of[added].astype(np.int32)]),
        items=np.concatenate([ratings.items, items_of[added].astype(np.int32)]),
        values=new_values,
        timestamps=None if added.any() else ratings.timestamps,
        user_ids=user_ids,
        item_ids=item_ids,
        titles=_longer(ratings.titles, len(item_ids)),
        genres=_longer(ratings.genres, len(item_ids)),
        folds={},
        oracle=None,
        noise_floor=None,
    )
    split = Split(np.flatnonzero(trained), np.setdiff1d(model.split.test, places))
    folded = copy.copy(model)
    folded.ratings, folded.split = larger, split
    if isinstance(model, FittedModel) and isinstance(folded, FittedModel):
        _show(model, folded, places[changed])
    return folded


def _show(model: FittedModel, folded: FittedModel, new: Index) -> None:
    """Fit what belongs to new ratings: centres, and output weights of columns. `model` is as it was before these."""
    if model.status != "ok":
        raise FlexError(f"the model's status is '{model.status}'; train it again")
    old_shape = model.shape
    columns = np.unique(folded.columns[new])
    if not model.config.item_based:
        columns = columns[columns >= old_shape[1]]
    _centre(folded, np.unique(folded.rows[new]), columns)
    if len(columns):
        sample = model.split.train[:: max(1, len(model.split.train) // ERROR_SAMPLE)]
        error = rmse_of(model, sample)
        folded.network, folded.config = _widened(model, folded.shape[1]), model.config.replace(decoder_constraint=False)
        _fit_columns(folded, new[np.isin(folded.columns[new], columns)], columns, old_shape[1], error)


def _checked(
    users: ArrayLike, items: ArrayLike, values: ArrayLike, ratings: Ratings
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """Give (k,) ids of users and items and stars, of one length and within the scale."""
    stars = np.atleast_1d(np.asarray(values, np.float32))
    try:
        user, item = (np.broadcast_to(np.asarray(ids), stars.shape) for ids in (users, items))
    except ValueError:
        shapes = ", ".join(str(np.shape(given)) for given in (users, items, values))
        raise FlexError(f"users, items and values: their shapes {shapes} do not match") from None
    low, high, _ = ratings.scale
    wrong = ~((stars >= low) & (stars <= high))
    if stars.ndim != 1 or wrong.any():
        which = f"rating {stars[wrong][0]:g}" if stars.ndim == 1 else f"ratings of shape {stars.shape}"
        raise FlexError(f"{which}: (k,) stars from {low:g} to {high:g} are needed")
    return user, item, stars


def _with_new(known: NDArray[Any], given: NDArray[Any]) -> NDArray[Any]:
    """Append those of the given ids that are not known, in their order; whole numbers stay such if they can."""
    new = pd.unique(given[find_ids(known, given) < 0])
    try:
        return np.concatenate([known, new.astype(known.dtype)]) if known.dtype.kind in "iu" else _texts(known, new)
    except (ValueError, OverflowError):
        return _texts(known, new)


def _texts(known: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([known.astype(str), new.astype(str)]) if len(new) else known


def _places(ratings: Ratings, users: Index, items: Index, n_items: int) -> tuple[Index, NDArray[np.bool_]]:
    """Find (k,) places of pairs among the ratings, or behind them for those that are added, and which these are."""
    keys = users * n_items + items
    if len(np.unique(keys)) < len(keys):
        raise FlexError("a user's rating of an item is given twice")
    old = pd.Index(ratings.users.astype(np.int64) * n_items + ratings.items)
    places = np.asarray(old.get_indexer(pd.Index(keys)), np.int64)
    added = places < 0
    places[added] = len(ratings) + np.arange(added.sum())
    return places, added


def _longer(texts: NDArray[Any] | None, n: int) -> NDArray[Any] | None:
    return None if texts is None else np.concatenate([texts, np.full(n - len(texts), "", object)])


def _centre(model: FittedModel, rows: AnyIds, columns: AnyIds) -> None:
    """Take the centres of these rows and columns again; all others stay."""
    used = slice(None) if model.protocol.means == "all" else model.split.train
    known = model.rows[used], model.columns[used], model.ratings.values[used]
    row_means, column_offsets = fit_centring(model.config, *known, model.shape)
    kept_rows, kept_columns = np.arange(len(model.row_means)), np.arange(len(model.column_offsets))
    kept_rows, kept_columns = np.setdiff1d(kept_rows, rows), np.setdiff1d(kept_columns, columns)
    row_means[kept_rows] = model.row_means[kept_rows]
    column_offsets[kept_columns] = model.column_offsets[kept_columns]
    model.row_means, model.column_offsets = row_means, column_offsets


def _widened(model: FittedModel, width: int) -> Autoencoder:
    """Copy a network with so many columns, new ones with weights of 0, and a decoder of its own."""
    config = model.config.replace(decoder_constraint=False)
    network = Autoencoder(width, config, torch.Generator().manual_seed(0)).to(model.device)
    weights = {name: tensor.detach() for name, tensor in model.network.state_dict().items()}
    weights |= {f"decoder_weights.{k}": w.detach() for k, w in enumerate(model.network.outward_weights())}
    last = len(config.hidden_layers) - 1
    for name in (*OF_COLUMNS, f"decoder_weights.{last}", f"decoder_biases.{last}"):
        if name in weights:
            missing = width - len(weights[name])
            weights[name] = torch.cat([weights[name], weights[name].new_zeros(missing, *weights[name].shape[1:])])
    network.load_state_dict(weights)
    return network


def _fit_columns(model: FittedModel, new: Index, columns: AnyIds, n_old: int, error: float) -> None:
    """Fit output weights of `columns` to the ratings at `new`; the first `n_old` columns have weights already.

    `error` is the RMSE of predictions, in stars, beside which the spread of the trained weights says how far a column's
    may be from where they begin.
    """
    network = model.network
    weight, bias = network.outward_weights()[-1].data, network.decoder_biases[-1].data
    trained = np.unique(model.columns[model.split.train])
    both = torch.cat([weight, bias[:, None]], dim=1).double()
    known = both[torch.from_numpy(trained[trained < n_old]).to(model.device)]
    spread = known.var(dim=0, correction=0).clamp(min=1e-9)
    start = both[torch.from_numpy(columns).to(model.device)]
    start[torch.from_numpy(columns >= n_old).to(model.device)] = known.mean(dim=0)
    rows, place = np.unique(model.rows[new], return_inverse=True)
    hidden = _inner(model, rows).double()[torch.from_numpy(place).to(model.device)]
    targets = torch.from_numpy(model.centred(new)).to(model.device).double()
    of = torch.from_numpy(np.searchsorted(columns, model.columns[new])).to(model.device)
    found = start.clone().requires_grad_()
    search = torch.optim.LBFGS([found], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        own = found[of]
        outputs = network.activate_output((hidden * own[:, :-1]).sum(dim=1) + own[:, -1])
        total = (outputs - targets).square().sum() / max(error, 1e-6) ** 2
        total = total + ((found - start).square() / spread).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    search.step(loss)  # type: ignore[no-untyped-call]
    index = torch.from_numpy(columns).to(model.device)
    weight[index], bias[index] = found.detach()[:, :-1].to(weight), found.detach()[:, -1].to(bias)


def _inner(model: FittedModel, rows: AnyIds) -> Tensor:
    """Show the network these rows' training ratings: what its output layer is given, (k, first hidden layer)."""
    train, (n_rows, width) = model.split.train, matrix_shape(model.ratings, model.config)
    table = RowTable(model.rows[train], model.columns[train], model.centred(train), n_rows, model.device)
    size, sparse = max(1, CELLS_PER_BLOCK // width), has_sparse_products(model.device)
    with torch.no_grad():
        batches = table.batches(rows, size, width, sparse, transposed=False)
        return torch.cat([model.network.decode_inner(encode_rows(model.network, *batch)) for batch in batches])
