"""The chapter on parameters: correlations, what an ANOVA of a forest says of each, and the paper's claims, tested."""

import itertools
import json
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
from optuna.distributions import FloatDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import create_trial
from scipy import stats
from tqdm import tqdm

from flexlib.config import FlexConfig
from flexlib.runs.sampling import SPACES, sample_config
from flexstudy.anova import TREES, ForestAnova
from flexstudy.paper import FIGURE_4
from flexstudy.plans import LEARNED
from flexstudy.references import row_mean_rmse
from flexstudy.repetitions import by_setting
from flexstudy.statistics import bootstrap, holm, labelled, median_interval, signed_rank_p, spearman, spelled, spelled_p
from flexstudy.style import COLOURS, _legend_below, words_of

_FIELDS = {row["parameter"]: row["abbreviation"] for row in FlexConfig().describe()}


RMSE = "RMSE"


def printed_matrix():
    """Figure 4 as the paper prints it: a symmetric table by abbreviation, RMSE last."""
    names, rows = FIGURE_4["order"], FIGURE_4["upper"]
    matrix = pd.DataFrame(np.eye(len(names)), names, names)
    for name, values in rows.items():
        others = names[names.index(name) + 1 :]
        matrix.loc[name, others] = matrix.loc[others, name] = values
    return matrix


def logged_matrix(report, method="pearson"):
    """The same of the authors' own log, from the committed summary (`flexlib.replay.summarise_authors`)."""
    full = pd.DataFrame(report["authors"]["correlations"][method]).astype(float)
    full = full.rename(index=_short, columns=_short)
    return full.loc[FIGURE_4["order"], FIGURE_4["order"]]


def _short(name):
    return RMSE if name == "rmse" else _FIELDS[name]


def measured_matrix(records, protocol):
    """The same of our records under a protocol, over the runs that ended well, and how many they are."""
    own = records[(records["protocol"] == protocol) & (records["status"] == "ok")]
    return _numeric(own).assign(**{RMSE: own["rmse"]})[FIGURE_4["order"]].corr(), len(own)


def _numeric(records):
    return records[list(_FIELDS)].select_dtypes(["number", "bool"]).astype(float).rename(columns=_short)


def cells_that_do_not_follow(printed, logged, more_than=None):
    """The pairs of Figure 4 whose printed value is further than `more_than` (`TOLERANCE`) from the correlation in the
    log: a table of one, other, printed, logged, difference, largest first. Of the same runs they would agree."""
    rows = []
    for one, other in itertools.combinations(printed.index, 2):
        values = printed.loc[one, other], logged.loc[one, other]
        rows.append({"one": one, "other": other, "printed": values[0], "logged": values[1]})
    table = pd.DataFrame(rows)
    table["difference"] = table["printed"] - table["logged"]
    table = table[table["difference"].abs() > (TOLERANCE if more_than is None else more_than)]
    return table.iloc[np.argsort(-table["difference"].abs().to_numpy(), kind="stable")]


def strongest_pairs(matrix, n=5):
    """The n pairs of parameters (RMSE aside) with the strongest correlation, strongest first, as a Series."""
    inner = matrix.drop(index=RMSE, columns=RMSE)
    pairs = inner.where(np.triu(np.ones(inner.shape, bool), 1)).stack()
    return pairs.iloc[np.argsort(-pairs.abs().to_numpy(), kind="stable")][:n]


FACTORS = {
    "LR": "learning_rate", "WeD": "weight_decay", "DrP": "drop_probability", "NoP": "noise_probability",
    "TBS": "train_batch_size", "TMR": "test_masking_rate", "Ep": "epochs", "Opt": "optimizer", "Act": "activation",
    "DeF": "dense_refeeding", "DeFR": "dense_refeeding_rounding", "DeC": "decoder_constraint",
    "MeN": "mean_normalization", "PrR": "prediction_rounding", "PI": "pivot_indexes", "TSR": "test_split_rate",
    "OuA": "output_activation", "LSA": "loss_size_average",
}  # fmt: skip


def factors(records):
    """Each run's settings as levels: a table of whole codes by abbreviation, and the levels' names.

    Hidden layers (HLs) become three factors: how many (layers), the widest (width) and the order. Levels are those that
    occur, in ascending order; words are in alphabetical order.
    """
    raw = {short: records[name] for short, name in FACTORS.items()}
    layers = records["hidden_layers"].map(json.loads)
    raw |= {"layers": layers.map(len), "width": layers.map(max), "order": layers.map(_order)}
    codes, levels = {}, {}
    for name, values in raw.items():
        codes[name], kinds = pd.factorize(np.asarray(values), sort=True)
        levels[name] = kinds.tolist()
    return pd.DataFrame(codes, index=records.index), levels


def _order(sizes):
    if len(sizes) == 1:
        return "one layer"
    return "rising" if sizes == sorted(sizes) else "falling" if sizes == sorted(sizes)[::-1] else "mixed"


def scored(records, protocol):
    """The runs made under a protocol, and their RMSE as it scores them: of a run that diverged that of its predictions
    where they are finite nevertheless, as where the released code makes stars of NaN; otherwise infinite, the worst."""
    made = records[(records["protocol"] == protocol) & records["status"].isin(["ok", "diverged"])]
    return made, made["rmse"].fillna(made["rmse_of_diverged"]).fillna(np.inf)


def outcome(records, protocol):
    """What the analyses of the fresh sample explain: the runs made under a protocol, and the share of them with a lower
    RMSE (0 to 1, ties halfway), by `scored`. A table of records and a Series."""
    made, rmse = scored(records, protocol)
    return made, pd.Series((stats.rankdata(rmse) - 1) / max(len(made) - 1, 1), made.index)


def importance(records, protocol, resamples=100, trees=32, seed=0):
    """Functional ANOVA of the rank of RMSE (`outcome`) over `factors`: shares of the variance of a forest fitted to it,
    over a grid in which every level of every factor counts alike.

    Returns three tables. Main effects: factor, share, low, high (95 %, bootstrap over runs), noise, what the largest of
    all factors but the first would stay below in 95 % of samples if none of them mattered (outcomes permuted among runs
    with the same level of the first), direct (share of the variance of the rank itself between the factor's levels,
    without a forest, by `_epsilon_squared`), and optuna, the share that Optuna's evaluator finds. Pairs: one, other,
    share, low, high, noise. Dependence: factor, level, value, low, high, in units of rank (0 best, 1 worst).
    """
    made, rank = outcome(records, protocol)
    codes, levels = factors(made)
    rng, rank = np.random.default_rng(seed), rank.to_numpy()

    def forest(rows, values, number):
        return ForestAnova(codes.iloc[rows], levels, values, number, trees, leaf=LEAF)

    everyone = np.arange(len(made))
    whole = forest(everyone, rank, seed)
    first = whole.main_effects().idxmax()
    groups = [np.flatnonzero(codes[first] == level) for level in range(len(levels[first]))]
    drawn = {"bootstrap": [], "permuted": []}
    for number in tqdm(range(resamples), desc=f"forests, {protocol}"):
        rows, mixed = rng.integers(len(made), size=len(made)), rank.copy()
        for group in groups:
            mixed[group] = rank[rng.permutation(group)]
        drawn["bootstrap"].append(forest(rows, rank[rows], number))
        drawn["permuted"].append(forest(everyone, mixed, number))
    mains = _with_intervals(whole.main_effects(), *([f.main_effects() for f in drawn[kind]] for kind in drawn), first)
    pairs = _with_intervals(whole.pair_effects(), *([f.pair_effects() for f in drawn[kind]] for kind in drawn), None)
    direct = {name: _epsilon_squared(rank, codes[name].to_numpy()) for name in codes}
    mains = mains.assign(direct=pd.Series(direct), optuna=optuna_shares(codes, levels, rank))
    mains = mains.rename_axis("factor").reset_index()
    pairs = pairs.rename_axis(["one", "other"]).reset_index()
    rows = []
    for name in codes:
        spread = np.quantile([tree.dependence(name) for tree in drawn["bootstrap"]], [0.025, 0.975], axis=0)
        values = zip(levels[name], whole.dependence(name), *spread, strict=True)
        rows += [dict(zip(("factor", "level", "value", "low", "high"), (name, *row), strict=True)) for row in values]
    return mains, pairs, pd.DataFrame(rows)


LEAF = 5  # runs in a leaf at least, so that the forest does not learn single runs by heart


def optuna_shares(codes, levels, values):
    """Main effects by Optuna's `FanovaImportanceEvaluator`, for comparison: a Series by factor. It takes levels for
    numbers on a line, so that those at its ends count half."""
    known = {name: FloatDistribution(0, len(levels[name]) - 1) for name in codes if len(levels[name]) > 1}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    rows = zip(codes[list(known)].astype(float).to_dict("records"), values, strict=True)
    study.add_trials([create_trial(params=row, distributions=known, value=float(value)) for row, value in rows])
    return pd.Series(FanovaImportanceEvaluator(n_trees=TREES, seed=0).evaluate(study), dtype=float)


def _with_intervals(whole, bootstrap, permuted, first):
    low, high = np.quantile(pd.DataFrame(bootstrap), [0.025, 0.975], axis=0)
    others = pd.DataFrame(permuted).drop(columns=[] if first is None else first)
    table = pd.DataFrame({"share": whole, "low": low, "high": high})
    table["noise"] = float(np.quantile(others.max(axis=1), 0.95))
    return table.sort_values("share", ascending=False)


def superiority(with_it, without):
    """The probability that a run with something has a lower RMSE than one without, ties counted half: (n,), (m,) ranks
    or RMSE, infinite where diverged."""
    if not len(with_it) or not len(without):
        return float("nan")
    ranks = stats.rankdata(np.concatenate([with_it, without]))
    wins = len(with_it) * len(without) + len(with_it) * (len(with_it) + 1) / 2 - ranks[: len(with_it)].sum()
    return float(wins / (len(with_it) * len(without)))


_USER, _ITEM = "[0, 1]", "[1, 0]"


# The paper's claims on parameters: a key, its number in the list of claims, the runs looked at, and what is compared.
CLAIMS = (
    ("user_adam", 3, "user-based: ADAM, against other optimizers", lambda t: t["pivot_indexes"] == _USER,
     lambda t: t["optimizer"] == "adam"),
    ("user_selu", 3, "user-based: SELU, against other activations", lambda t: t["pivot_indexes"] == _USER,
     lambda t: t["activation"] == "selu"),
    ("user_refeeding", 3, "user-based: one re-feeding, against none or more", lambda t: t["pivot_indexes"] == _USER,
     lambda t: t["dense_refeeding"] == 1),
    ("user_men", 3, "user-based: mean normalization", lambda t: t["pivot_indexes"] == _USER,
     lambda t: t["mean_normalization"]),
    ("prr", 5, "prediction rounding (PrR)", lambda t: t["pivot_indexes"] != "", lambda t: t["prediction_rounding"]),
    ("defr", 5, "re-feeding rounding (DeFR), where re-fed", lambda t: t["dense_refeeding"] > 0,
     lambda t: t["dense_refeeding_rounding"]),
    ("dropout", 6, "some dropout (DrP)", lambda t: t["pivot_indexes"] != "", lambda t: t["drop_probability"] > 0),
    ("noise", 6, "some noise (NoP)", lambda t: t["pivot_indexes"] != "", lambda t: t["noise_probability"] > 0),
    ("high_dropout", 6, "dropout of 0.5 or more, against less but some", lambda t: t["drop_probability"] > 0,
     lambda t: t["drop_probability"] >= 0.5),
    ("high_noise", 6, "noise of 0.5 or more, against less but some", lambda t: t["noise_probability"] > 0,
     lambda t: t["noise_probability"] >= 0.5),
    ("men", 9, "mean normalization (MeN), all runs", lambda t: t["pivot_indexes"] != "",
     lambda t: t["mean_normalization"]),
    ("men_item", 9, "mean normalization (MeN), item-based", lambda t: t["pivot_indexes"] == _ITEM,
     lambda t: t["mean_normalization"]),
)  # fmt: skip


def check_claims(records, protocol, resamples=1000, seed=0):
    """Each of `CLAIMS` on the fresh sample: key, claim, what, protocol, n_with, n_without, diverged_with and
    diverged_without (how many of these), effect (`superiority`: above 0.5 where it goes with a lower RMSE), low, high
    (95 %, bootstrap), p (Mann-Whitney, Holm's correction)."""
    rng, rows = np.random.default_rng(seed), []
    for key, claim, what, among, has in CLAIMS:
        made, rmse = scored(records[among(records)], protocol)
        mask, lost = has(made).to_numpy(bool), (made["status"] == "diverged").to_numpy()
        one, other = rmse[mask].to_numpy(), rmse[~mask].to_numpy()
        known = {
            "key": key, "claim": claim, "what": what, "protocol": protocol, "n_with": len(one),
            "n_without": len(other), "diverged_with": int(lost[mask].sum()), "diverged_without": int(lost[~mask].sum()),
        }  # fmt: skip
        drawn = [superiority(rng.choice(one, len(one)), rng.choice(other, len(other)))
                 for _ in range(resamples if len(one) and len(other) else 0)]  # fmt: skip
        low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (np.nan, np.nan)
        p = stats.mannwhitneyu(one, other).pvalue if drawn else np.nan
        rows.append(known | {"effect": superiority(one, other), "low": low, "high": high, "p": p})
    return pd.DataFrame(rows).assign(p=lambda table: holm(table["p"]))


def low_user_based_runs(records, protocol, limit=0.91):
    """Claim 3 to the letter: of the user-based runs that ended well, those with an RMSE of at most `limit`, and how
    many have what the paper says is most common among them. A row a trait: protocol, trait, low (how many have it),
    n_low, share_low, other (share of the other runs that have it), p (Fisher's exact test, Holm's correction)."""
    own = records[(records["protocol"] == protocol) & (records["status"] == "ok")]
    own = own[own["pivot_indexes"] == _USER]
    is_low, rows = own["rmse"] <= limit, []
    for key, _, what, _, has in CLAIMS:
        if key.startswith("user_"):
            mask = has(own)
            counts = [[int((mask & side).sum()), int((~mask & side).sum())] for side in (is_low, ~is_low)]
            shares = [with_it / (with_it + without) if with_it + without else np.nan for with_it, without in counts]
            known = {"protocol": protocol, "trait": what.partition(": ")[2].partition(",")[0], "low": counts[0][0]}
            known |= {"n_low": int(is_low.sum()), "share_low": shares[0], "other": shares[1]}
            rows.append(known | {"p": stats.fisher_exact(counts).pvalue})
    return pd.DataFrame(rows).assign(p=lambda table: holm(table["p"]))


def far_off(records, protocol):
    """The runs made without mean normalization (off) whose RMSE is above 3 stars by `scored` (above_3): how many of
    these diverged, how many of the others are above 4 stars, and the rest (between)."""
    made, rmse = scored(records[~records["mean_normalization"]], protocol)
    lost, far, high = made["status"] == "diverged", rmse > 3, rmse > 4
    sides = {"above_3": far, "diverged": far & lost, "above_4": high & ~lost, "between": far & ~high & ~lost}
    return {"off": len(made)} | {f"off_{name}": int(side.sum()) for name, side in sides.items()}


def without_both(records, protocol, best=0.1):
    """Claim 6 turned round: are runs with neither dropout nor noise rarer among the best tenth of the runs made? A
    mapping: best (how many of the `n_best` have neither), other (share of the others that have neither, in per cent),
    share (of the best, in per cent), p (Fisher's exact test)."""
    made, rmse = scored(records, protocol)
    neither = ((made["drop_probability"] == 0) & (made["noise_probability"] == 0)).to_numpy()
    good = stats.rankdata(rmse, method="min") <= max(1, round(best * len(made)))
    counts = [[int((neither & side).sum()), int((~neither & side).sum())] for side in (good, ~good)]
    shares = [100 * one / max(one + other, 1) for one, other in counts]
    known = {"best": counts[0][0], "n_best": int(good.sum()), "share": shares[0], "other": shares[1]}
    return known | {"p": float(stats.fisher_exact(counts).pvalue)}


def choices_matter(records, protocols=("released", "holdout"), resamples=500):
    """Claim 7: how much of the rank of RMSE the choice of activation or optimizer explains among runs of a pivot, mean
    normalization on. A row each: protocol, parameter, pivot, n, share, low, high, p. The share is epsilon squared of
    Kruskal and Wallis' test (0 is what chance gives on average, 1 all), its interval by bootstrap less the bootstrap's
    own bias; p by Holm's correction over the table."""
    rows, names = [], {_USER: "user-based", _ITEM: "item-based"}
    for protocol, parameter, pivot in itertools.product(protocols, ("activation", "optimizer"), names):
        made, rmse = scored(records[(records["pivot_indexes"] == pivot) & records["mean_normalization"]], protocol)
        groups, rmse = made[parameter].to_numpy(), rmse.to_numpy()
        known = {"protocol": protocol, "parameter": parameter, "pivot": names[pivot], "n": len(rmse)}
        share, p = (_epsilon_squared(rmse, groups) if len(rmse) else np.nan), np.nan
        if np.isfinite(share):
            parts = [rmse[groups == group] for group in np.unique(groups)]
            p = stats.kruskal(*parts).pvalue if len(parts) > 1 else np.nan
        rng, drawn = np.random.default_rng(0), []
        for _ in range(resamples if np.isfinite(p) else 0):
            picked = rng.integers(len(rmse), size=len(rmse))
            drawn.append(_epsilon_squared(rmse[picked], groups[picked]))
        low = high = np.nan
        if np.isfinite(p):
            low, high = np.nanquantile(drawn, [0.025, 0.975]) - (np.nanmean(drawn) - share)
        rows.append(known | labelled("share", (share, low, high)) | {"p": p})
    return pd.DataFrame(rows).assign(p=lambda table: holm(table["p"]))


def _epsilon_squared(values, groups):
    """The share of the variance of the ranks of (n,) values between groups, less what chance gives so many groups: on
    average 0 where these do not differ."""
    ranks, kinds = stats.rankdata(values), np.unique(groups)
    parts = [ranks[groups == kind] for kind in kinds]
    between = sum(len(part) * (part.mean() - ranks.mean()) ** 2 for part in parts)
    total = ((ranks - ranks.mean()) ** 2).sum()
    if not total or len(ranks) <= len(kinds):
        return np.nan
    return 1 - (1 - between / total) * (len(ranks) - 1) / (len(ranks) - len(kinds))


def mixed_design(n_random, n_single, seed=0):
    """Correlations of the parameters alone in a sample of which `n_random` settings are drawn from the paper's space
    and `n_single` differ from the default in one parameter at most: a matrix by abbreviation. It needs no run."""
    rng = np.random.default_rng([seed, 0xDE5])
    names = [
        name for name in SPACES["paper"] if name not in ("output_activation", "loss_size_average", "pivot_indexes")
    ]
    settings = [sample_config("paper", seed, k).to_dict() for k in range(n_random)]
    for k in range(n_single):
        name = names[rng.integers(len(names))]
        drawn = sample_config("paper", seed, n_random + k).to_dict()
        settings.append(FlexConfig().to_dict() | {name: drawn[name]})
    numeric = pd.DataFrame(settings).select_dtypes(["number", "bool"]).astype(float).rename(columns=_short)
    return numeric[[name for name in FIGURE_4["order"] if name != RMSE]].corr()


def cells_agreement(one, other):
    """How alike two matrices are in the cells of pairs of parameters (RMSE aside): Pearson correlation of the cells."""
    names = [name for name in one.index if name != RMSE]
    upper = np.triu_indices(len(names), 1)
    return float(np.corrcoef(one.loc[names, names].to_numpy()[upper], other.loc[names, names].to_numpy()[upper])[0, 1])


def centring_effects(records, ratings):
    """Claim 9 in pairs: each setting of the experiment "centring" by row means against the same with missing entries
    filled with 3, on the same splits. Two groups of settings: all, and those that have learned, with which at
    least one of the two ways is `LEARNED` or more below the RMSE of the row means on average over the splits. A row a
    group: group, n, better (how many row means make better), rows, three, row_mean (median RMSE of the two ways and of
    predicting by row means), change, low, high (median of the differences over settings, rows less three; 95 %,
    bootstrap), p (signed ranks, Holm's correction). A setting that diverges on any split is left out.
    """
    table = by_setting(records)
    table = table.assign(base=table["setting"] // 2, way=table["centring"])
    table["row_mean"] = [
        row_mean_rmse(ratings, row.pivot_indexes == _ITEM, row.test_split_rate, row.seed) for row in table.itertuples()
    ]
    wide = table.groupby(["base", "way"])["rmse"].agg(lambda rmse: rmse.mean(skipna=False)).unstack("way")
    wide = wide.assign(row_mean=table.groupby("base")["row_mean"].mean()).dropna()
    learned = wide[["rows", "three"]].min(axis=1) <= wide["row_mean"] - LEARNED
    rows = []
    for group, own in (("all", wide), ("that have learned", wide[learned])):
        gap = own["rows"] - own["three"]
        known = {"group": group, "n": len(own), "better": int((gap < 0).sum()), **own.median()}
        rows.append(known | labelled("change", median_interval(gap)) | {"p": signed_rank_p(gap)})
    return pd.DataFrame(rows).assign(p=lambda t: holm(t["p"]))


def rmse_columns(fresh, replay=None, report=None, resamples=400):
    """Each parameter's correlation with RMSE: a mapping of "pearson" and "spearman" to a table by abbreviation.

    Columns: "paper" (Figure 4, Pearson only), "log", "replay", "released" and "holdout" (the fresh sample), where there
    are any. Pearson's is over the runs that ended well; Spearman's over all that were made, by `scored` (the log has
    its own), with `NAME low` and `NAME high` (95 %, bootstrap over runs) where the runs are ours.
    """
    sources = {name: (fresh, name) for name in ("released", "holdout")}
    if replay is not None:
        sources = {"replay": (replay, "released")} | sources
    pearson, ranks = {"paper": printed_matrix()[RMSE]}, {}
    if report:
        pearson["log"], ranks["log"] = (logged_matrix(report, method)[RMSE] for method in ("pearson", "spearman"))
    for name, (records, protocol) in sources.items():
        pearson[name] = measured_matrix(records, protocol)[0][RMSE]
        made, rmse = scored(records, protocol)
        numeric = _numeric(made)[[column for column in FIGURE_4["order"] if column != RMSE]]
        spans = {column: bootstrap(spearman, numeric[column], rmse, resamples=resamples) for column in numeric}
        for place, ending in enumerate(("", " low", " high")):
            ranks[name + ending] = pd.Series({column: span[place] for column, span in spans.items()})
    order = [name for name in FIGURE_4["order"] if name != RMSE]
    return {"pearson": pd.DataFrame(pearson).loc[order], "spearman": pd.DataFrame(ranks).loc[order]}


def shares_table(imports):
    """`importance`'s main effects for reading, in per cent: protocols beside each other, a row a factor."""
    parts = {}
    for protocol, (mains, _, _) in imports.items():
        table = 100 * mains.set_index("factor")
        parts[protocol] = table[["direct", "optuna"]].round(1)
        parts[protocol].insert(0, "share (%)", spelled(table, "share", form=".1f"))
    return pd.concat(parts, axis=1)


def pairs_table(imports, n=6):
    """`importance`'s n largest pairs of each protocol for reading, in per cent."""
    parts = []
    for protocol, (_, pairs, _) in imports.items():
        table = pairs.head(n).set_index(["one", "other"]) * 100
        part = table.assign(share=spelled(table, "share", form=".1f"), protocol=protocol).round({"noise": 1})
        parts.append(part.reset_index().set_index(["protocol", "one", "other"])[["share", "noise"]])
    return pd.concat(parts).rename(columns={"share": "share (%)", "noise": "noise (%)"})


def claims_table(claims):
    """`check_claims` for reading: protocols beside each other, a row a claim, with how many of the runs diverged."""
    shown = {name: table.set_index(["claim", "what"]) for name, table in claims.items()}
    sizes = next(iter(shown.values()))[["n_with", "n_without"]].set_axis(["with", "without"], axis=1)
    parts = {"n": sizes}
    for name, table in shown.items():
        lost = table["diverged_with"].astype(str) + " / " + table["diverged_without"].astype(str)
        parts[name] = pd.DataFrame({"effect": spelled(table, "effect", form=".2f"), "p": spelled_p(table["p"]),
                                    "diverged": lost}, table.index)  # fmt: skip
    return pd.concat(parts, axis=1)


_LOG = {
    "log_short": """in the authors' own log the correlation of mean normalization with RMSE is {men_log_pearson:.2f},
        where Figure 4 prints {men_printed:.2f}""",
    "log_cells": """The cells of pairs of parameters are those of the log of {rows:,} runs, or nearly (over all pairs
        the two agree at a correlation of {printed_like_log:.3f}; they are not equal to rounding, so that Figure 4 may
        have been drawn from the log as it was at another time). Of the {pairs} cells, {outside} are off by more than
        {tolerance}: {outside_rmse} of them are in the column of RMSE, by up to {largest:.2f}.""",
    "log_design": """{singles} of the {rows:,} logged rows differ from one default setting in one parameter or in none.
        The strongest correlation of two parameters that Figure 4 prints is that of {strongest} ({strongest_r:.2f}).
        Drawn at random, as the paper says, parameters would not correlate. A sample of {singles} such one-at-a-time
        rows and {randoms} random ones, drawn anew and never trained, has the log's pattern: over all pairs of
        parameters its cells agree with the log's at {design_like_log:.2f}, those of a purely random sample at
        {random_like_log:.2f}.""",
    "log_outliers": """The log's largest RMSE is {highest_log:.1f}. The largest of the fresh sample as released is
        {highest_released:,.0f} stars.""",
}


_NO_LOG = "This page was made without the authors' log."


TOLERANCE = 0.05  # of a printed correlation against the log's


def correlation_numbers(fresh, columns, cells, imports, claims, choices, centred, report=None):
    """The numbers and sentences of the chapter's prose, by name. imports, claims: protocol to what `importance` and
    `check_claims` give; the others as their functions do."""
    numbers = {"pairs": 91, "outside": len(cells), "outside_rmse": int((cells["other"] == RMSE).sum())}
    numbers |= {"tolerance": TOLERANCE, "men_printed": float(columns["pearson"].loc["MeN", "paper"])}
    numbers["largest"] = float(cells["difference"].abs().max())
    for source in ("log", "released", "holdout"):
        if source in columns["pearson"]:
            numbers[f"men_{source}_pearson"] = float(columns["pearson"].loc["MeN", source])
            span = columns["spearman"].reindex(columns=[source, f"{source} low", f"{source} high"]).loc["MeN"]
            numbers |= labelled(f"men_{source}", tuple(map(float, span)), f"men_{source}_")
    for protocol, (mains, pairs, _) in imports.items():
        made, largest = scored(fresh, protocol)[0], mains.sort_values("direct", ascending=False).head(3)
        for place, row in enumerate(largest.to_dict("records"), 1):
            numbers[f"main{place}_{protocol}_factor"] = row["factor"]
            span = tuple(100 * row[column] for column in ("share", "low", "high"))
            numbers |= labelled(f"main{place}_{protocol}", span, f"main{place}_{protocol}_")
            numbers[f"main{place}_{protocol}_direct"] = 100 * row["direct"]
        above = mains[mains["share"] > mains["noise"]]["factor"]
        numbers |= {
            f"chance_{protocol}": 100 * float(mains["noise"].iloc[0]), f"factors_{protocol}": len(mains),
            f"above_{protocol}": len(above), f"named_{protocol}": ", ".join(above), f"n_{protocol}": len(made),
            f"pair_{protocol}": f"{pairs['one'].iloc[0]} with {pairs['other'].iloc[0]}",
            f"pair_share_{protocol}": 100 * float(pairs["share"].iloc[0]),
            f"highest_{protocol}": float(made["rmse"].max()),
            f"diverged_{protocol}": int((made["status"] == "diverged").sum()),
            f"skipped_{protocol}": int((fresh.loc[fresh["protocol"] == protocol, "status"] == "skipped").sum()),
        }  # fmt: skip
        numbers |= {f"{name}_{protocol}": count for name, count in far_off(fresh, protocol).items()}
        numbers |= {f"neither_{protocol}_{name}": value for name, value in without_both(fresh, protocol).items()}
    for protocol, table in claims.items():
        for row in table.itertuples():
            name = f"{row.key}_{protocol}" + ("_effect" if row.key == "men" else "")  # MeN has a correlation, too
            numbers |= labelled(name, (row.effect, row.low, row.high), f"{name}_") | {f"{name}_p": row.p}
            numbers |= {f"{name}_diverged": row.diverged_with, f"{name}_diverged_without": row.diverged_without}
            numbers |= {f"{name}_n": row.n_with, f"{name}_n_without": row.n_without}
    for row in choices.itertuples():
        name = f"{row.parameter}_{row.pivot.partition('-')[0]}_{row.protocol}"
        numbers |= labelled(name, (100 * row.share, 100 * row.low, 100 * row.high), f"{name}_")
        numbers[f"{name}_p"] = row.p
    for row in centred.itertuples():
        name = f"centred_{row.group.partition(' ')[0]}"
        numbers |= labelled(name, (row.change, row.low, row.high), f"{name}_")
        numbers |= {f"{name}_n": row.n, f"{name}_better": row.better, f"{name}_p": row.p}
    if not report:
        short = f"Figure 4 prints {numbers['men_printed']:.2f} for its correlation with RMSE"
        return numbers | dict.fromkeys(_LOG, _NO_LOG) | {"log_short": short}
    known, logged = report["authors"], logged_matrix(report)
    rows, singles = known["rows"], known["one_at_a_time"]
    strongest = strongest_pairs(printed_matrix(), 1)
    numbers |= {
        "rows": rows, "singles": singles, "randoms": rows - singles,
        "highest_log": max(of["rmse_quantiles"][-1] for of in known["pivots"].values()),
        "printed_like_log": cells_agreement(printed_matrix(), logged),
        "design_like_log": cells_agreement(mixed_design(rows - singles, singles), logged),
        "random_like_log": cells_agreement(mixed_design(rows, 0), logged),
        "strongest": " with ".join(strongest.index[0]), "strongest_r": float(strongest.iloc[0]),
    }  # fmt: skip
    return numbers | {name: " ".join(text.format(**numbers).split()) for name, text in _LOG.items()}


def plot_two_matrices(upper, lower, names, title, marked=()):
    """Two symmetric matrices of correlations in one: the first above the diagonal, the second below.

    names: of the two, for the corners. marked: pairs (one, other) to be outlined, in both triangles.
    """
    order = list(upper.index)
    shown = np.where(np.triu(np.ones(upper.shape, bool), 1), upper, lower.loc[order, order])
    np.fill_diagonal(shown, np.nan)
    figure, ax = plt.subplots(figsize=(6.5, 7.2))
    image = ax.imshow(shown, cmap="RdBu_r", vmin=-0.7, vmax=0.7)
    for (row, column), value in np.ndenumerate(shown):
        if np.isfinite(value):
            text = f"{value:.2f}".replace("0.", ".").replace("-.00", ".00")
            ax.text(
                column, row, text, ha="center", va="center", fontsize=7, color="white" if abs(value) > 0.45 else "black"
            )
    for one, other in marked:
        for a, b in ((one, other), (other, one)):
            where = (order.index(a) - 0.5, order.index(b) - 0.5)
            ax.add_patch(plt.Rectangle(where, 1, 1, fill=False, edgecolor="black", linewidth=1.6))
    ax.set(xticks=range(len(order)), yticks=range(len(order)))
    ax.set_xticklabels(order, fontsize="x-small", rotation=60)
    ax.set_yticklabels(order, fontsize="x-small")
    ax.grid(visible=False)
    ax.set_title(f"{title}\nabove the diagonal: {names[0]}\nbelow: {names[1]}")
    figure.colorbar(image, label="Pearson correlation", orientation="horizontal", shrink=0.7, pad=0.11)
    return figure


def plot_correlations_with_rmse(table, looks, title):
    """Each parameter's correlation with RMSE by source. table: a column a source, with `NAME low` and `NAME high` where
    there is an interval. looks: column to (colour, marker, word)."""
    figure, ax = plt.subplots(figsize=(6.5, 1.8 + 0.5 * len(table)))
    for place, (name, (colour, mark, word)) in enumerate(looks.items()):
        y = np.arange(len(table)) + 0.17 * (place - (len(looks) - 1) / 2)
        spread = None
        if f"{name} low" in table:
            spread = [table[name] - table[f"{name} low"], table[f"{name} high"] - table[name]]
        ax.errorbar(
            table[name], y, xerr=spread, fmt=mark, color=colour, markersize=5, capsize=2, label=word, linewidth=1
        )
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(title=title, xlabel="correlation with RMSE", yticks=range(len(table)), yticklabels=table.index)
    ax.invert_yaxis()
    _legend_below(ax, down=1.0 / (1.8 + 0.5 * len(table)))
    return figure


def plot_importance(mains, dataset, n):
    """Main effects of a functional ANOVA by protocol, with 95 % intervals and what chance alone would reach.

    mains: protocol to the first table of `flexlib.study.correlation.importance`. n: protocol to the number of runs.
    """
    order = next(iter(mains.values()))["factor"].tolist()
    figure, ax = plt.subplots(figsize=(6.5, 1.8 + 0.36 * len(order)))
    for place, (protocol, table) in enumerate(mains.items()):
        own = table.set_index("factor").loc[order]
        y = np.arange(len(order)) + 0.3 * (place - (len(mains) - 1) / 2)
        spread = np.maximum([own["share"] - own["low"], own["high"] - own["share"]], 0)
        ax.errorbar(100 * own["share"], y, xerr=100 * spread, fmt="os"[place % 2], color=COLOURS[protocol], capsize=2,
                    markersize=5, label=f"{words_of(protocol)}, n = {n[protocol]} runs")  # fmt: skip
        ax.axvline(100 * own["noise"].iloc[0], color=COLOURS[protocol], linestyle=":", linewidth=1.5,
                   label=f"{words_of(protocol)}: reached by chance")  # fmt: skip
    ax.set(title=f"What each parameter explains by itself\n{dataset}", yticks=range(len(order)), yticklabels=order,
           xlabel="share of the variance of the rank of RMSE (%), square-root scale")  # fmt: skip
    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ax.set_xlim(0, None)
    ax.set_xticks([0, 1, 5, 10, 20, 30, 40, 50])
    ax.invert_yaxis()
    _legend_below(ax, down=0.95 / (1.8 + 0.36 * len(order)))
    return figure


def plot_dependence(dependence, factors, dataset):
    """The mean rank of RMSE at each level of each of `factors`, all others averaged out, by protocol.

    dependence: protocol to the third table of `flexlib.study.correlation.importance`.
    """
    rows = -(-len(factors) // 2)
    figure, axes = plt.subplots(rows, 2, sharey=True, figsize=(6.5, 0.9 + 1.75 * rows), layout="constrained")
    for ax, factor in zip(axes.flat, factors, strict=False):
        found = [level for table in dependence.values() for level in table[table["factor"] == factor]["level"]]
        levels = {level: at for at, level in enumerate(sorted(set(found)))}
        for place, (protocol, table) in enumerate(dependence.items()):
            own = table[table["factor"] == factor]
            spread = np.maximum([own["value"] - own["low"], own["high"] - own["value"]], 0)
            x = own["level"].map(levels) + 0.12 * (place - 0.5)
            ax.errorbar(x, own["value"], yerr=spread, fmt="os"[place % 2] + "-", color=COLOURS[protocol], capsize=2,
                        markersize=4, label=words_of(protocol))  # fmt: skip
        names = [_LEVELS.get(str(level), str(level)) for level in levels]
        ax.set_title(factor, fontsize="small")
        ax.set_xticks(range(len(names)))
        ax.set_xticklabels(names, fontsize="x-small", rotation=60 if len("".join(names)) > 18 else 0)
        ax.tick_params(axis="y", labelsize="small")
    for ax in axes.flat[len(factors) :]:
        ax.set_visible(False)
    figure.supylabel("mean rank of RMSE (0: best run, 1: worst)", fontsize="medium")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", fontsize="small")
    figure.suptitle(
        f"RMSE against each parameter, others averaged out\n{dataset}", fontsize="medium", x=0.02, ha="left"
    )
    return figure


_LEVELS = {"True": "on", "False": "off", "[0, 1]": "user", "[1, 0]": "item"}


def plot_claims(tests, dataset):
    """The paper's claims on parameters: how probably a run with it has a lower RMSE than one without, by protocol.

    tests: protocol to the table of `flexlib.study.correlation.check_claims`.
    """
    figure, ax = plt.subplots(figsize=(6.5, 11.5))
    for place, (protocol, table) in enumerate(tests.items()):
        y = np.arange(len(table)) + 0.26 * (place - (len(tests) - 1) / 2)
        spread = [table["effect"] - table["low"], table["high"] - table["effect"]]
        clear = table["p"] < 0.05
        ax.errorbar(table["effect"], y, xerr=spread, fmt="none", color=COLOURS[protocol], capsize=3)
        for filled, rows in (("full", clear), ("none", ~clear)):
            ax.plot(table["effect"][rows], y[rows], "os"[place % 2], fillstyle=filled, color=COLOURS[protocol],
                    markersize=6.5, label=words_of(protocol) if filled == "full" else None)  # fmt: skip
    words = [fill(f"claim {row.claim}: {row.what}", 26) for row in table.itertuples()]
    ax.axvline(0.5, color="black", linewidth=1)
    ax.set(title=f"Does it go with a lower RMSE?\n{dataset}", xlim=(0, 1), yticks=range(len(words)),
           xlabel="probability that a run with it beats one without")  # fmt: skip
    ax.set_yticklabels(words, fontsize="small")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    _legend_below(ax, down=0.08, title="filled: differs from 0.5 after Holm's correction")
    return figure
