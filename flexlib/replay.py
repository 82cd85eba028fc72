"""The authors' own runs again: reading their records, and how far our RMSE agrees with theirs."""

import json

import numpy as np
import pandas as pd

from flexlib.config import FlexConfig, FlexError, first_line

# Columns of the authors' table, by our names of their parameters (Table 1, and two switches beyond it).
AUTHORS_COLUMNS = {
    "learning_rate": "mp_learning_rate", "weight_decay": "mp_weight_decay", "hidden_layers": "mp_hidden_layers",
    "drop_probability": "mp_drop_prob", "noise_probability": "mp_noise_prob",
    "train_batch_size": "mp_train_batch_size", "epochs": "mp_num_epochs", "optimizer": "mp_optimizer",
    "activation": "mp_activation", "dense_refeeding": "mp_aug_step", "dense_refeeding_rounding": "mp_aug_step_floor",
    "decoder_constraint": "mp_decoder_constraint", "mean_normalization": "mp_normalize_data",
    "prediction_rounding": "mp_prediction_floor", "pivot_indexes": "dp_pivot_indexes",
    "test_masking_rate": "mp_test_masking_rate", "test_split_rate": "dp_test_split_rate",
    "output_activation": "mp_last_layer_activations", "loss_size_average": "mp_loss_size_average",
}  # fmt: skip
PUBLISHED, SECONDS, ON_1M = "_RMSE", "_learn_time", "1m"


def read_authors_records(path):
    """The authors' table (CSV, one row a run): the list of its `FlexConfig`, and a table with the row's 0-based place
    `record`, the `published` RMSE, the `seconds` recorded and, where known, the RMSE on ml-1m (`published_1m`).

    Raises `FlexError` naming the file, the line and the value.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise FlexError(f"{path}: cannot be read ({first_line(error)})") from None
    for column in [*AUTHORS_COLUMNS.values(), PUBLISHED, SECONDS, ON_1M]:
        if column not in table.columns:
            raise FlexError(f"{path}: no column '{column}'")
    if table.empty:
        raise FlexError(f"{path}: no rows")
    configs, numbers = [], []
    for place, row in enumerate(table.to_dict("records")):
        try:
            values = {ours: _value(row[theirs]) for ours, theirs in AUTHORS_COLUMNS.items()}
            if type(values["hidden_layers"]) is int:
                values["hidden_layers"] = [values["hidden_layers"]]
            configs.append(FlexConfig.from_dict(values))
            numbers.append([place, *(_number(row, column) for column in (PUBLISHED, SECONDS)),
                            _number(row, ON_1M) if row[ON_1M] else np.nan])  # fmt: skip
        except FlexError as error:
            raise FlexError(f"{path}, line {place + 2}: {error}") from None
    frame = pd.DataFrame(numbers, columns=["record", "published", "seconds", "published_1m"])
    return configs, frame.astype({"record": int})


def _value(text):
    """A cell's value: a switch, a list, a number or a word."""
    try:
        return json.loads(text.lower())
    except ValueError:
        return text


def _number(row, column):
    try:
        return float(row[column])
    except ValueError:
        raise FlexError(f"{column}: '{row[column]}' is not a number") from None
