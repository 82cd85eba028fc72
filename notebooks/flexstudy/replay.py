"""The authors' own runs again: reading their records, and how far our RMSE agrees with theirs."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from flexlib.config import FlexConfig, FlexError, Protocol, first_line
from flexlib.data import split_ratings
from flexlib.runs.cost import estimate_cost
from flexlib.runs.run import run_one
from flexstudy.statistics import spearman

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


CLOSEST = "released-padded, else released"


SAME_ROWS = "released, on the rows of released-padded"


NEAR = 0.05  # stars: as close as the RMSE of 2.5 stars for all comes to itself on another split


LOW_STARS = 0.91  # of user-based runs, and what the paper's Section 4.4 says that most of them have in common:


LOW_NAMED = {"optimizer": "adam", "activation": "selu", "dense_refeeding": 1, "mean_normalization": True}


RESAMPLES = 400  # of a bootstrap interval


PUBLISHED, SECONDS, ON_1M = "_RMSE", "_learn_time", "1m"


def read_authors_records(path):
    """The authors' table (CSV, one row a run): the list of its `FlexConfig`, and a table with the row's 0-based place
    `record`, the `published` RMSE, the `seconds` recorded, where known the RMSE on ml-1m (`published_1m`), and
    `repeated`, whether the setting has other rows with other results.

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
    settings = pd.Series([json.dumps(config.to_dict()) for config in configs])
    frame["repeated"] = frame["published"].groupby(settings).transform("nunique") > 1
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
    """What may be kept of the authors' table: counts of each parameter's values, quantiles of RMSE by pivot,
    correlations, how many rows repeat another, how many differ from the default setting (`FlexConfig`'s) in one
    parameter or none, and of each different user-based one of `LOW_STARS` or less whether it is `LOW_NAMED`. Plain
    values, for JSON.

    configs, authors: of `read_authors_records`.
    """
    table = pd.DataFrame([config.to_dict() for config in configs])[list(AUTHORS_COLUMNS)]
    item_based = np.array([config.item_based for config in configs])
    texts = table.map(json.dumps)
    default = pd.Series(FlexConfig().to_dict())[list(AUTHORS_COLUMNS)].map(json.dumps)
    numeric = table.select_dtypes(["number", "bool"]).astype(float).assign(rmse=authors["published"])
    steps = np.linspace(0, 1, 201)
    repeated = texts.assign(rmse=authors["published"]).duplicated()
    pivots = {"user": ~item_based, "item": item_based}
    low = table[~item_based & (authors["published"] <= LOW_STARS) & ~repeated]
    return {
        "rows": len(table),
        "repeated_rows": int(repeated.sum()),
        "one_at_a_time": int(((texts != default).sum(axis=1) <= 1).sum()),
        "distinct_settings": len(texts.drop_duplicates()),
        "low_users": (low[list(LOW_NAMED)] == pd.Series(LOW_NAMED)).all(axis=1).tolist(),
        "hours": float(authors["seconds"].sum() / 3600),
        "counts": {name: texts[name].value_counts().to_dict() for name in texts},
        "pivots": {
            name: {"n": int(rows.sum()), "rmse_quantiles": _quantiles(authors.loc[rows, "published"], steps)}
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
    "settings that the authors ran again": lambda t: t["repeated"],
}


def compare_replay(records, authors, protocol):
    """Our RMSE beside theirs: a table of the rows that ended well under `protocol`, with `published`, `gap`
    (ours less theirs), the recorded seconds (`published_seconds`), and `repeated` as in `read_authors_records`.

    records: of a replay. authors: of `read_authors_records`.
    """
    table = records[(records["protocol"] == protocol) & (records["status"] == "ok")]
    renamed = authors.rename(columns={"seconds": "published_seconds"})
    table = table.merge(renamed, on="record", how="left", validate="one_to_one")
    return table.assign(gap=table["rmse"] - table["published"])


def agreement(compared):
    """How far our RMSE agrees with the recorded one, a row for each of `GROUPS`: n, spearman (low and high: its 95 %
    interval by bootstrap percentiles), median (median_low, median_high) and p90 of the absolute difference, and shift,
    the median of the difference, ours less theirs (stars)."""
    rows = {}
    for name, choose in GROUPS.items():
        group = compared[choose(compared).astype(bool)]
        rng, theirs, ours = np.random.default_rng(0), group["published"].to_numpy(), group["rmse"].to_numpy()
        drawn = [rng.integers(len(group), size=len(group)) for _ in range(RESAMPLES if len(group) > 2 else 0)]
        rhos = [spearman(theirs[index], ours[index]) for index in drawn]
        medians = [np.median(np.abs(ours[index] - theirs[index])) for index in drawn]
        spans = [np.nanquantile(found, [0.025, 0.975]) if found else [np.nan] * 2 for found in (rhos, medians)]
        known = dict(zip(("low", "high", "median_low", "median_high"), np.concatenate(spans), strict=True))
        rows[name] = _closeness(group["published"], group["rmse"]) | known
        rows[name]["shift"] = group["gap"].median()
    return pd.DataFrame(rows).T


def authors_repeats(configs, authors, shuffles=200):
    """How far the authors' own runs of one setting agree, which no replay can be expected to beat: n pairs, spearman,
    median and p90 as in `agreement`, means over random pairings of the rows that share a setting.

    The log is sorted by RMSE, so that neighbours would agree by construction. Rows that repeat the result too are one
    run logged twice.
    """
    settings = np.array([json.dumps(config.to_dict()) for config in configs])
    once = authors.assign(settings=settings).drop_duplicates(["settings", "published"])
    codes, rmse = pd.factorize(once["settings"])[0], once["published"].to_numpy()
    rng, found = np.random.default_rng(0), []
    for _ in range(shuffles):
        order = np.lexsort((rng.random(len(codes)), codes))
        place = np.arange(len(order)) - np.searchsorted(codes[order], codes[order])
        first = np.flatnonzero((place[:-1] % 2 == 0) & (codes[order][:-1] == codes[order][1:]))
        found.append(_closeness(pd.Series(rmse[order[first]]), pd.Series(rmse[order[first + 1]])))
    return {name: float(value) for name, value in pd.DataFrame(found).mean().items()}


def _closeness(one, other):
    gap = (one - other).abs()
    return {"n": len(gap), "spearman": spearman(one, other), "median": gap.median(), "p90": gap.quantile(0.9)}


def disagreements(compared, plan, device=None, n=10, max_seconds=20.0):
    """The rows that disagree most, and why, by running them again: a table with record, published, rmse, the RMSE under
    two more seeds (`again_1`, `again_2`), that with the zero rows re-fed (`padded`), and a reason.

    plan: of the replay. max_seconds: of a run's estimate, above which it is not made. The reasons: "NaN handling" where
    rounding is on and the recorded RMSE is that of predicting 2.5 stars for all; "chaotic" where our own runs spread
    over half the gap or more, or diverge under another seed; "padding" where re-feeding the zero rows at least halves
    the gap.
    """
    ratings = plan.load()
    worst = compared.loc[compared["gap"].abs().nlargest(n).index]
    rows = []
    for row in tqdm(worst.to_dict("records"), desc="the rows that disagree most, again"):
        k, published = row["record"], row["published"]
        others = {
            name: _rmse_again(replace(plan, seed=plan.seed + more), ratings, k, protocol, max_seconds, device)
            for name, more, protocol in (("again_1", 1, "released"), ("again_2", 2, "released"),
                                         ("padded", 0, "released-padded"))
        }  # fmt: skip
        gap, constant = abs(row["rmse"] - published), _rmse_of_constant(ratings, row)
        spread = np.nanmax([row["rmse"], others["again_1"], others["again_2"]])
        spread -= np.nanmin([row["rmse"], others["again_1"], others["again_2"]])
        reasons = {
            "NaN handling": row["prediction_rounding"] and abs(constant - published) < NEAR,
            "chaotic": spread >= gap / 2,
            "padding": abs(others["padded"] - published) <= gap / 2,
        }
        known = {"record": k, "published": published, "rmse": row["rmse"]} | others
        words = ", ".join(reason for reason, holds in reasons.items() if holds)
        none = "too dear to run again" if np.isnan(list(others.values())).all() else "not explained"
        rows.append(known | {"reason": words or none})
    columns = ["record", "published", "rmse", "again_1", "again_2", "padded", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _rmse_of_constant(ratings, row):
    """RMSE of predicting 2.5 stars, which the released rounding makes of NaN, on the row's test ratings."""
    test = split_ratings(ratings, row["test_split_rate"], int(row["seed"])).test
    return float(np.sqrt(np.mean((ratings.values[test].astype(float) - 2.5) ** 2)))


def _rmse_again(plan, ratings, record, protocol, max_seconds, device):
    """Infinite where it diverges, NaN where it would take too long."""
    config = plan.configs[record]
    seconds = estimate_cost(config, ratings, Protocol.named(protocol).pad_refeeding).seconds
    if seconds > max_seconds:
        return np.nan
    rmse = run_one(plan.run(record, protocol, seconds), ratings, device)["rmse"]
    return np.inf if rmse is None else rmse


def lost_runs(records, authors, plan, device=None, protocol="released", max_seconds=20.0):
    """Rows that diverged here, though the authors recorded an RMSE: a table with record, published, and
    rmse_of_diverged, what rounding a NaN to 2.5 stars (PrR) scores, NaN without PrR. Where that is not what they
    recorded, to `NEAR`, padded is the RMSE with the zero rows re-fed, if it is estimated under `max_seconds`."""
    lost = records[(records["protocol"] == protocol) & (records["status"] == "diverged")]
    lost = lost.merge(authors, on="record")[["record", "published", "rmse_of_diverged"]]
    explained = (lost["rmse_of_diverged"] - lost["published"]).abs() < NEAR
    ratings = plan.load()
    lost["padded"] = [
        np.nan if known else _rmse_again(plan, ratings, int(record), "released-padded", max_seconds, device)
        for record, known in zip(tqdm(lost["record"], desc="runs lost here, with padding"), explained, strict=True)
    ]
    return lost


def agreement_map(compared, low=0.8, high=12.0, bins=48):
    """Counts of runs by recorded RMSE and ours, on a logarithmic grid: the bins' edges and a (bins, bins) list."""
    edges = np.geomspace(low, high, bins + 1)
    counts, *_ = np.histogram2d(compared["published"], compared["rmse"].clip(upper=high), [edges, edges])
    return {"edges": edges.round(4).tolist(), "counts": counts.astype(int).tolist()}


def closest_runs(records):
    """Of each of the authors' rows the run that repeats most of the released code: under `released-padded` where that
    was made, else under `released`. A table of records whose protocol reads `CLOSEST`."""
    made = records[(records["status"] != "skipped") & records["protocol"].isin(["released", "released-padded"])]
    return made.sort_values("protocol").drop_duplicates("record", keep="last").assign(protocol=CLOSEST)


def diverged_last(records, authors):
    """Spearman correlation of the `closest_runs` with the log if those that diverged count as worse than all others,
    which the agreement leaves out."""
    made = closest_runs(records)
    made = made[made["status"].isin(["ok", "diverged"])].merge(authors, on="record")
    return float(spearman(made["published"], made["rmse"].fillna(np.inf)))


def replay_report(records, configs, authors, plan, device=None):
    """All that is kept of a replay beside its records, as plain values for JSON.

    `authors` (`summarise_authors`) and their `authors_repeats`; the `agreement` of the `closest_runs`, of `released`,
    of `released-padded` where there are any, and of `released` on the rows of the latter (`SAME_ROWS`); of the closest
    the `map` (`agreement_map`) and `diverged_last`; and of `released` the `disagreements`, `lost_runs` and `seconds` of
    ours and theirs.
    """
    compared = {CLOSEST: compare_replay(closest_runs(records), authors, CLOSEST)}
    compared |= {name: compare_replay(records, authors, name) for name in ("released", "released-padded")}
    closest, released, padded = compared.values()
    if not padded.empty:
        compared[SAME_ROWS] = released[released["record"].isin(padded["record"])]
    report = {"authors": summarise_authors(configs, authors), "authors_repeats": authors_repeats(configs, authors)}
    report["agreement"] = {name: _plain(agreement(table)) for name, table in compared.items() if len(table)}
    report["map"] = agreement_map(closest)
    report["diverged_last"] = diverged_last(records, authors)
    report["disagreements"] = _plain(disagreements(released, plan, device))
    report["lost_runs"] = _plain(lost_runs(records, authors, plan, device))
    seconds = released[["seconds", "published_seconds"]].sum()
    report["seconds"] = {"ours": float(seconds.iloc[0]), "authors": float(seconds.iloc[1])}
    return json.loads(json.dumps(report).replace("NaN", "null"))


def _plain(table):
    """Row label to a mapping of its cells; None for what is not finite."""
    return json.loads(table.to_json(orient="index"))
