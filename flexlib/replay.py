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


def summarise_authors(configs, authors):
    """What may be kept of the authors' table: counts of each parameter's values, quantiles of RMSE and seconds by
    pivot, correlations, how many rows repeat another. Plain values, for JSON.

    configs, authors: of `read_authors_records`.
    """
    table = pd.DataFrame([config.to_dict() for config in configs])[list(AUTHORS_COLUMNS)]
    item_based = np.array([config.item_based for config in configs])
    texts = table.map(json.dumps)
    numeric = table.select_dtypes(["number", "bool"]).astype(float).assign(rmse=authors["published"])
    steps = np.linspace(0, 1, 201)
    pivots = {"user": ~item_based, "item": item_based}
    return {
        "rows": len(table),
        "repeated_rows": int(texts.assign(rmse=authors["published"]).duplicated().sum()),
        "distinct_settings": len(texts.drop_duplicates()),
        "hours": float(authors["seconds"].sum() / 3600),
        "counts": {name: texts[name].value_counts().to_dict() for name in texts},
        "pivots": {
            name: {
                "n": int(rows.sum()),
                "rmse_quantiles": _quantiles(authors.loc[rows, "published"], steps),
                "seconds_quantiles": _quantiles(authors.loc[rows, "seconds"], steps),
            }
            for name, rows in pivots.items()
        },
        "correlations": {
            method: numeric.corr(method).round(4).astype(object).where(lambda t: t.notna(), None).to_dict()
            for method in ("pearson", "spearman")
        },
    }


def _quantiles(values, steps):
    return [round(float(value), 4) for value in np.quantile(values, steps)] if len(values) else []


GROUPS = {
    "all": lambda t: np.ones(len(t), bool),
    "user-based": lambda t: t["pivot_indexes"] == "[0, 1]",
    "item-based": lambda t: t["pivot_indexes"] == "[1, 0]",
    "with mean normalization": lambda t: t["mean_normalization"],
    "without mean normalization": lambda t: ~t["mean_normalization"],
    "without re-feeding": lambda t: t["dense_refeeding"] == 0,
    "with re-feeding": lambda t: t["dense_refeeding"] > 0,
    "with mean normalization, without re-feeding": lambda t: t["mean_normalization"] & (t["dense_refeeding"] == 0),
    "default setting of the one-at-a-time runs": lambda t: t["copies"] >= 10,
}


def compare_replay(records, authors, protocol, repeat=None):
    """Our RMSE beside theirs: a table of the rows that ended well under `protocol`, with `published`, `gap`
    (ours less theirs), the recorded seconds (`published_seconds`), and `copies`, how many rows share its settings.

    records: of a replay. repeat: the same replay under another seed, for `repeat_gap` (that run's RMSE less ours).
    """
    settings = records[list(AUTHORS_COLUMNS)].astype(str).agg("|".join, axis=1)
    table = records.assign(copies=settings.groupby([settings, records["protocol"]]).transform("size"))
    table = table[(table["protocol"] == protocol) & (table["status"] == "ok")]
    renamed = authors.rename(columns={"seconds": "published_seconds"})
    table = table.merge(renamed, on="record", how="left", validate="one_to_one")
    table["gap"] = table["rmse"] - table["published"]
    again = repeat[repeat["protocol"] == protocol] if repeat is not None else records.iloc[:0]
    table["repeat_gap"] = table["record"].map(again.set_index("record")["rmse"]) - table["rmse"]
    return table


def agreement(compared):
    """How far our RMSE agrees with the recorded one, a row for each of `GROUPS`.

    Columns: n; spearman; median and p90 of the absolute difference (stars); then the same between two of our own
    seeds, which is as well as any replay can agree: n_repeat, spearman_repeat, median_repeat, p90_repeat.
    """
    rows = {}
    for name, choose in GROUPS.items():
        group = compared[choose(compared).astype(bool)]
        again = group[group["repeat_gap"].notna()]
        rows[name] = _closeness(group["published"], group["rmse"], "") | _closeness(
            again["rmse"], again["rmse"] + again["repeat_gap"], "_repeat"
        )
    return pd.DataFrame(rows).T


def _closeness(one, other, suffix):
    gap = (one - other).abs()
    known = {"n": len(gap), "spearman": one.corr(other, method="spearman") if len(gap) > 2 else np.nan,
             "median": gap.median(), "p90": gap.quantile(0.9)}  # fmt: skip
    return {name + suffix: value for name, value in known.items()}


def disagreements(compared, padded=None, n=12):
    """The rows that disagree most, and why: a table with record, published, rmse, repeat (the other seed's), padded
    (with the zero rows re-fed) and reason.

    padded: a replay's records under `released-padded`. A reason is given where the evidence is: "chaotic" where our own
    two seeds differ by half the gap or more, "padding" where re-feeding the zero rows halves the gap.
    """
    worst = compared.loc[compared["gap"].abs().nlargest(n).index]
    table = pd.DataFrame({
        "record": worst["record"], "published": worst["published"], "rmse": worst["rmse"],
        "repeat": worst["rmse"] + worst["repeat_gap"],
    })  # fmt: skip
    known = {} if padded is None else padded[padded["protocol"] == "released-padded"].set_index("record")["rmse"]
    table["padded"] = worst["record"].map(known)
    half = worst["gap"].abs() / 2
    chaotic = worst["repeat_gap"].abs() >= half
    closer = (table["padded"] - table["published"]).abs() <= half
    words = np.where(
        chaotic & closer, "chaotic; padding", np.where(chaotic, "chaotic", np.where(closer, "padding", ""))
    )
    table["reason"] = np.where(words != "", words, np.where(worst["repeat_gap"].isna(), "no repeat", "not explained"))
    return table.reset_index(drop=True)


def nan_handling(records, authors, protocol="released"):
    """Rows that diverged here, though the authors recorded a finite RMSE: a table with record, published, and
    rmse_of_diverged, what rounding a NaN to 2.5 stars (PrR) scores, NaN without PrR."""
    lost = records[(records["protocol"] == protocol) & (records["status"] == "diverged")]
    return lost.merge(authors, on="record")[["record", "published", "rmse_of_diverged"]]


def agreement_map(compared, low=0.8, high=12.0, bins=48):
    """Counts of runs by recorded RMSE and ours, on a logarithmic grid: the bins' edges and a (bins, bins) list."""
    edges = np.geomspace(low, high, bins + 1)
    counts, *_ = np.histogram2d(compared["published"], compared["rmse"].clip(upper=high), [edges, edges])
    return {"edges": edges.round(4).tolist(), "counts": counts.astype(int).tolist()}


def replay_report(records, configs, authors, repeat=None):
    """All that is kept of a replay beside its records, as plain values for JSON: `authors` (`summarise_authors`); for
    each protocol that repeats the released code its `agreement`, and of the first such `disagreements`, `nan_handling`
    and the `map` of `agreement_map`."""
    report = {"authors": summarise_authors(configs, authors), "agreement": {}}
    for protocol in ("released", "released-padded"):
        compared = compare_replay(records, authors, protocol, repeat)
        if compared.empty:
            continue
        report["agreement"][protocol] = _plain(agreement(compared).T)
        if "map" not in report:
            report["map"] = agreement_map(compared)
            report["disagreements"] = _plain(disagreements(compared, records).T)
            report["nan_handling"] = _plain(nan_handling(records, authors, protocol).T)
            seconds = compared[["seconds", "published_seconds"]].sum()
            report["seconds"] = {"ours": float(seconds.iloc[0]), "authors": float(seconds.iloc[1])}
    return report


def _plain(table):
    return {str(name): {key: None if pd.isna(value) else getattr(value, "item", lambda value=value: value)()
                        for key, value in column.items()} for name, column in table.items()}  # fmt: skip
