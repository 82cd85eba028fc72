"""A network's predictions at test time: its outputs at chosen cells, and rounding them to stars."""

import numpy as np
import torch

from flexlib.entries import RowTable

CELLS_PER_BLOCK = 16_000_000  # of a dense block of rows at test time: 64 MB each for input and output


def network_outputs(model, shown, values, rows, columns):
    """(k,) network outputs at (rows, columns), from the ratings at index `shown` with these values as input."""
    n_rows, width = model.shape
    table = RowTable(model.rows[shown], model.columns[shown], values, n_rows, model.device)
    distinct, place = np.unique(rows, return_inverse=True)
    by_row = np.argsort(place, kind="stable")
    size = max(1, CELLS_PER_BLOCK // width)
    block_ends = np.searchsorted(place[by_row], np.arange(0, len(distinct) + size, size))
    outputs = torch.empty(len(rows), device=model.device)
    with torch.inference_mode():
        for block, (entries, inputs) in enumerate(table.batches(distinct, size, width)):
            wanted = by_row[block_ends[block] : block_ends[block + 1]]
            at = torch.from_numpy((place[wanted] - block * size) * width + columns[wanted]).to(model.device)
            dense = model.network(entries.dense(inputs)).view(-1)
            outputs[torch.from_numpy(wanted).to(model.device)] = dense[at]
    return outputs.cpu().numpy()


def round_predictions(predicted, scale, rounding):
    """Prediction rounding (PrR, Section 3.2): to the nearest step of the scale and into its range, NaN where not
    finite; with `rounding` "released" to halves in [0, 5], NaN read as 2.5. Halfway cases go to the even step."""
    if rounding == "released":
        (low, high, step), predicted = (0.0, 5.0, 0.5), np.where(np.isnan(predicted), 2.5, predicted)
    else:
        (low, high, step), predicted = scale, np.where(np.isfinite(predicted), predicted, np.nan)
    return np.clip(low + np.round((predicted - low) / step) * step, low, high)
