"""Rules: from the numbers that chapters glue to a verdict on each statement of the paper.

`statements.yaml` names the rule of each statement with its arguments, and has it in words.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flexstudy.paper import PRINTED_TOLERANCE
from flexstudy.statistics import SIGNIFICANT

REPRODUCED = "reproduced"
LEAK = "only with the leak"
UNSUPPORTED = "not supported"
REFUTED = "refuted"
OPEN = "not measured on these data"
MIXED = "mixed"  # of a claim whose parts differ
VERDICTS = (REPRODUCED, LEAK, UNSUPPORTED, REFUTED, OPEN)  # from the most to the least favourable one, then none

CLEAR = 0.5  # correlation, from which on it is clear
NEARLY_TEN = 9  # of our own ten best, from which on they count as all ten
BELOW_MEANS = 0.01  # stars below item means, from which on sets count as lower than these
ONE_IN = 20  # rows of the log, of which one may vary a single parameter for all to count as random

Numbers = Mapping[str, Any]
Rule = Callable[..., str]


def _by_protocol(leaky: bool, leak_free: bool) -> str:
    """Judge what is to hold under both protocols."""
    if not leaky:
        return UNSUPPORTED
    return REPRODUCED if leak_free else LEAK


def _near(value: float, printed: float) -> bool:
    # Printed numbers have three digits; a tolerance that is met to the digit counts as met.
    return bool(abs(value - printed) <= PRINTED_TOLERANCE + 1e-9)


def _helps(n: Numbers, choice: str) -> bool:
    chance, p = n[choice], n[f"{choice}_p"]
    return bool(chance > 0.5 and p < SIGNIFICANT)


# Rules that several statements share


def printed_is_met(n: Numbers, printed: str, measured: str) -> str:
    """Require a printed RMSE within the tolerance under both protocols."""
    expected = float(n[printed])
    return _by_protocol(_near(n[f"{measured}_released"], expected), _near(n[f"{measured}_holdout"], expected))


def reaches(n: Numbers, measured: str, printed: float) -> str:
    """Require an RMSE of at most a printed one, plus the tolerance, under both protocols."""
    highest = printed + PRINTED_TOLERANCE
    return _by_protocol(n[f"{measured}_released"] <= highest, n[f"{measured}_holdout"] <= highest)


def counts_reach(n: Numbers, counted: str, needed: str | int, otherwise: str) -> str:
    """Require that a count reaches another one, or a number."""
    return REPRODUCED if n[counted] >= (n[needed] if isinstance(needed, str) else needed) else otherwise


def more_than(n: Numbers, counted: str, limit: float, otherwise: str = UNSUPPORTED) -> str:
    """Require a number above a limit."""
    return REPRODUCED if n[counted] > limit else otherwise


def is_within(n: Numbers, measured: str, limit: float) -> str:
    """Require a number of at most a limit; otherwise refuted."""
    return REPRODUCED if n[measured] <= limit else REFUTED


def is_significant(n: Numbers, p: str) -> str:
    """Require a corrected p below 0.05; otherwise not supported."""
    return REPRODUCED if n[p] < SIGNIFICANT else UNSUPPORTED


def is_above_0(n: Numbers, low: str) -> str:
    """Require an interval above 0; otherwise not supported."""
    return REPRODUCED if n[low] > 0 else UNSUPPORTED


def is_below_0(n: Numbers, high: str) -> str:
    """Require an interval below 0; otherwise not supported."""
    return REPRODUCED if n[high] < 0 else UNSUPPORTED


def all_help(n: Numbers, choices: Iterable[str]) -> str:
    """Require that a run with each of the choices is likelier to be the better one of two; otherwise not supported."""
    return REPRODUCED if all(_helps(n, choice) for choice in choices) else UNSUPPORTED


def none_helps(n: Numbers, choices: Iterable[str]) -> str:
    """Require that no choice makes a run likelier to be the better one of two; otherwise refuted."""
    return REFUTED if sum(_helps(n, choice) for choice in choices) else REPRODUCED


# Claims 1 and 2: the lowest RMSE, and the ten best


def is_below_table_3(n: Numbers) -> str:
    """Require that set 1 is clearly lower than every other method of Table 3, leak-free.

    Not supported if none of them is clearly lower than set 1. Otherwise only with the leak, if set 1's leaky RMSE is
    below the lowest of theirs; else refuted.
    """
    if n["a_set1_lower_in_table"] >= n["a_compared_in_table"]:
        return REPRODUCED
    if n["a_lower_in_table"] == 0:
        return UNSUPPORTED
    return LEAK if n["rmse_released"] < n["a_best_in_table_rmse"] else REFUTED


def all_ten_have(n: Numbers, trait: str) -> str:
    """Require a trait of all of the paper's ten, else refuted, and of `NEARLY_TEN` of ours under both protocols."""
    if n[f"{trait}_the_paper_s_ten"] < 10:
        return REFUTED
    released, holdout = n[f"{trait}_our_ten_released"], n[f"{trait}_our_ten_holdout"]
    return _by_protocol(released >= NEARLY_TEN, holdout >= NEARLY_TEN)


def one_layer_is_as_good(n: Numbers) -> str:
    """Require one hidden layer of one of our ten best, under both protocols; otherwise not supported."""
    fewest = min(n["one_hidden_layer_our_ten_released"], n["one_hidden_layer_our_ten_holdout"])
    return REPRODUCED if fewest >= 1 else UNSUPPORTED


# Claims 4 to 7: correlation, rounding, dropout and noise, activation and optimizer


def no_pair_correlates(n: Numbers) -> str:
    """Require that the strongest correlation of Figure 4 is weaker than `CLEAR`; otherwise refuted."""
    return REPRODUCED if abs(n["strongest_r"]) < CLEAR else REFUTED


def rmse_does_not_correlate(n: Numbers) -> str:
    """Require that the interval of mean normalization's correlation does not lie beyond `CLEAR`; otherwise refuted."""
    is_clear = n["men_holdout_low"] > CLEAR or n["men_holdout_high"] < -CLEAR
    return REFUTED if is_clear else REPRODUCED


def rounding_does_not_help(n: Numbers) -> str:
    """Require that neither rounding lowers the RMSE with an interval that excludes 0; otherwise refuted."""
    return REPRODUCED if min(n["rmse_random_high"], n["rmse_refeeding_high"]) >= 0 else REFUTED


def best_settings_need_both(n: Numbers) -> str:
    """Require a higher validation RMSE without either, with intervals that exclude 0; otherwise not supported."""
    return REPRODUCED if min(n["no_dropout_low"], n["no_noise_low"]) > 0 else UNSUPPORTED


def set_1_needs_either(n: Numbers) -> str:
    """Require a higher RMSE of set 1 without both, with intervals that exclude 0, under both protocols."""
    return _by_protocol(n["neither_released_low"] > 0, n["neither_holdout_low"] > 0)


def no_rate_lowers(n: Numbers) -> str:
    """Require that no interval of the change from a low to a high rate lies below 0; otherwise refuted."""
    names = (f"high_{what}_{protocol}_high" for what in ("dropout", "noise") for protocol in ("released", "holdout"))
    return REPRODUCED if min([n[name] for name in names]) >= 0 else REFUTED


def choices_are_comparable(n: Numbers, parameter: str) -> str:
    """Require a spread between choices within the tolerance, and so the upper end of its interval.

    Not supported if only the spread is within; otherwise refuted.
    """
    if n[f"{parameter}_spread"] > PRINTED_TOLERANCE:
        return REFUTED
    return REPRODUCED if n[f"{parameter}_spread_high"] <= PRINTED_TOLERANCE else UNSUPPORTED


# Claim 8: larger data


def all_sets_are_below(n: Numbers) -> str:
    """Require that all ten sets end well and score at most 0.98 plus the tolerance, under both protocols."""
    met = {
        protocol: n[f"compared_{protocol}"] == 10 and n[f"worst_{protocol}"] <= 0.98 + PRINTED_TOLERANCE
        for protocol in ("released", "holdout")
    }
    return _by_protocol(met["released"], met["holdout"])


def mean_is_met(n: Numbers) -> str:
    """Require the printed mean within the tolerance, and `BELOW_MEANS` below the item means, under both protocols."""
    met = {
        protocol: _near(n[f"mean_{protocol}"], n["claimed_mean"])
        and n[f"mean_{protocol}"] <= n[f"item_mean_large_{protocol}"] - BELOW_MEANS
        for protocol in ("released", "holdout")
    }
    return _by_protocol(met["released"], met["holdout"])


def set_1_is_still_best(n: Numbers) -> str:
    """Require that set 1 is first with its printed RMSE, leaky, and first leak-free."""
    is_met = n["set_1_place_released"] == 1 and _near(n["set_1_released"], n["claimed_first"])
    return _by_protocol(is_met, n["set_1_place_holdout"] == 1)


def order_carries_over(n: Numbers, correlation: str) -> str:
    """Require that the interval of a rank correlation lies above `CLEAR`; otherwise not supported."""
    return REPRODUCED if n[f"{correlation}_low"] > CLEAR else UNSUPPORTED


def larger_is_worse(n: Numbers) -> str:
    """Require that more sets score higher on the larger data than chance gives, under both protocols."""
    met = {
        protocol: 2 * n[f"higher_on_large_{protocol}"] > n[f"higher_on_large_n_{protocol}"]
        and n[f"higher_on_large_p_{protocol}"] < SIGNIFICANT
        for protocol in ("released", "holdout")
    }
    return _by_protocol(met["released"], met["holdout"])


# Claims 10 to 14: the log, the effect of parameters, the data


def pivots_are_met(n: Numbers) -> str:
    """Require rows that round to 700 user-based and 300 item-based ones, or within 10 %; otherwise not supported."""
    met = all(
        round(n[name], -2) == printed or abs(n[name] - printed) <= printed / 10
        for name, printed in (("log_user", 700), ("log_item", 300))
    )
    return REPRODUCED if met else UNSUPPORTED


def range_is_met(n: Numbers) -> str:
    """Require the printed lowest and highest RMSE of the log, to a unit of their last digit; otherwise refuted."""
    met = abs(n["log_lowest"] - 0.833) <= 0.001 and abs(n["log_highest"] - 11.060) <= 0.001
    return REPRODUCED if met else REFUTED


def spread_is_wide(n: Numbers) -> str:
    """Require that the middle half of the RMSE of random settings is wider than the tolerance, under both protocols."""
    return _by_protocol(n["middle_half_released"] > PRINTED_TOLERANCE, n["middle_half_holdout"] > PRINTED_TOLERANCE)


def grid_spans(n: Numbers, grid: str) -> str:
    """Require that the RMSE over a grid of the explorer spans more than the tolerance, under both protocols."""
    return _by_protocol(*(n[f"span_{grid}_{protocol}"] > PRINTED_TOLERANCE for protocol in ("released", "holdout")))


def runs_are_random(n: Numbers) -> str:
    """Require that at most one row of the log in `ONE_IN` varies a single parameter; otherwise refuted."""
    return REPRODUCED if ONE_IN * n["log_designed_rows"] <= n["log_rows"] else REFUTED


def sizes_are_met(n: Numbers) -> str:
    """Require that ratings, films and users round to 100,000, 9,000 and 700; otherwise refuted."""
    met = round(n["data_ratings"], -3) == 100_000 and _has_papers_counts(n["data_users"], n["data_items"])
    return REPRODUCED if met else REFUTED


def scale_is_met(n: Numbers) -> str:
    """Require that the lowest and the highest rating are 1 and 5; otherwise refuted."""
    return REPRODUCED if (n["data_lowest"], n["data_highest"]) == (1, 5) else REFUTED


def data_are_the_same(n: Numbers) -> str:
    """Require that the data on which Table 3's others are quoted round to the paper's counts; otherwise refuted."""
    return REPRODUCED if _has_papers_counts(n["quoted_users"], n["quoted_items"]) else REFUTED


def _has_papers_counts(users: int, items: int) -> bool:
    return round(users, -2) == 700 and round(items, -3) == 9000
