"""Chapter 11, the claims: which of them hold.

Each part of a claim has a rule, a function from the numbers that another chapter glues to a verdict. The chapter reads
these numbers from the executed notebooks, and nothing else.

References
----------
Tran et al. (2018).
"""

import ast
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from flexlib.config import PAPERS_DATASET, FlexError
from flexstudy.paper import PRINTED_TOLERANCE
from flexstudy.statistics import SIGNIFICANT
from flexstudy.style import COLOURS

REPRODUCED = "reproduced"
LEAK = "reproduced, but caused by the leak"
UNSUPPORTED = "not supported"
REFUTED = "refuted"
OPEN = "not measured on these data"
VERDICTS = (REPRODUCED, LEAK, UNSUPPORTED, REFUTED, OPEN)  # from the most to the least favourable one, then none

LITTLE = 10  # % of how settings rank, below which a choice "matters little"
CLEAR = 0.5  # correlation that its interval must stay beyond, for it to be clear
NEARLY_TEN = 9  # of our own ten best, from which on they count as all ten

CHAPTER_1 = "01_one_run"
CHAPTER_2 = "02_sweep"
CHAPTER_3 = "03_top10"
CHAPTER_5 = "05_correlation"
CHAPTER_6 = "06_rounding"
CHAPTER_7 = "07_generalization"
CHAPTER_8 = "08_methods"
CHAPTER_9 = "09_best"
EXPLORER = "explore"


class NotMeasuredError(Exception):
    """A number that a rule reads is NaN: the chapter could not measure it."""


class Glued(dict[str, Any]):
    """What chapters glue: name to number or text. Reading a name that none of them glues raises a `FlexError`."""

    def __init__(self, chapters: Iterable[str], numbers: Mapping[str, Any]) -> None:
        super().__init__(numbers)
        self.chapters = ", ".join(chapters)

    def __missing__(self, name: str) -> Any:
        raise FlexError(f"{self.chapters}: no number '{name}' is glued")


class Measured(Glued):
    """The same; reading a NaN raises a `NotMeasuredError`."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if isinstance(value, float) and math.isnan(value):
            raise NotMeasuredError(name)
        return value


Rule = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Claim:
    """One part of a claim, and how it is judged.

    Parameters
    ----------
    number, part
        Of the claim, and the part's letter; "" where it has one part.
    says
        The claim in short.
    chapter
        What measures it: a notebook's name without the ending.
    rule
        From the chapter's numbers to a verdict.
    measured
        What was measured, as a format of the chapter's numbers.
    printed
        Whether it is about numbers that the paper prints for its own data.
    also
        A second chapter whose numbers are read; "" for none.
    """

    number: int
    part: str
    says: str
    chapter: str
    rule: Rule
    measured: str
    printed: bool = False
    also: str = ""

    @property
    def name(self) -> str:
        """Number and letter, such as "2a"."""
        return f"{self.number}{self.part}"

    @property
    def chapters(self) -> tuple[str, ...]:
        """The chapters whose numbers are read; where two glue the same name, the last one counts."""
        return (self.also, self.chapter) if self.also else (self.chapter,)


# Rules. Each docstring states what is required for a part to be reproduced, and the verdict otherwise.


def _with_and_without_leak(as_released: bool, on_held_out: bool) -> str:
    """Judge what is to hold as the released code measures, and on held-out ratings."""
    if not as_released:
        return UNSUPPORTED
    return REPRODUCED if on_held_out else LEAK


def _helps(n: Mapping[str, Any], choice: str) -> bool:
    """Say whether a run with a choice is likelier to be the better one of two: the chance is clearly above 1/2."""
    return bool(n[choice] > 0.5 and n[f"{choice}_p"] < SIGNIFICANT)


def best_rmse_is_met(n: Mapping[str, Any]) -> str:
    """Require that our released RMSE is within `PRINTED_TOLERANCE` of the printed one; otherwise not supported.

    The leak causes it if the leak lowers the RMSE by more than the tolerance, with an interval that excludes 0.
    """
    by_leak = n["gap_high_released"] < 0 and -n["gap_released"] > PRINTED_TOLERANCE
    if abs(n["rmse_released"] - float(n["published"])) > PRINTED_TOLERANCE:
        return UNSUPPORTED
    return LEAK if by_leak else REPRODUCED


def is_below_table_3(n: Mapping[str, Any]) -> str:
    """Require that no other method of Table 3 has a lower RMSE than set 1 on held-out ratings.

    Otherwise the leak causes it if set 1's released RMSE is below that of the best other method; else it is refuted.
    """
    if n["a_flexencoder_set1_beaten_in_table"] == 0:
        return REPRODUCED
    return LEAK if n["rmse_released"] < n["a_best_in_table_rmse"] else REFUTED


def all_ten_have(n: Mapping[str, Any], trait: str) -> str:
    """Require a trait of all of the paper's ten best, otherwise refuted, and of `NEARLY_TEN` of our own ten best.

    The leak causes it if only our ten as released have it. It is not supported if these do not have it either.
    """
    if n[f"{trait}_the_paper_s_ten"] < 10:
        return REFUTED
    released, holdout = n[f"{trait}_our_ten_released"], n[f"{trait}_our_ten_holdout"]
    return _with_and_without_leak(released >= NEARLY_TEN, holdout >= NEARLY_TEN)


def one_layer_is_as_good(n: Mapping[str, Any]) -> str:
    """Require one hidden layer of one of our own ten best, under both protocols; otherwise not supported."""
    fewest = min(n["one_hidden_layer_our_ten_released"], n["one_hidden_layer_our_ten_holdout"])
    return REPRODUCED if fewest >= 1 else UNSUPPORTED


def user_based_runs_reach_it(n: Mapping[str, Any]) -> str:
    """Require a user-based run of the fresh sample with so low an RMSE as released; otherwise not supported.

    The leak causes it if there is none on held-out ratings.
    """
    return _with_and_without_leak(n["low_n_released"] > 0, n["low_n_holdout"] > 0)


def all_help(n: Mapping[str, Any], choices: Iterable[str]) -> str:
    """Require that a run with each of the choices is likelier to be the better one of two; otherwise not supported."""
    return REPRODUCED if all(_helps(n, choice) for choice in choices) else UNSUPPORTED


def none_helps(n: Mapping[str, Any], choices: Iterable[str]) -> str:
    """Require that no choice makes a run likelier to be the better one of two; otherwise refuted."""
    helping = [choice for choice in choices if _helps(n, choice)]
    return REFUTED if helping else REPRODUCED


def no_pair_correlates(n: Mapping[str, Any]) -> str:
    """Require that the strongest correlation of Figure 4 is weaker than `CLEAR`; otherwise refuted."""
    return REPRODUCED if abs(n["strongest_r"]) < CLEAR else REFUTED


def rmse_does_not_correlate(n: Mapping[str, Any]) -> str:
    """Require that mean normalization's correlation with the RMSE is not clear; otherwise refuted.

    It is clear if its interval lies beyond `CLEAR`, on either side.
    """
    is_clear = n["men_holdout_low"] > CLEAR or n["men_holdout_high"] < -CLEAR
    return REFUTED if is_clear else REPRODUCED


def rounding_does_not_help(n: Mapping[str, Any]) -> str:
    """Require that neither rounding lowers the RMSE with an interval that excludes 0; otherwise refuted."""
    return REPRODUCED if min(n["rmse_random_high"], n["rmse_refeeding_high"]) >= 0 else REFUTED


def rounding_gives_five_stars(n: Mapping[str, Any]) -> str:
    """Require more 5-star predictions, with an interval that excludes 0; otherwise not supported."""
    return REPRODUCED if n["five_star_predictions_random_low"] > 0 else UNSUPPORTED


def rounding_diversifies(n: Mapping[str, Any]) -> str:
    """Require more diverse lists by every measure, however ties are broken; otherwise not supported."""
    fewest = min(n["more_diverse_random"], n["more_diverse_popular"])
    return REPRODUCED if fewest == n["diverse_measures"] else UNSUPPORTED


def best_settings_need_both(n: Mapping[str, Any]) -> str:
    """Require a higher validation RMSE without dropout, and without noise; otherwise not supported.

    Both intervals exclude 0.
    """
    return REPRODUCED if min(n["no_dropout_low"], n["no_noise_low"]) > 0 else UNSUPPORTED


def set_1_needs_either(n: Mapping[str, Any]) -> str:
    """Require a higher RMSE of set 1 without both, with an interval that excludes 0; otherwise not supported.

    The leak causes it if it is not so on held-out ratings.
    """
    return _with_and_without_leak(n["neither_released_low"] > 0, n["neither_holdout_low"] > 0)


def choices_matter_little(n: Mapping[str, Any]) -> str:
    """Require that the intervals of both shares stay below `LITTLE`; otherwise not supported."""
    highest = max(n["activation_item_holdout_high"], n["optimizer_item_holdout_high"])
    return REPRODUCED if highest < LITTLE else UNSUPPORTED


def all_sets_are_below(n: Mapping[str, Any]) -> str:
    """Require that all ten sets are below in our released runs; otherwise not supported.

    It is refuted if one of Figure 5's own values is above.
    """
    if n["printed_above"]:
        return REFUTED
    return REPRODUCED if n["below_released"] == 10 else UNSUPPORTED


def mean_is_met(n: Mapping[str, Any]) -> str:
    """Require that our released mean is within `PRINTED_TOLERANCE` of the printed one; otherwise not supported.

    The leak causes it if the mean on held-out ratings is not.
    """
    released, holdout = (abs(n[f"mean_{protocol}"] - n["claimed_mean"]) for protocol in ("released", "holdout"))
    return _with_and_without_leak(released <= PRINTED_TOLERANCE, holdout <= PRINTED_TOLERANCE)


def set_1_is_still_best(n: Mapping[str, Any]) -> str:
    """Require that set 1 is first, within `PRINTED_TOLERANCE` of its printed RMSE; otherwise not supported.

    The leak causes it if set 1 is not first on held-out ratings.
    """
    is_met = n["set_1_place_released"] == 1 and abs(n["set_1_released"] - n["claimed_first"]) <= PRINTED_TOLERANCE
    return _with_and_without_leak(is_met, n["set_1_place_holdout"] == 1)


def sets_generalize(n: Mapping[str, Any]) -> str:
    """Require that the intervals of both rank correlations between data sets stay above `CLEAR`; else not supported."""
    return REPRODUCED if min(n["item_holdout_low"], n["user_holdout_low"]) > CLEAR else UNSUPPORTED


def centring_beats_three(n: Mapping[str, Any]) -> str:
    """Require a lower RMSE than with 3 filled in, with an interval that excludes 0; otherwise not supported."""
    return REPRODUCED if n["centred_that_high"] < 0 else UNSUPPORTED


def log_has_over_1000(n: Mapping[str, Any]) -> str:
    """Require more than 1,000 different runs in the authors' log; otherwise not supported."""
    return REPRODUCED if n["log_different"] > 1000 else UNSUPPORTED


# What was measured: formats of a number with its interval, of a chance, and of how many of ten have a trait.


def _span(name: str, form: str) -> str:
    return f"{{{name}:{form}}} ({{{name}_low:{form}}} to {{{name}_high:{form}}})"


def _chances(**words: str) -> str:
    """Tell of chances; each name of a number has its words."""
    told = (f"{word} {_span(f'{name}_holdout', '.2f')}" for name, word in words.items())
    return f"chance that a random run with it is better than one without, on held-out ratings: {', '.join(told)}"


def _of_ten(trait: str, also: str = "") -> str:
    return (
        f"{{{trait}_the_paper_s_ten}} of the paper's ten; of our own ten best {{{trait}_our_ten_released}} as "
        f"released, {{{trait}_our_ten_holdout}} on held-out ratings{also}"
    )


CLAIMS = (
    Claim(
        1,
        "a",
        "the best RMSE on MovieLens 100K is 0.833",
        CHAPTER_1,
        best_rmse_is_met,
        "{rmse_released:.3f} as released, {rmse_holdout:.3f} on held-out ratings; paired difference"
        " {gap_released:+.3f} ({gap_low_released:+.3f} to {gap_high_released:+.3f})",
        printed=True,
    ),
    Claim(
        1,
        "b",
        "which is lower than every method of Table 3",
        CHAPTER_8,
        is_below_table_3,
        "on held-out ratings {a_flexencoder_set1_beaten_in_table} of its {a_published_others} other methods are lower"
        " than the paper's best setting ({a_flexencoder_set1:.3f}), the lowest {a_best_in_table}"
        " ({a_best_in_table_rmse:.3f})",
        printed=True,
        also=CHAPTER_1,
    ),
    Claim(
        2,
        "a",
        "the ten best settings are all item-based",
        CHAPTER_3,
        partial(all_ten_have, trait="item_based"),
        _of_ten("item_based", " ({item_based_where_holdout} among those that hold out a fifth or more)"),
        printed=True,
    ),
    Claim(
        2,
        "b",
        "all with mean normalization",
        CHAPTER_3,
        partial(all_ten_have, trait="mean_normalization"),
        _of_ten("mean_normalization"),
        printed=True,
    ),
    Claim(
        2,
        "c",
        "their hidden layers in monotone order",
        CHAPTER_3,
        partial(all_ten_have, trait="layers_in_monotone_order"),
        _of_ten("layers_in_monotone_order"),
        printed=True,
    ),
    Claim(
        2,
        "d",
        "one hidden layer can be as good as several",
        CHAPTER_3,
        one_layer_is_as_good,
        "{one_hidden_layer_the_paper_s_ten} of the paper's ten have one, and"
        " {one_hidden_layer_the_paper_s_ten_base:.0f} % of the runs that they are compared with; of our own ten best"
        " {one_hidden_layer_our_ten_released} as released and {one_hidden_layer_our_ten_holdout} on held-out ratings,"
        " and {one_hidden_layer_our_ten_holdout_base:.0f} % of their sample",
    ),
    Claim(
        3,
        "a",
        "user-based runs reach 0.90 to 0.91",
        CHAPTER_5,
        user_based_runs_reach_it,
        "user-based runs of the fresh sample with 0.91 or less, each on its own test ratings as in the paper:"
        " {low_n_released} as released, {low_n_holdout} on held-out ratings",
        printed=True,
    ),
    Claim(
        3,
        "b",
        "helped most often by ADAM, SELU, one re-feeding and mean normalization",
        CHAPTER_5,
        partial(
            all_help,
            choices=("user_adam_holdout", "user_selu_holdout", "user_refeeding_holdout", "user_men_holdout"),
        ),
        _chances(user_adam="ADAM", user_selu="SELU", user_refeeding="one re-feeding", user_men="MeN")
        + ". {replay_low}",
        also=CHAPTER_2,
    ),
    Claim(
        4,
        "a",
        "no clear correlation between any pair of parameters",
        CHAPTER_5,
        no_pair_correlates,
        "the strongest in Figure 4 is {strongest}, {strongest_r:.2f}. A mixed sample that was never trained has the"
        " log's pattern ({design_like_log:.2f}), a random one has not ({random_like_log:.2f})",
        printed=True,
    ),
    Claim(
        4,
        "b",
        "nor of a parameter with the RMSE",
        CHAPTER_5,
        rmse_does_not_correlate,
        f"mean normalization and RMSE, rank correlation: {_span('men_holdout', '.2f')} on held-out ratings,"
        " {men_released:.2f} as released; Figure 4 prints a linear one of {men_printed:.2f}, the authors' log has"
        " {men_log_pearson:.2f}",
        printed=True,
    ),
    Claim(
        5,
        "a",
        "prediction rounding and re-feeding rounding do not help the RMSE",
        CHAPTER_6,
        rounding_does_not_help,
        "prediction rounding {rmse_random_change:+.4f} ({rmse_random_low:+.4f} to {rmse_random_high:+.4f}), that of"
        " re-feeding {rmse_refeeding_change:+.4f} ({rmse_refeeding_low:+.4f} to {rmse_refeeding_high:+.4f})",
    ),
    Claim(
        5,
        "b",
        "prediction rounding gives more 5-star predictions",
        CHAPTER_6,
        rounding_gives_five_stars,
        "{five_star_predictions_random_before:.1f} % of predictions before, {five_star_predictions_random_after:.1f}"
        " % after",
    ),
    Claim(
        5,
        "c",
        "and so more diverse recommendations",
        CHAPTER_6,
        rounding_diversifies,
        "that depends on the measure, and on how ties are broken: at random lists are more diverse by"
        " {more_diverse_random} of {diverse_measures} measures (coverage of the catalogue from"
        " {coverage_random_before:.1f} to {coverage_random_after:.1f} %, novelty {novelty_random_change:+.1f} bits),"
        " by popularity by {more_diverse_popular} (coverage to {coverage_popular_after:.1f} %, novelty"
        " {novelty_popular_change:+.1f} bits); by the unrounded prediction, {same_lists:.0f} % of lists stay",
    ),
    Claim(
        6,
        "a",
        "some dropout and noise is necessary: in random settings",
        CHAPTER_5,
        partial(all_help, choices=("dropout_holdout", "noise_holdout")),
        _chances(dropout="dropout", noise="noise"),
    ),
    Claim(
        6,
        "b",
        "the same: in the best settings of our search, each alone",
        CHAPTER_9,
        best_settings_need_both,
        "change of the best settings' validation RMSE: without dropout"
        f" {_span('no_dropout', '+.4f')}, without noise {_span('no_noise', '+.4f')}",
    ),
    Claim(
        6,
        "c",
        "the same: in the paper's best setting, at least one of them",
        EXPLORER,
        set_1_needs_either,
        f"change of its RMSE on held-out ratings: without both {_span('neither_holdout', '+.3f')}, without dropout"
        f" {_span('no_dropout_holdout', '+.3f')}, without noise {_span('no_noise_holdout', '+.3f')}; as released,"
        f" where noise falls on re-fed outputs alone: without dropout {_span('no_dropout_released', '+.3f')}",
    ),
    Claim(
        6,
        "d",
        "no clear evidence that high rates are better",
        CHAPTER_5,
        partial(none_helps, choices=("high_dropout_holdout", "high_noise_holdout")),
        _chances(high_dropout="high dropout", high_noise="high noise"),
    ),
    Claim(
        7,
        "",
        "activation and optimizer matter little for item-based runs",
        CHAPTER_5,
        choices_matter_little,
        "share of how item-based runs with mean normalization rank, in %, beyond chance: activation "
        f"{_span('activation_item_holdout', '.1f')}, optimizer {_span('optimizer_item_holdout', '.1f')}",
    ),
    Claim(
        8,
        "a",
        "on 1M the ten sets are all below 0.98",
        CHAPTER_7,
        all_sets_are_below,
        "{printed_above} of Figure 5's own ten values are above 0.98, by {printed_over:.3f} at most; ours below it:"
        " {below_released} of {compared_released} as released, {below_holdout} of {compared_holdout} on"
        " held-out ratings",
        printed=True,
    ),
    Claim(
        8,
        "b",
        "their mean is 0.961",
        CHAPTER_7,
        mean_is_met,
        "{mean_released:.3f} as released ({compared_released} sets that end well), {mean_holdout:.3f} on held-out"
        " ratings ({compared_holdout} sets)",
        printed=True,
    ),
    Claim(
        8,
        "c",
        "set 1 still the best of them, with 0.894",
        CHAPTER_7,
        set_1_is_still_best,
        "place {set_1_place_released} with {set_1_released:.3f} as released, place {set_1_place_holdout} with"
        " {set_1_holdout:.3f} on held-out ratings",
        printed=True,
    ),
    Claim(
        8,
        "d",
        "so that the sets generalize to a certain extent",
        CHAPTER_7,
        sets_generalize,
        "rank correlation of the RMSE of random settings with mean normalization on the two data sets, on held-out"
        f" ratings: {_span('item_holdout', '.2f')} item-based, {_span('user_holdout', '.2f')} user-based,"
        f" {_span('centred_holdout', '.2f')} over both; over all settings {_span('all_holdout', '.2f')}",
    ),
    Claim(
        9,
        "",
        "mean normalization beats filling missing entries with 3",
        CHAPTER_5,
        centring_beats_three,
        f"{_span('centred_that', '+.3f')} stars against filling with 3 on held-out ratings, over the"
        " {centred_that_n} settings that learn something",
    ),
    Claim(
        10,
        "",
        "over 1,000 runs within a week on one GTX 1080",
        CHAPTER_2,
        log_has_over_1000,
        "not to be measured again. The authors' log has {log_rows:,} rows, of which {log_repeated} are copies of"
        " another, so {log_different} different runs; it need not hold all that were made. Its training times add up"
        " to {log_hours:.1f} hours, copies included",
        printed=True,
    ),
)


def glued_numbers(path: str | Path) -> dict[str, Any]:
    """Read what an executed notebook glues.

    Parameters
    ----------
    path
        Of the notebook.

    Returns
    -------
    dict
        Name to number or text.

    Raises
    ------
    FlexError
        Naming the file, where it is no executed notebook.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # of JSON, of nbformat's schema, of the file system
        raise FlexError(f"{path}: cannot be read as an executed notebook ({type(error).__name__})") from None
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    glued = (output for output in outputs if "scrapbook" in output.get("metadata", {}))
    texts = {output.metadata["scrapbook"]["name"]: next(iter(output.data.values())) for output in glued}
    return {name: math.nan if text == "nan" else ast.literal_eval(text) for name, text in texts.items()}


def read_chapters(folder: str | Path, claims: Iterable[Claim] = CLAIMS) -> dict[str, dict[str, Any]]:
    """Read the numbers of those executed chapters that claims need and that are there.

    Parameters
    ----------
    folder
        Of the executed notebooks.
    claims
        What is to be judged.

    Returns
    -------
    dict
        Chapter to its glued numbers.

    Raises
    ------
    FlexError
        Where there is no such folder, or a file in it is no executed notebook.
    """
    if not Path(folder).is_dir():
        raise FlexError(f"{folder}: no such folder of executed chapters")
    names = {name for claim in claims for name in claim.chapters}
    paths = {name: Path(folder) / f"{name}.ipynb" for name in sorted(names)}
    return {name: glued_numbers(path) for name, path in paths.items() if path.exists()}


def dataset_of(glued: Mapping[str, Any]) -> str:
    """Name a chapter's data set, the first where it has two; "" where it glues none."""
    return str(glued.get("a_dataset", glued.get("dataset", "")))


def judge_claims(chapters: Mapping[str, Mapping[str, Any]], claims: Iterable[Claim] = CLAIMS) -> pd.DataFrame:
    """Judge each part of each claim by its rule.

    A part stays open where a chapter that it needs is not there, or where a number is NaN, such as the interval of a
    single split. A part about printed numbers also stays open where its chapter is not of the paper's data.

    Parameters
    ----------
    chapters
        Chapter to its glued numbers.
    claims
        What is to be judged.

    Returns
    -------
    pd.DataFrame
        One row a part, in the order of the claims:

        - claim: number and letter ("2a")
        - number: of the claim
        - says: the claim in short
        - verdict: one of `VERDICTS`
        - measured: a sentence; "" where the part is open
        - chapter: what measures it

    Raises
    ------
    FlexError
        Naming chapter and number, where a chapter does not glue a number that a claim reads.
    """
    rows = []
    for claim in claims:
        verdict, measured = _judge(claim, chapters)
        rows.append((claim.name, claim.number, claim.says, verdict, measured, claim.chapter))
    return pd.DataFrame(rows, columns=["claim", "number", "says", "verdict", "measured", "chapter"])


def _judge(claim: Claim, chapters: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """Give a part's verdict and what was measured."""
    if any(name not in chapters for name in claim.chapters):
        return OPEN, ""
    numbers = {name: value for chapter in claim.chapters for name, value in chapters[chapter].items()}
    measured = claim.measured.format_map(Glued(claim.chapters, numbers))
    if claim.printed and dataset_of(chapters[claim.chapter]) != PAPERS_DATASET:
        return OPEN, ""
    try:
        return claim.rule(Measured(claim.chapters, numbers)), measured
    except NotMeasuredError:
        return OPEN, ""


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """Judge each claim as a whole: it holds if every part does, so that its verdict is the least favourable one.

    Parameters
    ----------
    table
        Of `judge_claims`.

    Returns
    -------
    pd.DataFrame
        One row a claim:

        - number: of the claim
        - verdict: the least favourable of its parts' that are not open
        - parts: each part's own verdict, in words; "" where they agree
    """
    rows = []
    for number, own in table.groupby("number"):
        verdicts = [verdict for verdict in own["verdict"] if verdict != OPEN]
        parts = "; ".join(f"{row.claim} {row.verdict}" for row in own.itertuples())
        rows.append(
            {
                "number": number,
                "verdict": max(verdicts, key=VERDICTS.index, default=OPEN),
                "parts": parts if own["verdict"].nunique() > 1 else "",
            }
        )
    return pd.DataFrame(rows)


def claim_numbers(table: pd.DataFrame) -> dict[str, float | str]:
    """Collect the numbers of the chapter's prose.

    Parameters
    ----------
    table
        Of `judge_claims`.

    Returns
    -------
    dict
        Name to number or text:

        - parts: how many there are
        - reproduced, leak, unsupported, refuted, open: how many have each verdict
        - open_words: how many are open, as the end of a sentence; "" for none
        - verdict_N, parts_N: of claim N, as in `overall` ("-" where the parts agree)
        - verdict_NL, measured_NL: of part L of claim N
        - near, clear, little: `PRINTED_TOLERANCE`, `CLEAR` and `LITTLE`
    """
    names = {REPRODUCED: "reproduced", LEAK: "leak", UNSUPPORTED: "unsupported", REFUTED: "refuted", OPEN: "open"}
    counts = {name: int((table["verdict"] == verdict).sum()) for verdict, name in names.items()}
    found: dict[str, float | str] = {**counts, "parts": len(table)}
    found["open_words"] = f"; {counts['open']} are not measured on these data" if counts["open"] else ""
    for row in overall(table).to_dict("records"):
        found |= {f"verdict_{row['number']}": row["verdict"], f"parts_{row['number']}": row["parts"] or "-"}
    for row in table.to_dict("records"):
        found |= {f"verdict_{row['claim']}": row["verdict"], f"measured_{row['claim']}": row["measured"]}
    return found | {"near": PRINTED_TOLERANCE, "clear": CLEAR, "little": LITTLE}


def plot_verdicts(table: pd.DataFrame) -> Figure:
    """Draw the verdict of each part of each claim, a column a verdict.

    Parameters
    ----------
    table
        Of `judge_claims`.
    """
    colours = {
        REPRODUCED: COLOURS["holdout"],
        LEAK: COLOURS["released"],
        UNSUPPORTED: COLOURS["described"],
        REFUTED: COLOURS["paper"],
        OPEN: "#999999",
    }
    used = [verdict for verdict in VERDICTS if verdict in set(table["verdict"])]
    figure, ax = plt.subplots(figsize=(6.5, 1.6 + 0.42 * len(table)))
    for x, verdict in enumerate(used):
        places = np.flatnonzero(table["verdict"] == verdict)
        ax.scatter(np.full(len(places), x), places, marker="s", s=150, color=colours[verdict])
    ax.set(
        title="The paper's claims and what became of them",
        yticks=range(len(table)),
        yticklabels=[fill(f"{row.claim}  {row.says}", 42) for row in table.itertuples()],
        xticks=range(len(used)),
        xlim=(-0.6, len(used) - 0.4),
        ylim=(len(table) - 0.4, -0.6),
    )
    ax.set_xticklabels([fill(verdict, 12) for verdict in used])
    ax.tick_params(axis="both", labelsize="x-small")
    ax.xaxis.tick_top()
    for y in np.flatnonzero(table["number"].diff() > 0):  # between one claim's parts and the next one's
        ax.axhline(y - 0.5, color="#bbbbbb", linewidth=0.8)
    return figure
