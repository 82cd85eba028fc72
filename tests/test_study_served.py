"""The chapter on who is served: its tables, numbers and figures, by hand."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, not_told
from drawings import lines, ticks
from flexstudy import served as chapter
from flexstudy.served import LOOKS, gaps_to_reference, plot_to_biases, summarise_served, tabulate_cases
from flexstudy.served_cases import METHOD_NAMES, SERVED_COLUMNS, SHARES, SHOWN
from scipy import stats
from test_study_methods import interval
from test_study_served_runs import tuned_records

from flexlib.methods.tuning import Tuning

NAN = math.nan
TASK_CASES = {"by user": (3, 6), "by item": (0, 1), "new users": SHOWN, "new items": SHOWN, "sparsity": SHARES}
METHODS = ("flexencoder", "biases", "svdpp")
SHARE = 165 / 880  # of all ratings, that the random splits of `records_by` hold out


def p_of(values, share):
    """A plain t-test's p with its t made smaller, as splits overlap."""
    t = stats.ttest_1samp(values, 0).statistic / math.sqrt(1 + len(values) * share / (1 - share))
    return 2 * stats.t.sf(abs(t), len(values) - 1)


def planted(task, shown, method, seed):
    """FlexEncoder 1 star; biases a tenth above, more or less by split; SVD++ below where films are new."""
    if task.startswith("new") and shown == 0:
        return 1.2
    return 1 + {"flexencoder": 0, "biases": 0.1 + 0.001 * seed, "svdpp": -0.2 if task == "new items" else 0.3}[method]


def records_by(outcome=planted, seeds=3, methods=METHODS, n_test=150):
    rows = [
        {
            "group": task if task in ("new users", "new items") else "sparsity",
            "method": method,
            "seed": seed,
            "task": task,
            "shown": shown,
            "n_train": 700,
            "n_test": n_test + 10 * place,
            "n_unseen": 0,
            "n_users": 5,
            "n_items": 6,
            "rmse": outcome(task, shown, method, seed),
            "mae": 0.5,
            "rmse_known": 0.5,
            "rmse_own_fallback": outcome(task, shown, method, seed) + 0.5,
            "seconds": 1.0,
            "settings": "{}",
            "tuned": "t",
        }
        for task, cases in TASK_CASES.items()
        for place, shown in enumerate(cases)
        for method in methods
        for seed in range(seeds)
    ]
    facts = {name: "here" for name in SERVED_COLUMNS if name not in rows[0]}
    return pd.DataFrame(rows).assign(**facts).astype(SERVED_COLUMNS)[list(SERVED_COLUMNS)]


def test_errors_of_merged_bins_are_pooled():
    def outcome(task, shown, method, seed):
        lost = (task, shown, method, seed) == ("by item", 1, "svdpp", 1)
        return NAN if lost else 0.5 + shown / 10 + seed

    records = records_by(outcome, n_test=60)
    # In split 2 no film of the lower bin has a test rating
    records = records[(records["task"] != "by item") | (records["shown"] != 0) | (records["seed"] != 2)]
    table = tabulate_cases(records).set_index(["task", "method", "seed", "shown"]).sort_index()
    by_user = table.loc["by user", "biases", 1]
    assert by_user["case"].tolist() == ["3-10"]
    assert by_user["n_test"].tolist() == [60 + 70]
    pooled = math.sqrt((60 * 1.8**2 + 70 * 2.1**2) / 130)
    assert by_user["rmse"].tolist() == pytest.approx([pooled])
    own = math.sqrt((60 * 2.3**2 + 70 * 2.6**2) / 130)
    assert by_user["rmse_own_fallback"].tolist() == pytest.approx([own])
    # 0 ratings of the lower bin in one split: together 70 in that one, and the bins are the same for all splits
    by_item = table.loc["by item"]
    assert set(by_item["case"]) == {"0-2"}
    assert by_item.loc["biases", "n_test"].tolist() == [130, 130, 70]
    assert by_item.loc["biases", 2]["rmse"].tolist() == pytest.approx([2.6])
    assert math.isnan(by_item.loc["svdpp", 1]["rmse"].iloc[0])  # a part is no whole
    assert not math.isnan(by_item.loc["svdpp", 0]["rmse"].iloc[0])
    assert table.loc["sparsity", "biases", 0]["case"].tolist() == ["12.5", "25", "50", "100"]
    assert set(table["case"]["new users"]) == {"0", "1", "2", "5", "10"}
    apart = records_by(n_test=150)
    assert cases_of(apart, "by user") == {"3-5", "6-10"}
    assert cases_of(apart, "by item") == {"0", "1-2"}
    few = (apart["task"] == "by item") & (apart["shown"] == 0) & (apart["seed"] == 2)
    for records in (apart[~few], apart.assign(n_test=apart["n_test"].where(~few, 99))):  # one split decides for all
        assert cases_of(records, "by item") == {"0-2"}


def cases_of(records, task):
    table = tabulate_cases(records)
    return set(table[table["task"] == task]["case"])


def test_means_and_intervals_by_hand():
    table = summarise_served(tabulate_cases(records_by()))
    own = table.set_index(["task", "shown", "method"])
    row = own.loc["sparsity", 12.5, "biases"]
    assert tuple(row[["mean", "low", "high"]]) == interval([1.1, 1.101, 1.102], SHARE)
    assert (row["name"], row["case"], row["n"], row["n_test"]) == ("User and item biases", "12.5", 3, 180)
    assert row["own"] == pytest.approx(1.601)
    assert len(table) == len(METHODS) * sum(map(len, TASK_CASES.values()))
    lost = records_by(lambda task, shown, method, seed: NAN if seed == 1 else planted(task, shown, method, seed))
    row = summarise_served(tabulate_cases(lost)).iloc[0]
    assert row["n"] == 2


def test_draws_hold_out_the_share_that_they_hold_out():
    """700 training ratings in each; the most test ratings are 150 + 40 or 150 + 30, and the mean is 20 or 15 less."""
    shares = tabulate_cases(records_by()).groupby("task")["share"].unique()
    assert {task: own.tolist() for task, own in shares.items()} == {
        "new users": [pytest.approx(170 / 890)],
        "new items": [pytest.approx(170 / 890)],
        **{task: [pytest.approx(SHARE)] for task in ("sparsity", "by user", "by item")},
    }


def test_a_method_with_fewer_draws_is_moved_to_the_level_of_all():
    """Draws 3 and 4 are far harder for every method: who lacks them would look better than all others."""

    def outcome(task, shown, method, seed):
        level = {"flexencoder": 1.0, "biases": 1.1, "svdpp": 1.05}[method] + 0.4 * (seed > 2)
        return level + 0.01 * seed * (method == "biases")

    records = records_by(outcome, seeds=5)
    fewer = records[(records["method"] != "svdpp") | (records["seed"] < 3)]
    cases = tabulate_cases(fewer)
    own = summarise_served(cases).set_index(["task", "shown", "method"]).loc["sparsity", 100]
    assert own["n"].to_dict() == {"biases": 5, "flexencoder": 5, "svdpp": 3}
    assert own.loc["flexencoder", "mean"] == pytest.approx(1.16)
    assert own.loc["biases", "mean"] == pytest.approx(1.1 + 0.16 + 0.02)
    # Its draws are easier by 0.16, and by half of the 0.01 by which biases grow on average
    assert own.loc["svdpp", "mean"] == pytest.approx(1.05 + 0.16 + 0.005)
    assert own.loc["svdpp", "own"] == pytest.approx(1.55 + 0.16 + 0.005)
    raw = interval([1.05] * 3, SHARE).expected
    assert own.loc["svdpp", "high"] - own.loc["svdpp", "mean"] == pytest.approx(raw[2] - raw[0])
    gaps = gaps_to_reference(cases, "flexencoder").set_index(["task", "shown", "method"])
    row = gaps.loc["sparsity", 100, "svdpp"]
    assert (row["n"], row["gap"]) == (3, pytest.approx(0.05))
    numbers = numbers_of(fewer)
    assert (numbers["n_splits"], numbers["fewest"]) == (5, 3)


def test_tries_are_said_as_the_records_have_them():
    records = records_by()
    is_ours = records["method"] == "flexencoder"

    def words(ours, others):
        return chapter.tries_words(records.assign(tuned=is_ours.map({True: ours, False: others})))

    assert words("tuned-x-10tries", "tuned-x-10tries").startswith(
        "All methods with something to tune had 10 tries a split."
    )
    more = words("tuned-x-100tries", "tuned-x-10tries")
    assert "100 tries a split, and the others 10" in more
    assert "advantage" in more
    assert "advantage" not in words("tuned-x-5tries", "tuned-x-10tries")
    assert "do not say" in words("mine", "tuned-x-10tries")
    for kept in (is_ours, ~is_ours):  # where every try of one was too costly, no record has it
        found = chapter.tries_words(records[kept].assign(tuned="tuned-x-3tries"))
        assert found == "All methods with something to tune had 3 tries a split."


def test_what_a_difference_to_biases_says_follows_from_its_test():
    assert chapter.gap_words((-0.0123, -0.02, -0.01), 0.04) == "clearly below that of biases by 0.012 stars"
    assert chapter.gap_words((0.0123, -0.02, 0.04), 0.06) == "above that of biases by 0.012 stars, which is not clear"
    assert chapter.gap_words((0.01, NAN, NAN), NAN) == "above that of biases by 0.010 stars on one draw"
    assert chapter.gap_words((0.0004, -1, 1), 0.9) == "equal to that of biases, to a thousandth of a star"
    assert chapter.gap_words((NAN, NAN, NAN), NAN) == "not comparable with that of biases"


def test_the_chapter_needs_what_it_compares(refused):
    assert chapter.chosen_methods("") == tuple(METHOD_NAMES)
    assert chapter.chosen_methods("biases flexencoder") == ("biases", "flexencoder")
    refused(lambda: chapter.chosen_methods("flexencoder svdpp"), "flexencoder svdpp", "needs flexencoder and biases")
    refused(lambda: chapter.chosen_methods("flexencoder biases als"), "als is not one of", "item_mean")


def test_differences_are_paired_and_corrected_over_the_cases():
    def outcome(task, shown, method, seed):
        base = 1 + seed  # splits differ far more than methods
        if method == "biases":
            return base + 0.1 + 0.01 * seed * (1 + (shown > 4))
        if method == "item_mean":
            return base + 0.2 + 0.07 * seed
        return NAN if (method, seed) == ("svdpp", 2) else base

    cases = tabulate_cases(records_by(outcome, methods=(*METHODS, "item_mean")))
    gaps = gaps_to_reference(cases, "flexencoder")
    assert set(gaps["method"]) == {"biases", "svdpp", "item_mean"}
    own = gaps[(gaps["task"] == "new users") & (gaps["method"] == "biases")].set_index("shown")
    new = 170 / 890  # the share that new users' draws hold out here
    few, many = [0.1, 0.11, 0.12], [0.1, 0.12, 0.14]
    for shown, each in ((0, few), (1, few), (2, few), (5, many), (10, many)):
        assert tuple(own.loc[shown, ["gap", "low", "high"]]) == interval(each, new)
    p_few, p_many = (p_of(each, new) for each in (few, many))
    assert p_few < p_many  # three with the lower p: 5, 4 and 3 times, and none below the one before
    assert own["p"].tolist() == pytest.approx([5 * p_few] * 3 + [max(5 * p_few, 2 * p_many)] * 2)
    own = gaps[(gaps["task"] == "sparsity") & (gaps["method"] == "item_mean")]  # each method is a family of its own
    assert own["p"].tolist() == pytest.approx([4 * p_of([0.2, 0.27, 0.34], SHARE)] * 4)
    lost = gaps[gaps["method"] == "svdpp"]
    assert set(lost["n"]) == {2}
    assert lost["gap"].abs().max() < 1e-12
    assert lost["p"].isna().all()
    other = gaps_to_reference(cases, "biases").set_index(["task", "method", "shown"])
    assert other.loc[("new users", "flexencoder", 0), "gap"] == pytest.approx(-0.11)
    assert len(gaps_to_reference(cases, "bpmf")) == 0
    one = gaps_to_reference(tabulate_cases(records_by(seeds=1)), "flexencoder")
    assert one["gap"].notna().all()
    assert one[["low", "high", "p"]].isna().all(axis=None)


def test_the_table_has_the_first_and_the_last_case_in_which_methods_differ():
    def outcome(task, shown, method, seed):
        return planted(task, shown, method, seed) + 0.05 * (shown == 10) * seed * (method == "flexencoder")

    table = chapter.ends_table(gaps_to_reference(tabulate_cases(records_by(outcome)), "biases"))
    assert table.index.tolist() == list(chapter.TASKS.values())
    row = table.loc[chapter.TASKS["new users"]].tolist()
    assert row[:3:2] == ["1", "10"]  # without a rating all have the same
    few, many = (interval([-0.1 + each * seed for seed in range(3)], 170 / 890).expected for each in (-0.001, 0.049))
    assert row[1::2] == [
        f"{gap:+.3f} ({low:+.3f} to {high:+.3f}){star}" for (gap, low, high), star in ((few, " *"), (many, ""))
    ]
    assert row[4] == 3
    alone = chapter.ends_table(gaps_to_reference(tabulate_cases(records_by(methods=("biases",))), "biases"))
    assert not len(alone)


def numbers_of(records):
    cases = tabulate_cases(records)
    return chapter.served_numbers(records, cases, summarise_served(cases))


def test_the_numbers_by_hand():
    numbers = numbers_of(records_by())
    assert (numbers["n_splits"], numbers["fewest"]) == (3, 3)
    assert [numbers[f"sparsity_{end}_case"] for end in ("first", "last")] == ["12.5", "100"]
    assert [numbers[f"by_user_{end}_case"] for end in ("first", "last")] == ["3-5", "6-10"]
    assert numbers["new_users_first_case"] == "1"
    none = [numbers[f"new_users_none_flexencoder{end}"] for end in ("", "_own")]
    assert none == pytest.approx([1.2, 1.7])
    less = tuple(numbers[f"new_users_last_gap{end}"] for end in ("", "_low", "_high"))
    assert less == interval([-0.1, -0.101, -0.102], 170 / 890)
    assert numbers["new_users_last_gap_words"] == "clearly below that of biases by 0.101 stars"
    # Without a rating all have the same, which no test tells apart.
    assert {name: numbers[f"{name}_cases"] for name in ("new_users", "new_items", "sparsity", "by_user")} == {
        "new_users": 4,
        "new_items": 4,
        "sparsity": 4,
        "by_user": 2,
    }
    assert numbers["new_users_below"] == 4
    assert (numbers["new_users_new"], numbers["new_items_new"]) == (5, 6)
    assert not any("svdpp" in key for key in numbers)


def test_the_first_case_is_one_in_which_methods_differ():
    def outcome(task, shown, method, seed):
        return 1.3 if shown in (0, 3) else planted(task, shown, method, seed)

    numbers = numbers_of(records_by(outcome))
    assert (numbers["by_item_first_case"], numbers["by_item_cases"]) == ("1-2", 1)
    assert (numbers["by_user_first_case"], numbers["by_user_cases"]) == ("6-10", 1)
    assert numbers["by_item_first_gap"] == pytest.approx(-0.101)
    alone = numbers_of(records_by(methods=("flexencoder",)))
    assert (alone["by_item_first_case"], alone["by_item_cases"]) == ("0", 0)


def test_every_number_has_its_name_though_a_method_is_not_there():
    numbers, alone = numbers_of(records_by()), numbers_of(records_by(methods=("flexencoder",)))
    assert set(alone) == set(numbers)
    lost = {name for name, value in alone.items() if isinstance(value, float) and math.isnan(value)}
    assert lost == {name for name in numbers if re.search(r"_gap(_low|_high)?$", name)}
    assert alone["new_users_last_gap_words"] == "not comparable with that of biases"


def test_numbers_where_biases_are_better_and_where_there_is_one_split():
    worse = numbers_of(records_by(lambda task, shown, method, seed: 2 - planted(task, shown, method, seed)))
    assert worse["sparsity_below"] == 0
    one = numbers_of(records_by(seeds=1))
    assert one["sparsity_below"] == 0
    assert math.isnan(one["sparsity_first_gap_low"])


def test_every_number_of_the_chapters_text_is_there():
    assert not_told("10_served", numbers_of(records_by())) == set()


def test_figures_draw_differences_with_names_at_their_ends(drawn):
    def outcome(task, shown, method, seed):
        if method == "item_mean":
            return 2.0
        if method == "svdpp":  # as good as biases, or far above them
            return planted(task, shown, "biases", seed) + (0.3 if task == "by user" else 0)
        return planted(task, shown, method, seed)

    cases = tabulate_cases(records_by(outcome, methods=(*METHODS, "item_mean")))
    gaps = gaps_to_reference(cases, "biases")
    above, below = plot_to_biases(gaps, ["new users", "by user"]).axes
    assert above.get_xlabel() == "ratings shown of a new user"
    assert above.get_title(loc="left") == "New users: FlexEncoder -0.101 with few, -0.101 with many"
    assert ticks(above.xaxis) == ["1", "2", "5", "10"]  # without a rating all are the same
    assert ticks(below.xaxis) == ["3-5", "6-10"]
    (ours,), (other,) = lines(above, "FlexEncoder"), lines(above, "SVD++")
    assert ours.get_xdata().tolist() == [0, 1, 2, 3]
    assert ours.get_ydata() == pytest.approx([-0.101] * 4)
    assert other.get_ydata() == pytest.approx([0] * 4)
    (bars,) = above.containers
    assert [end[1] for end in bars.lines[2][0].get_segments()[0]] == pytest.approx(
        interval([-0.1, -0.101, -0.102], 170 / 890).expected[1:]
    )
    dots = [line for line in above.get_lines() if line.get_marker() == "o"]
    filled = [(len(line.get_xdata()), line.get_fillstyle(), line.get_color()) for line in dots if len(line.get_xdata())]
    assert filled[0] == (4, "full", LOOKS["flexencoder"][1])
    assert [text.get_text() for text in above.texts] == ["FlexEncoder (3)", "biases", "SVD++ (3)"]
    heights = [text.xy[1] for text in above.texts]
    assert min(np.diff(heights)) >= 0.08 * np.diff(above.get_ylim())[0]  # none covers another
    assert below.get_ylim()[1] <= 0.09
    assert set(LOOKS) == set(METHOD_NAMES) - {"biases", "item_mean"}


def test_where_no_folder_is_named_methods_are_tuned_and_scored(monkeypatch):
    plan = Tuning(SMALL, ("biases", "item_mean"), 0.3, 2)
    asked = []

    def run_tuning(tuning, folder):
        asked.append(tuning)
        tuned_records(folder / f"{tuning.name}.parquet", splits=2)

    monkeypatch.setattr(chapter, "run_tuning", run_tuning)
    found = chapter.find_served(plan)
    assert asked == [plan]
    assert set(found["seed"]) == {0, 1}
    assert set(found["task"]) == set(TASK_CASES)
    assert found["rmse"].between(0.3, 2).all()
    settings = found[found["method"] == "biases"].groupby("seed")["settings"].unique()
    assert [list(map(json.loads, own)) for own in settings] == [[{"item_shrinkage": 5.0}], [{"item_shrinkage": 6.0}]]


def test_fewer_draws_alone_make_no_difference_between_methods():
    """Draws are harder by another amount in each case, so that the means of fewer draws are not those of all."""

    def outcome(task, shown, method, seed):
        return planted(task, shown, method, seed) + 0.01 * seed * (1 + shown)

    records = records_by(outcome, seeds=5)
    fewer = records[(records["method"] != "svdpp") | (records["seed"] < 3)]
    for given in (records, fewer):
        numbers = numbers_of(given)
        assert (numbers["new_users_first_case"], numbers["new_users_cases"]) == ("1", 4)
