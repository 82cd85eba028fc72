"""The chapter on the paper's claims: each with what was measured, and a verdict that follows from it by a rule."""

import ast
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd

from flexlib.config import PAPERS_DATASET, FlexError
from flexstudy.style import COLOURS

REPRODUCED, LEAK, UNSUPPORTED, REFUTED, OPEN = VERDICTS = (
    "reproduced", "reproduced, but caused by the leak", "not supported", "refuted", "not measured on these data",
)  # fmt: skip


NEAR = 0.02  # stars within which a printed RMSE counts as met, as in the chapter on the top 10


LITTLE = 10  # per cent of how settings rank, below which a choice "matters little"


CLEAR = 0.5  # correlation that its interval must stay above, for "no clear correlation" to be refuted


def glued_numbers(path):
    """What an executed notebook glues: name to number or text. Raises `FlexError` naming the file where it is none."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # of JSON, of nbformat's schema, of the file system
        raise FlexError(f"{path}: cannot be read as an executed notebook ({type(error).__name__})") from None
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    glued = (output for output in outputs if "scrapbook" in output.get("metadata", {}))
    texts = {output.metadata["scrapbook"]["name"]: next(iter(output.data.values())) for output in glued}
    return {name: math.nan if text == "nan" else ast.literal_eval(text) for name, text in texts.items()}


@dataclass(frozen=True)
class Claim:
    """One part of a claim: number and letter, what the paper says, the chapter that measures it (a notebook's name
    without the ending), `judge`, from the chapter's numbers to a verdict, and what was measured, to be filled with
    them. printed: whether it is about numbers that the paper prints for its own data. also: a second chapter whose
    numbers are needed."""

    number: int
    part: str
    says: str
    chapter: str
    judge: Callable
    measured: str
    printed: bool = False
    also: str = ""


def _either(condition, yes=REPRODUCED, no=UNSUPPORTED):
    return yes if condition else no


def _best_rmse(n):
    leaks = n["gap_high_released"] < 0 and -n["gap_released"] > NEAR
    return _either(abs(n["rmse_released"] - float(n["published"])) <= NEAR, LEAK if leaks else REPRODUCED)


def _lowest(n):
    if n["a_flexencoder_set1"] and n["a_flexencoder_set1_beaten_in_table"] == 0:
        return REPRODUCED
    return _either(n["rmse_released"] < n["a_best_in_table_rmse"], LEAK, REFUTED)


def _of_ten(trait, also=""):
    """Whether all of our own ten best have a trait (all but one at most), where the paper's own ten do."""

    def judge(n):
        if n[f"{trait}_the_paper_s_ten"] < 10:
            return REFUTED
        held_out = _either(n[f"{trait}_our_ten_holdout"] >= 9, REPRODUCED, LEAK)
        return _either(n[f"{trait}_our_ten_released"] >= 9, held_out)

    return judge, (
        f"{{{trait}_the_paper_s_ten}} of the paper's ten; of our own ten best {{{trait}_our_ten_released}} as "
        f"released, {{{trait}_our_ten_holdout}} on held-out ratings{also}"
    )


def _supported(n, *names):
    """Whether each of these makes a run more likely to be the better one of two."""
    return _either(all(n[name] > 0.5 and n[f"{name}_p"] < 0.05 for name in names))


def _clear(n):
    return _either(n["men_holdout_low"] > CLEAR or n["men_holdout_high"] < -CLEAR, REFUTED, REPRODUCED)


def _more_diverse(n):
    """By every measure, however ties are broken."""
    return _either(min(n["more_diverse_random"], n["more_diverse_popular"]) == n["diverse_measures"])


def _mean_of_ten(n):
    close = {protocol: abs(n[f"mean_{protocol}"] - n["claimed_mean"]) <= NEAR for protocol in ("released", "holdout")}
    return _either(close["released"], REPRODUCED if close["holdout"] else LEAK)


def _still_best(n):
    met = n["set_1_place_released"] == 1 and abs(n["set_1_released"] - n["claimed_first"]) <= NEAR
    return _either(met, _either(n["set_1_place_holdout"] == 1, REPRODUCED, LEAK))


def _span(name, form):
    return f"{{{name}:{form}}} ({{{name}_low:{form}}} to {{{name}_high:{form}}})"


def _chance(word, name):
    return f"{word} {_span(f'{name}_holdout', '.2f')}"


_ONE, _SWEEP, _TEN, _COR, _ROUND = "01_one_run", "02_sweep", "03_top10", "05_correlation", "06_rounding"


_BETTER = "chance that a random run with it is better than one without, on held-out ratings: "


_TAKEN = "change of the best settings' validation RMSE: "


CLAIMS = (
    Claim(1, "a", "the best RMSE on MovieLens 100K is 0.833", _ONE, _best_rmse,
          "{rmse_released:.3f} as released, {rmse_holdout:.3f} on held-out ratings; paired difference"
          " {gap_released:+.3f} ({gap_low_released:+.3f} to {gap_high_released:+.3f})", True),
    Claim(1, "b", "which is lower than every method of Table 3", "08_methods", _lowest,
          "on held-out ratings {a_flexencoder_set1_beaten_in_table} of its {a_published_others} other methods are lower"
          " than the paper's best setting ({a_flexencoder_set1:.3f}), the lowest {a_best_in_table}"
          " ({a_best_in_table_rmse:.3f})", True, _ONE),
    Claim(2, "a", "the ten best settings are all item-based", _TEN,
          *_of_ten("item_based", " ({item_based_where_holdout} among those that hold out a fifth or more)"), True),
    Claim(2, "b", "all with mean normalization", _TEN, *_of_ten("mean_normalization"), True),
    Claim(2, "c", "their hidden layers in monotone order", _TEN, *_of_ten("layers_in_monotone_order"), True),
    Claim(2, "d", "one hidden layer can be as good as several", _TEN,
          lambda n: _either(min(n["one_hidden_layer_our_ten_released"], n["one_hidden_layer_our_ten_holdout"]) >= 1),
          "{one_hidden_layer_the_paper_s_ten} of the paper's ten have one, and"
          " {one_hidden_layer_the_paper_s_ten_base:.0f} % of the runs that they are compared with; of our own ten best"
          " {one_hidden_layer_our_ten_released} as released and {one_hidden_layer_our_ten_holdout} on held-out ratings,"
          " and {one_hidden_layer_our_ten_holdout_base:.0f} % of their sample"),
    Claim(3, "a", "user-based runs reach 0.90 to 0.91", _COR,
          lambda n: _either(n["low_n_released"] > 0, _either(n["low_n_holdout"] > 0, REPRODUCED, LEAK)),
          "user-based runs of the fresh sample with 0.91 or less, each on its own test ratings as in the paper:"
          " {low_n_released} as released, {low_n_holdout} on held-out ratings", True),
    Claim(3, "b", "helped most often by ADAM, SELU, one re-feeding and mean normalization", _COR,
          lambda n: _supported(n, *(f"user_{name}_holdout" for name in ("adam", "selu", "refeeding", "men"))),
          _BETTER + ", ".join([_chance("ADAM", "user_adam"), _chance("SELU", "user_selu"),
                               _chance("one re-feeding", "user_refeeding"), _chance("MeN", "user_men")])
          + ". {replay_low}", also=_SWEEP),
    Claim(4, "a", "no clear correlation between any pair of parameters", _COR,
          lambda n: _either(abs(n["strongest_r"]) < CLEAR, no=REFUTED),
          "the strongest in Figure 4 is {strongest}, {strongest_r:.2f}. A mixed sample that was never trained has the"
          " log's pattern ({design_like_log:.2f}), a random one has not ({random_like_log:.2f})", True),
    Claim(4, "b", "nor of a parameter with the RMSE", _COR, _clear,
          f"mean normalization and RMSE, rank correlation: {_span('men_holdout', '.2f')} on held-out ratings,"
          " {men_released:.2f} as released; Figure 4 prints a linear one of {men_printed:.2f}, the authors' log has"
          " {men_log_pearson:.2f}", True),
    Claim(5, "a", "prediction rounding and re-feeding rounding do not help the RMSE", _ROUND,
          lambda n: _either(min(n["rmse_random_high"], n["rmse_refeeding_high"]) >= 0, no=REFUTED),
          "prediction rounding {rmse_random_change:+.4f} ({rmse_random_low:+.4f} to {rmse_random_high:+.4f}), that of"
          " re-feeding {rmse_refeeding_change:+.4f} ({rmse_refeeding_low:+.4f} to {rmse_refeeding_high:+.4f})"),
    Claim(5, "b", "prediction rounding gives more 5-star predictions", _ROUND,
          lambda n: _either(n["five_star_predictions_random_low"] > 0),
          "{five_star_predictions_random_before:.1f} % of predictions before, {five_star_predictions_random_after:.1f}"
          " % after"),
    Claim(5, "c", "and so more diverse recommendations", _ROUND, _more_diverse,
          "that depends on the measure, and on how ties are broken: at random lists are more diverse by"
          " {more_diverse_random} of {diverse_measures} measures (coverage of the catalogue from"
          " {coverage_random_before:.1f} to {coverage_random_after:.1f} %, novelty {novelty_random_change:+.1f} bits),"
          " by popularity by {more_diverse_popular} (coverage to {coverage_popular_after:.1f} %, novelty"
          " {novelty_popular_change:+.1f} bits); by the unrounded prediction, {same_lists:.0f} % of lists stay"),
    Claim(6, "a", "some dropout and noise is necessary: in random settings", _COR,
          lambda n: _supported(n, "dropout_holdout", "noise_holdout"),
          _BETTER + ", ".join([_chance("dropout", "dropout"), _chance("noise", "noise")])),
    Claim(6, "b", "the same: in the best settings of our search, each alone", "09_best",
          lambda n: _either(min(n["no_dropout_low"], n["no_noise_low"]) > 0),
          f"{_TAKEN}without dropout {_span('no_dropout', '+.4f')}, without noise {_span('no_noise', '+.4f')}"),
    Claim(6, "c", "the same: in the paper's best setting, at least one of them", "explore",
          lambda n: _either(n["neither_released_low"] > 0, _either(n["neither_holdout_low"] > 0, REPRODUCED, LEAK)),
          f"change of its RMSE on held-out ratings: without both {_span('neither_holdout', '+.3f')}, without dropout"
          f" {_span('no_dropout_holdout', '+.3f')}, without noise {_span('no_noise_holdout', '+.3f')}; as released,"
          f" where noise falls on re-fed outputs alone: without dropout {_span('no_dropout_released', '+.3f')}"),
    Claim(6, "d", "no clear evidence that high rates are better", _COR,
          lambda n: _either(REPRODUCED not in (_supported(n, f"high_{name}_holdout") for name in ("dropout", "noise")),
                            no=REFUTED),
          _BETTER + ", ".join([_chance("high dropout", "high_dropout"), _chance("high noise", "high_noise")])),
    Claim(7, "", "activation and optimizer matter little for item-based runs", _COR,
          lambda n: _either(max(n["activation_item_holdout_high"], n["optimizer_item_holdout_high"]) < LITTLE),
          "share of how item-based runs with mean normalization rank, in %, beyond chance: activation "
          f"{_span('activation_item_holdout', '.1f')}, optimizer {_span('optimizer_item_holdout', '.1f')}"),
    Claim(8, "a", "on 1M the ten sets are all below 0.98", "07_generalization",
          lambda n: REFUTED if n["printed_above"] else _either(n["below_released"] == 10),
          "{printed_above} of Figure 5's own ten values are above 0.98, by {printed_over:.3f} at most; ours below it:"
          " {below_released} of {compared_released} as released, {below_holdout} of {compared_holdout} on"
          " held-out ratings", True),
    Claim(8, "b", "their mean is 0.961", "07_generalization", _mean_of_ten,
          "{mean_released:.3f} as released ({compared_released} sets that end well), {mean_holdout:.3f} on held-out"
          " ratings ({compared_holdout} sets)", True),
    Claim(8, "c", "set 1 still the best of them, with 0.894", "07_generalization", _still_best,
          "place {set_1_place_released} with {set_1_released:.3f} as released, place {set_1_place_holdout} with"
          " {set_1_holdout:.3f} on held-out ratings", True),
    Claim(8, "d", "so that the sets generalize to a certain extent", "07_generalization",
          lambda n: _either(min(n["item_holdout_low"], n["user_holdout_low"]) > CLEAR),
          f"rank correlation of the RMSE of random settings with mean normalization on the two data sets, on held-out"
          f" ratings: {_span('item_holdout', '.2f')} item-based, {_span('user_holdout', '.2f')} user-based,"
          f" {_span('centred_holdout', '.2f')} over both; over all settings {_span('all_holdout', '.2f')}"),
    Claim(9, "", "mean normalization beats filling missing entries with 3", _COR,
          lambda n: _either(n["centred_that_high"] < 0),
          f"{_span('centred_that', '+.3f')} stars against filling with 3 on held-out ratings, over the"
          " {centred_that_n} settings that learn something"),
    Claim(10, "", "over 1,000 runs within a week on one GTX 1080", _SWEEP,
          lambda n: _either(n["log_different"] > 1000),
          "not to be measured again. The authors' log has {log_rows:,} rows, of which {log_repeated} are copies of"
          " another, so {log_different} different runs; it need not hold all that were made. Its training times add up"
          " to {log_hours:.1f} hours, copies included", True),
)  # fmt: skip


class _UnknownError(Exception):
    """A number that a rule needs is not known."""


class _Known(dict):
    """Numbers of which those that are NaN, or that the chapter had no case of, cannot be read."""

    def __getitem__(self, name):
        value = self.get(name, math.nan)
        if isinstance(value, float) and math.isnan(value):
            raise _UnknownError(name)
        return value


def judge_claims(numbers, claims=CLAIMS):
    """The verdicts: claim ("2a"), number, says, verdict (of `VERDICTS`), measured (a sentence), chapter.

    numbers: chapter to its glued numbers. A claim about printed numbers is left open where its chapter is not of the
    paper's data, and any claim where a chapter that it needs is not there, or a number is NaN, as the intervals of one
    split are.
    """
    rows = []
    for claim in claims:
        needed = [name for name in (claim.also, claim.chapter) if name]
        own = {key: value for name in needed for key, value in numbers.get(name, {}).items()}
        same = own.get("a_dataset", own.get("dataset")) == PAPERS_DATASET
        verdict, text = OPEN, ""
        if all(name in numbers for name in needed) and (same or not claim.printed):
            with suppress(_UnknownError):
                verdict, text = claim.judge(_Known(own)), claim.measured.format_map(own)
        rows.append({"claim": f"{claim.number}{claim.part}", "number": claim.number, "says": claim.says,
                     "verdict": verdict, "measured": text, "chapter": claim.chapter})  # fmt: skip
    return pd.DataFrame(rows)


def overall(table):
    """One verdict a claim, the least favourable of its measured parts' (as a whole it holds if every part does), and
    the parts': number, verdict, parts (each part's own, in words; "" where they agree)."""
    rows = []
    for number, own in table.groupby("number"):
        verdict = max([verdict for verdict in own["verdict"] if verdict != OPEN] or [OPEN], key=VERDICTS.index)
        parts = "; ".join(f"{row.claim} {row.verdict}" for row in own.itertuples())
        rows.append({"number": number, "verdict": verdict, "parts": parts if own["verdict"].nunique() > 1 else ""})
    return pd.DataFrame(rows)


def read_chapters(folder, claims=CLAIMS):
    """Chapter to its glued numbers, of the executed notebooks in `folder` that the claims need and that are there.
    Raises `FlexError` where there is no such folder."""
    if not Path(folder).is_dir():
        raise FlexError(f"{folder}: no such folder of executed chapters")
    names = {name for claim in claims for name in (claim.chapter, claim.also) if name}
    paths = {name: Path(folder) / f"{name}.ipynb" for name in sorted(names)}
    return {name: glued_numbers(path) for name, path in paths.items() if path.exists()}


def claim_numbers(table):
    """The numbers of the prose by name: how many parts have each verdict, `verdict_N` of each claim `parts_N`
    and, of each part, `verdict_Na` and `measured_Na`."""
    counts = table["verdict"].value_counts()
    words = dict(zip(VERDICTS, ("reproduced", "leak", "unsupported", "refuted", "open"), strict=True))
    found = {word: int(counts.get(verdict, 0)) for verdict, word in words.items()} | {"parts": len(table)}
    found |= {f"verdict_{row.number}": row.verdict for row in overall(table).itertuples()}
    found |= {f"parts_{row.number}": row.parts or "-" for row in overall(table).itertuples()}
    found |= {f"verdict_{row.claim}": row.verdict for row in table.itertuples()}
    return found | {f"measured_{row.claim}": row.measured for row in table.itertuples()}


def plot_verdicts(table, verdicts):
    """Which verdict each part of each claim has. table: of `flexlib.study.claims.judge_claims`. verdicts: in order."""
    used = [verdict for verdict in verdicts if verdict in set(table["verdict"])]
    colours = dict(zip(verdicts, ("holdout", "released", "described", "paper", "#999999"), strict=True))
    figure, ax = plt.subplots(figsize=(6.5, 1.6 + 0.42 * len(table)))
    for x, verdict in enumerate(used):
        own = np.flatnonzero(table["verdict"] == verdict)
        colour = COLOURS.get(colours[verdict], colours[verdict])
        ax.scatter(np.full(len(own), x), own, marker="s", s=150, color=colour)
    words = [fill(f"{row.claim}  {row.says}", 42) for row in table.itertuples()]
    ax.set(title="The paper's claims and what became of them", yticks=range(len(table)), yticklabels=words,
           xticks=range(len(used)), xlim=(-0.6, len(used) - 0.4), ylim=(len(table) - 0.4, -0.6))  # fmt: skip
    ax.set_xticklabels([fill(verdict, 12) for verdict in used])
    ax.tick_params(axis="both", labelsize="x-small")
    ax.xaxis.tick_top()
    for y in np.flatnonzero(table["number"].diff() > 0):
        ax.axhline(y - 0.5, color="#bbbbbb", linewidth=0.8)
    return figure
