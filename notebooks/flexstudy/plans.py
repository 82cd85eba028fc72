"""Experiments: the runs that the chapters are made of, each as a `Plan`, by name.

A record's `setting` names what was trained, its `role` what part it plays in the experiment:

============= =========================================  ====================================================
experiment    setting                                    role
============= =========================================  ====================================================
table2        the preset                                 ""
accuracy      the preset                                 ""
best          "best 1" to "best 10"                      the protocol by whose scores it was chosen
one-rate      the run of the sweep, "sample 7"           ""
screening     the run of the sweep                       how it is centred: "rows" or "three"
rounding      the run of the sweep                       "no re-feeding", "not rounded" or "rounded" (DeFR)
centring      the run of the sweep                       how it is centred: "rows" or "three"
choices-tried the run, activation and optimizer          the learning rate
choices       the run, activation and optimizer          ""
explore       what differs from the explored preset      ""
courses       the preset, or as in explore               ""
============= =========================================  ====================================================

`screening` and `choices-tried` are scored on validation ratings; `rounding`, `centring` and `choices` take from them
the settings that they score on test ratings of the same split.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from flexlib.config import ACTIVATIONS, OPTIMIZERS, PIVOTS, PRESETS, FlexConfig, FlexError
from flexlib.data import Ratings
from flexlib.datasets.loading import load_ratings
from flexlib.runs.cost import estimate_cost
from flexlib.runs.plan import Plan, Setting, repetition_name, sweep_name
from flexlib.runs.records import config_of, load_records
from flexstudy.lists import CourseMeasure, ListMeasure
from flexstudy.references import row_mean_rmse

THREE_PROTOCOLS = ("released", "described", "holdout")  # the code, the paper's text, and without the leak
LEAKY_AND_LEAK_FREE = ("released", "holdout")
TABLE_2 = tuple(f"table2:{number}" for number in range(1, 11))

# From released to holdout, a field at a time. What a field changes depends on those before it.
STEPS = {
    "means": "row means from training ratings",
    "unseen_fallback": "a mean where a row or column is new",
    "test_input": "training ratings as input",
    "loss_entries": "loss over all observed ratings",
    "noise": "noise on the input too",
    "pad_first_pass": "no zero rows in the loss",
    "rounding": "the data's own scale",
}
_LEAK_FREE = {
    "means": "training",
    "unseen_fallback": "true",
    "test_input": "training",
    "loss_entries": "observed",
    "noise": "input-and-refed",
    "pad_first_pass": "false",
    "rounding": "scale",
}
# The leaks alone: each put back into a protocol without the other.
ALONE = {
    "neither leak": "released means=training unseen_fallback=true test_input=training",
    "means alone": "released test_input=training",
    "input alone": "released means=training unseen_fallback=true",
    "both leaks": "released",
}

BEST = 10  # settings of a sweep, as many as Table 2 has
RATE = 0.3  # the paper's default test split rate, at which settings of all rates are compared
CONTENDERS = 60  # settings of other rates that are run again at this one, under each protocol
SCREENED = 240  # settings of a sweep that are tried on validation ratings
LISTED = 24  # learned settings whose lists are measured, with re-feeding and as many without
LEARNED = 0.01  # stars below the row means' RMSE, from which on a network counts as having learned something
CHEAP_SECONDS = 4.0  # of the estimate of a setting that is screened
BASES = 10  # item-based settings of a sweep in which activation, optimizer and learning rate are changed
BASE_SECONDS = 1.0  # of the estimate of such a setting
LEARNING_RATES = (0.0001, 0.001, 0.005, 0.01, 0.1)  # those of the authors' log
NO_REFEEDING, NOT_ROUNDED, ROUNDED = "no re-feeding", "not rounded", "rounded"  # roles of `rounding`
BY_ROWS, BY_THREE = "rows", "three"  # roles of `centring`

# What the explorer changes, a grid at a time, in the paper's best setting; everything else stays as it is there.
EXPLORED = "table2:1"
GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "settings": {
        "activation": ACTIVATIONS[:8],
        "optimizer": OPTIMIZERS[:4],
        "pivot_indexes": PIVOTS[::-1],
        "mean_normalization": (True, False),
    },
    "learning_rate": {"learning_rate": LEARNING_RATES, "optimizer": OPTIMIZERS[:4]},
    "hidden_layers": {
        "hidden_layers": (
            (4,),
            (16,),
            (64,),
            (256,),
            (1024,),
            (64, 4),
            (4, 64),
            (256, 64, 4),
            (4, 64, 256),
            (64, 64, 64),
            (256, 128, 64, 32, 16),
            (16, 32, 64, 128, 256),
        )
    },
    "dropout": dict.fromkeys(("drop_probability", "noise_probability"), (0.0, 0.2, 0.4, 0.6, 0.8)),
    "refeeding": {
        "dense_refeeding": (0, 1, 2, 3),
        "dense_refeeding_rounding": (False, True),
        "prediction_rounding": (False, True),
    },
}


def ladder() -> dict[str, str]:
    """Name the protocols from `released` to `holdout`, each with one more field of `STEPS` as holdout has it.

    Returns
    -------
    dict
        Step to protocol, the first of them "released". The last is `holdout` but for how test ratings are masked,
        which it does not do.
    """
    names, done = {"released": "released"}, "released"
    for step in STEPS:
        done = f"{done} {step}={_LEAK_FREE[step]}"
        names[step] = done
    return names


def presets(names: Iterable[str]) -> list[Setting]:
    """Make settings of presets."""
    return [Setting(name, FlexConfig.preset(name)) for name in names]


def table2(dataset: str, n_seeds: int = 5, sets: Sequence[str] = TABLE_2, **options: Any) -> Plan:
    """Run the paper's ten best (Table 2) under three protocols."""
    return Plan.repeat("table2", dataset, THREE_PROTOCOLS, presets(sets), n_seeds, **options)


def accuracy(dataset: str, n_seeds: int = 5, sets: Sequence[str] = TABLE_2, **options: Any) -> Plan:
    """Run Table 2's sets on every step from released to holdout, and with each leak alone."""
    protocols = dict.fromkeys([*ladder().values(), *ALONE.values(), "holdout"])
    return Plan.repeat("accuracy", dataset, tuple(protocols), presets(sets), n_seeds, **options)


def own_best(dataset: str, records: pd.DataFrame, n_seeds: int = 5, **options: Any) -> Plan:
    """Run our own ten best of a sweep, by each of two protocols, again on other splits."""
    settings = [
        Setting(f"best {place}", config_of(row), role=protocol)
        for protocol in LEAKY_AND_LEAK_FREE
        for place, (_, row) in enumerate(choose_best(records, protocol).iterrows(), start=1)
    ]
    return Plan.repeat("best", dataset, LEAKY_AND_LEAK_FREE, settings, n_seeds, **options)


def choose_best(records: pd.DataFrame, protocol: str, n: int = BEST) -> pd.DataFrame:
    """Choose the n runs of a protocol with the lowest RMSE on the choosing half, lowest first.

    The other half, which was not looked at, is what they are reported on.
    """
    own = records[(records["protocol"] == protocol) & (records["status"] == "ok")]
    return own.nsmallest(n, "rmse_first_half")


def grid_cells(grid: str) -> dict[tuple[Any, ...], FlexConfig]:
    """Make the cells of one of `GRIDS`: tuples of values, the last parameter running fastest, to configurations."""
    base, levels = FlexConfig.preset(EXPLORED), GRIDS[grid]
    return {cell: base.replace(**dict(zip(levels, cell, strict=True))) for cell in product(*levels.values())}


def explore(dataset: str, n_seeds: int = 3, grids: Sequence[str] = tuple(GRIDS), **options: Any) -> Plan:
    """Run every cell of the explorer's grids, with and without the leak."""
    return Plan.repeat("explore", dataset, LEAKY_AND_LEAK_FREE, explored(grids), n_seeds, **options)


def explored(grids: Iterable[str] = tuple(GRIDS)) -> list[Setting]:
    """Name each cell of the explorer's grids once, by what it changes in the explored preset."""
    configs = dict.fromkeys(config for grid in grids for config in grid_cells(grid).values())
    return [Setting(_difference(config), config) for config in configs]


def _difference(config: FlexConfig) -> str:
    base = FlexConfig.preset(EXPLORED).to_dict()
    changed = [f"{name}={value}" for name, value in config.to_dict().items() if value != base[name]]
    return " ".join(changed) or EXPLORED


def courses(
    dataset: str,
    n_seeds: int = 1,
    names: Sequence[str] = tuple(PRESETS),
    grids: Sequence[str] = tuple(GRIDS),
    **options: Any,
) -> Plan:
    """Run each preset and each cell of the explorer's grids, from its learning curve to its recommended lists."""
    settings = {setting.config: setting for setting in [*explored(grids), *presets(names)]}
    return Plan.repeat(
        "courses", dataset, LEAKY_AND_LEAK_FREE, list(settings.values()), n_seeds, measure=CourseMeasure, **options
    )


def one_rate(dataset: str, records: pd.DataFrame, n_seeds: int = 1, **options: Any) -> Plan:
    """Run the best settings that a sweep drew with other test split rates again with `RATE`, each with its own seed.

    Together with the sweep's own runs of this rate, they are what can be among the best at one rate.
    """
    others = records[records["test_split_rate"] != RATE]
    places = {place for protocol in LEAKY_AND_LEAK_FREE for place in choose_best(others, protocol, CONTENDERS)["run"]}
    chosen = others[others["run"].isin(places)].drop_duplicates("run")
    settings = tuple(
        Setting(row["setting"], config_of(row).replace(test_split_rate=RATE)) for _, row in chosen.iterrows()
    )
    seeds = tuple(int(seed) for seed in chosen["seed"])
    return Plan(repetition_name("one-rate", dataset), "run", dataset, LEAKY_AND_LEAK_FREE, settings, seeds, **options)


def screening(dataset: str, records: pd.DataFrame, n_seeds: int = 1, **options: Any) -> Plan:
    """Try a sweep's first cheap settings on validation ratings, centred by row means and with 3 filled in.

    Mean normalization is on, and both roundings are off.
    """
    ratings = load_ratings(dataset, options.get("columns"), options.get("scale"))
    chosen: list[Setting] = []
    for _, row in records.drop_duplicates("run").iterrows():
        config = config_of(row).replace(
            mean_normalization=True, prediction_rounding=False, dense_refeeding_rounding=False
        )
        if estimate_cost(config, ratings).seconds <= CHEAP_SECONDS:
            chosen += [Setting(row["setting"], config.replace(centring=way), way) for way in (BY_ROWS, BY_THREE)]
    chosen = chosen[: 2 * SCREENED]
    return Plan.repeat("screening", dataset, ("holdout",), chosen, n_seeds, validation=True, **options)


def choose_learned(
    records: pd.DataFrame, ratings: Ratings, ways: Sequence[str] = (BY_ROWS, BY_THREE), learned: float = LEARNED
) -> list[tuple[str, FlexConfig]]:
    """Choose the settings that have learned something, by the validation ratings of `screening`.

    Parameters
    ----------
    records
        Of `screening`.
    ratings
        Its data set.
    ways
        Roles of which the better one must have learned; one that diverges counts as not learned.
    learned
        Stars that it must be below the RMSE of predicting the same validation ratings by row means.

    Returns
    -------
    list
        Names of the settings and their configurations, centred by row means, in the order of the records.
    """
    own = records[records["role"].isin(ways) & (records["seed"] == records["seed"].min())]
    best = own.groupby("setting")["rmse"].min()
    floors: dict[tuple[bool, float, int], float] = {}
    chosen = []
    for _, row in own.drop_duplicates("setting").iterrows():
        config = config_of(row)
        kind = config.item_based, config.test_split_rate, int(row["seed"])
        if kind not in floors:
            floors[kind] = row_mean_rmse(ratings, *kind, validation=True) - learned
        if best[row["setting"]] <= floors[kind]:
            chosen.append((row["setting"], config.replace(centring=BY_ROWS)))
    return chosen


def rounding(dataset: str, records: pd.DataFrame, n_seeds: int = 1, **options: Any) -> Plan:
    """Measure the recommended lists of settings that have learned; re-fed outputs are rounded, and are not."""
    ratings = load_ratings(dataset, options.get("columns"), options.get("scale"))
    learned = choose_learned(records, ratings, (BY_ROWS,))
    plain = [(name, config) for name, config in learned if not config.dense_refeeding][:LISTED]
    settings = [Setting(name, config, NO_REFEEDING) for name, config in plain]
    for name, config in [(name, config) for name, config in learned if config.dense_refeeding][:LISTED]:
        settings.append(Setting(name, config, NOT_ROUNDED))
        settings.append(Setting(name, config.replace(dense_refeeding_rounding=True), ROUNDED))
    return Plan.repeat("rounding", dataset, ("holdout",), settings, n_seeds, measure=ListMeasure, **options)


def centring(dataset: str, records: pd.DataFrame, n_seeds: int = 1, **options: Any) -> Plan:
    """Score settings that have learned on test ratings, centred by row means and with 3 filled in."""
    ratings = load_ratings(dataset, options.get("columns"), options.get("scale"))
    settings = [
        Setting(name, config.replace(centring=way), way)
        for name, config in choose_learned(records, ratings)
        for way in (BY_ROWS, BY_THREE)
    ]
    return Plan.repeat("centring", dataset, ("holdout",), settings, n_seeds, **options)


def choices_tried(dataset: str, records: pd.DataFrame, n_seeds: int = 1, **options: Any) -> Plan:
    """Try every activation, optimizer and learning rate in item-based settings of a sweep on validation ratings.

    The settings are its first cheap ones with mean normalization, at the test split rate `RATE`.
    """
    ratings = load_ratings(dataset, options.get("columns"), options.get("scale"))
    bases: list[tuple[str, FlexConfig]] = []
    for _, row in records.drop_duplicates("run").iterrows():
        config = config_of(row).replace(test_split_rate=RATE)
        cheap = estimate_cost(config, ratings).seconds <= BASE_SECONDS
        if config.item_based and config.mean_normalization and cheap:
            bases.append((row["setting"], config))
    settings = [
        Setting(
            f"{name} {activation} {optimizer}",
            config.replace(activation=activation, optimizer=optimizer, learning_rate=rate),
            f"{rate:g}",
        )
        for name, config in bases[:BASES]
        for activation, optimizer, rate in product(ACTIVATIONS[:8], OPTIMIZERS[:4], LEARNING_RATES)
    ]
    return Plan.repeat("choices-tried", dataset, ("holdout",), settings, n_seeds, validation=True, **options)


def choices(dataset: str, records: pd.DataFrame, n_seeds: int = 1, **options: Any) -> Plan:
    """Score every activation and optimizer on test ratings, with the learning rate that validation ratings prefer.

    One that ends well with no learning rate is left out.
    """
    ended = records[(records["status"] == "ok") & (records["seed"] == records["seed"].min())]
    best = ended.sort_values("rmse", kind="stable").drop_duplicates("setting").sort_values("run")
    settings = [Setting(row["setting"], config_of(row)) for _, row in best.iterrows()]
    return Plan.repeat("choices", dataset, ("holdout",), settings, n_seeds, **options)


EXPERIMENTS: dict[str, Callable[..., Plan]] = {
    "table2": table2,
    "accuracy": accuracy,
    "best": own_best,
    "one-rate": one_rate,
    "screening": screening,
    "rounding": rounding,
    "centring": centring,
    "choices-tried": choices_tried,
    "choices": choices,
    "explore": explore,
    "courses": courses,
}
SWEEP = "sweep"
# What the settings of an experiment are chosen from: the records of another one, or of the sweep.
CHOSEN_FROM = {
    "best": SWEEP,
    "one-rate": SWEEP,
    "screening": SWEEP,
    "rounding": "screening",
    "centring": "screening",
    "choices-tried": SWEEP,
    "choices": "choices-tried",
}


def experiment(
    name: str, dataset: str, folder: Path | str | None = None, n_seeds: int | None = None, **options: Any
) -> Plan:
    """Make the plan of an experiment.

    Parameters
    ----------
    name
        A key of `EXPERIMENTS`.
    dataset
        As in `flexlib.load_ratings`.
    folder
        Where the records are that the experiments of `CHOSEN_FROM` choose from, unless `records` are given.
    n_seeds
        Splits of each setting; by default the experiment's own number.
    **options
        Of `flexlib.runs.plan.Plan`.

    Raises
    ------
    FlexError
        For an unknown experiment, and where there are no records to choose from.
    """
    if name not in EXPERIMENTS:
        raise FlexError(f"unknown experiment '{name}': known are {', '.join(EXPERIMENTS)}")
    if n_seeds is not None:
        options["n_seeds"] = n_seeds
    if name in CHOSEN_FROM and options.get("records") is None:
        source = CHOSEN_FROM[name]
        if folder is None:
            raise FlexError(f"experiment '{name}' chooses from a {source}: say in which folder its records are")
        file = sweep_name(dataset) if source == SWEEP else repetition_name(source, dataset)
        options["records"] = load_records(Path(folder) / f"{file}.parquet")
    return EXPERIMENTS[name](dataset, **options)
