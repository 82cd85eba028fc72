"""The runs that the study's chapters are made of: each experiment's `Plan`, by name."""

from itertools import product
from pathlib import Path

from flexlib.config import ACTIVATIONS, OPTIMIZERS, PIVOTS, PRESETS, FlexConfig, FlexError
from flexlib.datasets.loading import load_ratings
from flexlib.runs.cost import estimate_cost
from flexlib.runs.plan import Plan, sweep_name
from flexlib.runs.records import config_of, load_records
from flexstudy.references import row_mean_rmse

PROTOCOLS = ("released", "described", "holdout")


TABLE_2 = tuple(f"table2:{number}" for number in range(1, 11))


# From released to holdout, a field at a time. What a field changes depends on those before it.
STEPS = {
    "means": "row means from training ratings", "unseen_fallback": "a mean where a row or column is new",
    "test_input": "training ratings as input", "loss_entries": "loss over all observed ratings",
    "noise": "noise on the input too", "pad_first_pass": "no zero rows in the loss", "rounding": "the data's own scale",
}  # fmt: skip


_LEAK_FREE = {
    "means": "training", "unseen_fallback": "true", "test_input": "training", "loss_entries": "observed",
    "noise": "input-and-refed", "pad_first_pass": "false", "rounding": "scale",
}  # fmt: skip


# The leaks alone: each put back into a protocol without the other.
ALONE = {
    "neither leak": "released means=training unseen_fallback=true test_input=training",
    "means alone": "released test_input=training",
    "input alone": "released means=training unseen_fallback=true",
    "both leaks": "released",
}


BEST = 10  # of a sweep, as in Table 2


LISTED, CENTRED = 12, 48  # settings of a sweep whose lists are measured (with re-feeding, and without), or centring


LEARNED = 0.01  # stars below the row means' RMSE, from which on a network counts as having learned something


CHEAP_SECONDS = 4.0  # of the estimate of such a setting


# What the explorer changes, a grid at a time, in the paper's best setting; everything else stays as it is there.
EXPLORED = "table2:1"


GRIDS = {
    "settings": {"activation": ACTIVATIONS[:8], "optimizer": OPTIMIZERS[:4], "pivot_indexes": PIVOTS[::-1],
                 "mean_normalization": (True, False)},
    "learning_rate": {"learning_rate": (0.0001, 0.001, 0.005, 0.01, 0.1), "optimizer": OPTIMIZERS[:4]},
    "hidden_layers": {"hidden_layers": ((4,), (16,), (64,), (256,), (1024,), (64, 4), (4, 64), (256, 64, 4),
                                        (4, 64, 256), (64, 64, 64), (256, 128, 64, 32, 16), (16, 32, 64, 128, 256))},
    "dropout": dict.fromkeys(("drop_probability", "noise_probability"), (0.0, 0.2, 0.4, 0.6, 0.8)),
    "refeeding": {"dense_refeeding": (0, 1, 2, 3), "dense_refeeding_rounding": (False, True),
                  "prediction_rounding": (False, True)},
}  # fmt: skip


def ladder():
    """Protocol names from `released` to `holdout`, each with one more field of `STEPS` as holdout has it: step to name,
    the first of them "released". The last is `holdout` but for how test ratings are masked, which it does not do."""
    names, done = {"released": "released"}, "released"
    for step in STEPS:
        done = f"{done} {step}={_LEAK_FREE[step]}"
        names[step] = done
    return names


def table2(dataset, n_seeds=5, sets=TABLE_2, **options):
    """The paper's ten best (Table 2) under three protocols."""
    configs = [FlexConfig.preset(name) for name in sets]
    return Plan.repeat("table2", dataset, PROTOCOLS, configs, n_seeds, **options)


def accuracy(dataset, n_seeds=5, sets=TABLE_2, **options):
    """Table 2's sets on every step from released to holdout, and with each leak alone."""
    configs = [FlexConfig.preset(name) for name in sets]
    protocols = dict.fromkeys([*ladder().values(), *ALONE.values(), "holdout"])
    return Plan.repeat("accuracy", dataset, tuple(protocols), configs, n_seeds, **options)


def own_best(dataset, n_seeds=5, records=None, **options):
    """Our own ten best of a sweep under released, then under holdout, again on other splits."""
    chosen = [choose_best(records, protocol) for protocol in ("released", "holdout")]
    configs = [config_of(row) for table in chosen for _, row in table.iterrows()]
    return Plan.repeat("best", dataset, ("released", "holdout"), configs, n_seeds, **options)


def choose_best(records, protocol, n=BEST):
    """The n runs of a protocol with the lowest RMSE on the choosing half, lowest first; the other half, which was not
    looked at, is what they are reported on."""
    own = records[(records["protocol"] == protocol) & (records["status"] == "ok")]
    return own.nsmallest(n, "rmse_first_half")


def grid_cells(grid):
    """The cells of one of `GRIDS`, the last parameter running fastest: tuples of values to the cell's `FlexConfig`."""
    base, levels = FlexConfig.preset(EXPLORED), GRIDS[grid]
    return {cell: base.replace(**dict(zip(levels, cell, strict=True))) for cell in product(*levels.values())}


def explore(dataset, n_seeds=3, grids=tuple(GRIDS), **options):
    """Every cell of the explorer's grids, with and without the leak."""
    configs = dict.fromkeys(config for grid in grids for config in grid_cells(grid).values())
    return Plan.repeat("explore", dataset, ("released", "holdout"), configs, n_seeds, **options)


def courses(dataset, n_seeds=1, presets=tuple(PRESETS), **options):
    """One run of each preset under three protocols, from its learning curve to its recommended lists."""
    configs = [FlexConfig.preset(name) for name in presets]
    return Plan.repeat("courses", dataset, PROTOCOLS, configs, n_seeds, detail="course", **options)


def rounding(dataset, n_seeds=3, records=None, **options):
    """The recommended lists of a sweep's settings, those with re-feeding with and without its rounding (DeFR)."""
    ratings = load_ratings(dataset, options.get("columns"), options.get("scale"))
    configs = []
    for refeeding in (False, True):
        for config in choose_usable(records, ratings, refeeding):
            switches = (False, True) if refeeding else (False,)
            configs += [config.replace(dense_refeeding_rounding=on) for on in switches]
    return Plan.repeat("rounding", dataset, ("holdout",), configs, n_seeds, detail="lists", **options)


def choose_usable(records, ratings, refeeding, n=LISTED):
    """Of a sweep's settings with or without re-feeding the first n that have learned something under `holdout` and are
    estimated at `CHEAP_SECONDS` or less, with both roundings off. Learned: the RMSE on the choosing half is `LEARNED`
    or more below that of the row means."""
    own = records[(records["protocol"] == "holdout") & (records["status"] == "ok")]
    own = own[(own["dense_refeeding"] > 0) == refeeding]
    floors = {
        (pivot, rate): row_mean_rmse(ratings, pivot == "[1, 0]", rate) - LEARNED
        for pivot, rate in own[["pivot_indexes", "test_split_rate"]].drop_duplicates().itertuples(index=False)
    }
    off, configs = {"prediction_rounding": False, "dense_refeeding_rounding": False}, []
    for _, row in own.iterrows():
        config = config_of(row).replace(**off)
        if row["rmse_first_half"] <= floors[row["pivot_indexes"], row["test_split_rate"]] and _is_cheap(
            config, ratings
        ):
            configs.append(config)
    return configs[:n]


def _is_cheap(config, ratings):
    return estimate_cost(config, ratings).seconds <= CHEAP_SECONDS


def centring(dataset, n_seeds=3, records=None, **options):
    """A sweep's first cheap settings, each centred by row means and with missing entries filled with 3."""
    ratings = load_ratings(dataset, options.get("columns"), options.get("scale"))
    configs = [config_of(row) for _, row in records.drop_duplicates("run").iterrows()]
    cheap = [config.replace(mean_normalization=True) for config in configs if _is_cheap(config, ratings)][:CENTRED]
    configs = [config.replace(centring=way) for config in cheap for way in ("rows", "three")]
    return Plan.repeat("centring", dataset, ("holdout",), configs, n_seeds, **options)


# Each takes the data set and the number of seeds; `records`, of a sweep, where it chooses from them.
EXPERIMENTS = {
    "table2": table2, "accuracy": accuracy, "best": own_best, "rounding": rounding, "centring": centring,
    "explore": explore, "courses": courses,
}  # fmt: skip


_OF_A_SWEEP = ("best", "rounding", "centring")


def experiment(name, dataset, folder=None, n_seeds=None, **options):
    """The `Plan` of an experiment. folder: where the sweep's records are that "best" and "rounding" choose from.

    Raises `FlexError` for an unknown experiment, and where there is no such sweep.
    """
    if name not in EXPERIMENTS:
        raise FlexError(f"unknown experiment '{name}': known are {', '.join(EXPERIMENTS)}")
    if n_seeds is not None:
        options["n_seeds"] = n_seeds
    if name in _OF_A_SWEEP and "records" not in options:
        if folder is None:
            raise FlexError(f"experiment '{name}' chooses from a sweep: say in which folder its records are")
        options["records"] = load_records(Path(folder) / f"{sweep_name(dataset)}.parquet")
    return EXPERIMENTS[name](dataset, **options)
