"""What each parameter explains of how random settings rank, and each pair of parameters beyond that.

A functional ANOVA of a random forest, fitted to the rank of RMSE (`flexstudy.effects.rank_runs`), with intervals from a
bootstrap over runs and with what chance alone would reach.

References
----------
Hutter, Hoos and Leyton-Brown (2014).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import create_trial
from tqdm import tqdm

from flexlib.config import FlexError
from flexstudy.anova import TREES, ForestAnova
from flexstudy.effects import epsilon_squared, rank_runs
from flexstudy.statistics import TOO_FEW
from flexstudy.style import COLOURS, legend_below, words_of

# By Table 1's abbreviation. The order decides how the forests come out, and must not change.
PARAMETER_FACTORS = {
    "LR": "learning_rate",
    "WeD": "weight_decay",
    "DrP": "drop_probability",
    "NoP": "noise_probability",
    "TBS": "train_batch_size",
    "TMR": "test_masking_rate",
    "Ep": "epochs",
    "Opt": "optimizer",
    "Act": "activation",
    "DeF": "dense_refeeding",
    "DeFR": "dense_refeeding_rounding",
    "DeC": "decoder_constraint",
    "MeN": "mean_normalization",
    "PrR": "prediction_rounding",
    "PI": "pivot_indexes",
    "TSR": "test_split_rate",
    "OuA": "output_activation",
    "LSA": "loss_size_average",
}
LEAF = 5  # runs in a leaf at least, so that the forest does not learn single runs by heart
FACTOR_WORDS = {
    "LR": "learning rate",
    "WeD": "weight decay",
    "DrP": "dropout",
    "NoP": "noise",
    "TBS": "batch size",
    "TMR": "test masking",
    "Ep": "epochs",
    "Opt": "optimizer",
    "Act": "activation",
    "DeF": "re-feedings",
    "DeFR": "re-feeding rounding",
    "DeC": "tied weights",
    "MeN": "mean normalization",
    "PrR": "prediction rounding",
    "PI": "pivot",
    "TSR": "test split rate",
    "OuA": "output activation",
    "LSA": "loss size average",
    "layers": "hidden layers",
    "width": "widest layer",
    "order": "order of layers",
}


class Importance(NamedTuple):
    """What an analysis of one protocol's runs gives: three tables, shares between 0 and 1.

    Parameters
    ----------
    mains
        Main effects, largest first. Columns:

        - factor: abbreviation, or "layers", "width" or "order" of the hidden layers
        - share: of the variance of the forest
        - low, high: 95 % interval, by bootstrap over runs
        - noise: 95th percentile of the largest share but that of the first factor, by permutation
        - direct: share of the variance of the ranks themselves, without a forest (`epsilon_squared`)
        - optuna: share by Optuna's evaluator; NaN for a factor of one level
    pairs
        Effects of two factors beyond their main effects, largest first. Columns:

        - one, other: the factors
        - share, low, high: as of main effects
        - noise: 95th percentile of the largest pair's share, by permutation
    dependence
        Columns:

        - factor, level: a value of the factor
        - value: mean rank there, all other factors averaged out; 0 is best, 1 worst
        - low, high: 95 % interval, by bootstrap over runs
    """

    mains: pd.DataFrame
    pairs: pd.DataFrame
    dependence: pd.DataFrame


def factor_levels(records: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, list[Any]]]:
    """Read each run's settings as levels of factors.

    Hidden layers are three factors: how many (layers), the widest (width), and their order.

    Parameters
    ----------
    records
        Of any runs.

    Returns
    -------
    codes
        A column a factor, by the index of the records: the place of the run's level, from 0.
    levels
        Factor to its levels that occur, in ascending order; words in alphabetical order.
    """
    raw = {short: records[name] for short, name in PARAMETER_FACTORS.items()}
    layers = records["hidden_layers"].map(json.loads)
    raw |= {"layers": layers.map(len), "width": layers.map(max), "order": layers.map(_order)}
    codes, levels = {}, {}
    for name, values in raw.items():
        codes[name], kinds = pd.factorize(np.asarray(values), sort=True)
        levels[name] = kinds.tolist()
    return pd.DataFrame(codes, index=records.index), levels


def _order(sizes: list[int]) -> str:
    if len(sizes) == 1:
        return "one layer"
    if sizes == sorted(sizes):
        return "rising"
    return "falling" if sizes == sorted(sizes, reverse=True) else "mixed"


def measure_importance(
    records: pd.DataFrame, protocol: str, resamples: int = 100, trees: int = 32, seed: int = 0
) -> Importance:
    """Measure what each factor explains of the rank of RMSE, over a grid in which all its levels count alike.

    Chance is measured with the first factor's effect left in place: outcomes are permuted among runs with the same
    level of it.

    Parameters
    ----------
    records
        Of a sweep.
    protocol
        Whose runs are analysed.
    resamples
        Forests of the bootstrap, and as many of permuted outcomes.
    trees
        Of each forest.
    seed
        Of the forest, the bootstrap and the permutations.

    Returns
    -------
    Importance
        Main effects, pairs and dependence.

    Raises
    ------
    FlexError
        For fewer than two runs.
    """
    made, rank = rank_runs(records, protocol)
    if len(made) < 2:
        raise FlexError(f"{protocol}: {len(made)} runs rank nothing; {TOO_FEW}")
    codes, levels = factor_levels(made)
    ranks, everyone = rank.to_numpy(), np.arange(len(made))

    def grow(rows: NDArray[np.integer], values: NDArray[np.float64], number: int) -> ForestAnova:
        return ForestAnova(codes.iloc[rows], levels, values, number, trees, leaf=LEAF)

    whole = grow(everyone, ranks, seed)
    first = str(whole.main_effects().idxmax())
    alike = [np.flatnonzero(codes[first] == level) for level in range(len(levels[first]))]
    drawn, permuted = [], []
    rng = np.random.default_rng(seed)
    for number in tqdm(range(resamples), desc=f"forests, {protocol}"):
        rows, mixed = rng.integers(len(made), size=len(made)), ranks.copy()
        for group in alike:
            mixed[group] = ranks[rng.permutation(group)]
        drawn.append(grow(rows, ranks[rows], number))
        permuted.append(grow(everyone, mixed, number))
    mains = _with_intervals(
        whole.main_effects(),
        [forest.main_effects() for forest in drawn],
        [forest.main_effects().drop(first) for forest in permuted],
    )
    mains["direct"] = pd.Series({name: epsilon_squared(ranks, codes[name].to_numpy()) for name in levels})
    mains["optuna"] = optuna_shares(codes, levels, ranks)
    pairs = _with_intervals(
        whole.pair_effects(),
        [forest.pair_effects() for forest in drawn],
        [forest.pair_effects() for forest in permuted],
    )
    return Importance(
        mains.rename_axis("factor").reset_index(),
        pairs.rename_axis(["one", "other"]).reset_index(),
        pd.concat([_dependence(name, levels[name], whole, drawn) for name in levels], ignore_index=True),
    )


def _with_intervals(whole: pd.Series, drawn: Sequence[pd.Series], permuted: Sequence[pd.Series]) -> pd.DataFrame:
    low, high = np.quantile(pd.DataFrame(drawn), [0.025, 0.975], axis=0)
    table = pd.DataFrame({"share": whole, "low": low, "high": high})
    table["noise"] = float(np.quantile(pd.DataFrame(permuted).max(axis=1), 0.95))
    return table.sort_values("share", ascending=False)


def _dependence(name: str, levels: list[Any], whole: ForestAnova, drawn: Sequence[ForestAnova]) -> pd.DataFrame:
    low, high = np.quantile([forest.dependence(name) for forest in drawn], [0.025, 0.975], axis=0)
    known = {"factor": name, "level": pd.Series(levels, dtype=object), "value": whole.dependence(name)}
    return pd.DataFrame(known | {"low": low, "high": high})


def optuna_shares(codes: pd.DataFrame, levels: Mapping[str, Sequence[Any]], values: Iterable[float]) -> pd.Series:
    """Measure main effects by Optuna's `FanovaImportanceEvaluator`, for comparison.

    It takes levels for numbers on a line, so that those at its ends count half.

    Parameters
    ----------
    codes, levels
        As `factor_levels` gives them.
    values
        (n,) what is explained.

    Returns
    -------
    pd.Series
        Share by factor, without factors of one level.
    """
    known: dict[str, BaseDistribution] = {
        name: FloatDistribution(0, len(levels[name]) - 1) for name in levels if len(levels[name]) > 1
    }
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    columns = {name: codes[name].astype(float).tolist() for name in known}
    for place, value in enumerate(values):
        params = {name: column[place] for name, column in columns.items()}
        study.add_trial(create_trial(params=params, distributions=known, value=float(value)))
    return pd.Series(FanovaImportanceEvaluator(n_trees=TREES, seed=0).evaluate(study), dtype=float)


# Columns of `Importance` for reading, in the units of the second part.
_HEADS = {
    "factor": "parameter",
    "share": "share (%)",
    "noise": "by chance (%)",
    "direct": "share without a forest (%)",
    "optuna": "share by Optuna (%)",
    "value": "mean rank (%)",
    "low": "from (%)",
    "high": "to (%)",
}


def for_reading(importances: Mapping[str, Importance], part: str) -> pd.DataFrame:
    """Lay a part of the analyses out for reading, protocols one below the other, in words and per cent.

    Parameters
    ----------
    importances
        By protocol.
    part
        "mains", "pairs" or "dependence".

    Returns
    -------
    pd.DataFrame
        By protocol, the columns of that part of `Importance`.
    """
    tables = []
    for protocol, found in importances.items():
        table = getattr(found, part)
        named = {name: table[name].map(FACTOR_WORDS) for name in ("factor", "one", "other") if name in table}
        scaled = {name: 100 * table[name] for name in _HEADS if name != "factor" and name in table}
        shown = table.assign(**named, **scaled, protocol=words_of(protocol))
        tables.append(shown.set_index("protocol").rename(columns=_HEADS))
    return pd.concat(tables)


def importance_numbers(importances: Mapping[str, Importance]) -> dict[str, Any]:
    """Name the numbers that the chapter's prose says about importance.

    Parameters
    ----------
    importances
        By protocol.

    Returns
    -------
    dict
        Name to number or text, each ending in the protocol. Of the factors that explain most without a forest,
        `main1` and `main2`: _factor, in words, and _direct, in per cent. factors: how many there are. above: how many
        of them the forest gives more than chance would.
    """
    numbers: dict[str, Any] = {}
    for protocol, (mains, _, _) in importances.items():
        largest = mains.sort_values("direct", ascending=False).head(2)
        for place, row in enumerate(largest.to_dict("records"), start=1):
            name = f"main{place}_{protocol}"
            numbers |= {f"{name}_factor": FACTOR_WORDS[row["factor"]], f"{name}_direct": 100 * row["direct"]}
        above = mains["share"] > mains["noise"]
        numbers |= {f"factors_{protocol}": len(mains), f"above_{protocol}": int(above.sum())}
    return numbers


def plot_importance(
    mains: Mapping[str, pd.DataFrame], dataset: str, n: Mapping[str, int], most: int = 8, leading: str = "holdout"
) -> Figure:
    """Draw the largest main effects by protocol, with 95 % intervals and what chance alone would reach.

    Parameters
    ----------
    mains
        Protocol to main effects.
    dataset
        For the title.
    n
        Protocol to the number of runs.
    most
        How many factors are drawn: those with the largest share under any protocol.
    leading
        The protocol whose order is the figure's, and that its title is about.
    """
    shares = pd.DataFrame({name: table.set_index("factor")["share"] for name, table in mains.items()})
    chosen = shares.max(axis=1).nlargest(most).index
    order = shares.loc[chosen, leading].sort_values(ascending=False, kind="stable")
    height = 2.6 + 0.42 * len(order)
    figure, ax = plt.subplots(figsize=(6.5, height))
    for place, (protocol, table) in enumerate(mains.items()):
        own, colour = table.set_index("factor").loc[order.index], COLOURS[protocol]
        spread = np.maximum([own["share"] - own["low"], own["high"] - own["share"]], 0)
        y = np.arange(len(order)) + 0.34 * (place - (len(mains) - 1) / 2)
        words = f"{words_of(protocol)}, n = {n[protocol]}"
        style: dict[str, Any] = {"color": colour, "markersize": 6}
        ax.errorbar(100 * own["share"], y, xerr=100 * spread, fmt="os"[place % 2], capsize=3, label=words, **style)
        ax.plot(100 * own["direct"].clip(lower=0), y, "os"[place % 2], fillstyle="none", **style)
        ax.axvline(100 * own["noise"].iloc[0], color=colour, linestyle=":", linewidth=1.5)
    first, second = (100 * order.iloc[:2]).tolist()
    title = f"{FACTOR_WORDS[order.index[0]].capitalize()} explains {first:.0f} %, the next parameter {second:.0f} %"
    title = title if first else f"No parameter explains anything: {TOO_FEW}"
    ax.set(
        title=f"{title}\n{dataset}, {words_of(leading)}",
        yticks=range(len(order)),
        xlabel="share of the variance of the ranks (%), square-root scale",
    )
    ax.set_yticklabels([FACTOR_WORDS[name] for name in order.index])
    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ax.set_xlim(0, None)
    ax.set_xticks([tick for tick in (0, 1, 5, 10, 20, 40, 60, 80) if tick <= ax.get_xlim()[1]])
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    words = "open: without a forest; dotted: reached by chance"
    legend_below(ax, down=0.95 / height, title=words, title_fontsize="small", alignment="left")
    return figure
