"""The chapter on the claims: how statements are judged by what chapters glue, and what is committed."""

import json
import math
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nbformat
import pandas as pd
import pytest
from flexstudy.claims import (
    PRINTED,
    STATEMENTS,
    Statement,
    claim_numbers,
    every_verdict,
    glued_numbers,
    improvement_table,
    judge_claims,
    overall,
    read_chapters,
)
from flexstudy.paper import PRINTED_TOLERANCE
from flexstudy.rules import CLEAR, LEAK, MIXED, OPEN, REFUTED, REPRODUCED, UNSUPPORTED, VERDICTS
from nbformat import v4
from test_project import ROOT
from test_study_rules import BY_NAME, CASES

from flexlib.config import PAPERS_DATASET

NAN = math.nan
COMMITTED = ROOT / "results" / "executed"
SAME = {"dataset": PAPERS_DATASET}


class Noted(dict):
    """Numbers, and the names that were read of them."""

    def __init__(self, numbers):
        super().__init__(numbers)
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)


def told_of(statement):
    """The names of the numbers that a statement's formats tell."""
    parsed = (part for text in statement.formats.values() for part in string.Formatter().parse(text))
    return {field for _, field, _, _ in parsed if field}


@pytest.mark.parametrize("name", [name for name, one in BY_NAME.items() if one.chapter != PRINTED])
def test_what_could_not_be_measured_says_nothing_on_a_claim(name):
    """An interval of a single pair has no ends, a run that diverged no RMSE, and too few runs no p."""
    statement = BY_NAME[name]
    told = dict.fromkeys(told_of(statement), 0.0)
    noted = Noted(statement.holds)
    statement.verdict(noted)
    for key in noted.read:
        own = told | SAME | dict(statement.holds) | {key: NAN}
        table = judge_claims(dict.fromkeys(statement.chapters, own), (statement,))
        assert table["verdict"].item() == OPEN


@dataclass(frozen=True)
class ByHand(Statement):
    """A statement whose rule is given as a function."""

    given: Callable[[Any], str] = str

    def verdict(self, numbers):
        return self.given(numbers)


def by_hand(claim, part, says, chapter, given, measured="", printed=False, also="", leaky="", leak_free=""):
    texts = dict.fromkeys(("where", "reading", "rule", "judge", "evidence"), "")
    return ByHand(
        claim=claim,
        part=part,
        says=says,
        chapter=chapter,
        measured=measured,
        leaky=leaky,
        leak_free=leak_free,
        printed=printed,
        also=also,
        given=given,
        holds={},
        fails={},
        **texts,
    )


HAND = (
    by_hand(1, "a", "printed", "x", lambda n: REPRODUCED if n["n"] else REFUTED, "{n:.2f} of it", True),
    by_hand(1, "b", "not printed", "x", lambda n: LEAK, "{n:d}"),
    by_hand(2, "", "of two", "y", lambda n: REFUTED if n["m"] > n["n"] else UNSUPPORTED, "{m} and {n}", False, "x"),
)


def test_claims_are_judged_by_their_chapters():
    table = judge_claims({"x": SAME | {"n": 1}, "y": SAME | {"m": 2}}, HAND)
    measured = ["measured", "apart", "leaky", "leak_free"]
    assert table.columns.tolist() == ["claim", "number", "says", "verdict", *measured, "chapter"]
    assert table["claim"].tolist() == ["1a", "1b", "2"]
    assert table["number"].tolist() == [1, 1, 2]
    assert table["verdict"].tolist() == [REPRODUCED, LEAK, REFUTED]
    assert table["measured"].tolist() == ["1.00 of it", "1", "2 and 1"]
    assert table["says"].tolist() == ["printed", "not printed", "of two"]
    assert table["chapter"].tolist() == ["x", "x", "y"]


def test_what_was_measured_under_each_protocol_is_told_apart_and_joined():
    protocols = {"leaky": "{n:.1f}", "leak_free": "{m:.1f} stars"}
    given = (
        by_hand(1, "a", "both", "x", lambda n: LEAK, **protocols),
        by_hand(1, "b", "of what", "x", lambda n: LEAK, "{m} of both", **protocols),
        by_hand(1, "c", "one", "x", lambda n: LEAK, leak_free="{m}"),
        by_hand(1, "d", "neither", "x", lambda n: LEAK, "{m}", printed=True),
    )
    table = judge_claims({"x": {"n": 1, "m": 2}}, given)
    joined = ["leaky: 1.0; leak-free: 2.0 stars", "2 of both; leaky: 1.0; leak-free: 2.0 stars", "leak-free: 2", ""]
    assert table["measured"].tolist() == joined
    assert table["apart"].tolist() == ["", "2 of both", "", ""]
    assert table["leaky"].tolist() == ["1.0", "1.0", "", ""]
    assert table["leak_free"].tolist() == ["2.0 stars", "2.0 stars", "2", ""]
    numbers = claim_numbers(table)
    assert [numbers[f"{what}_1b"] for what in ("apart", "leaky", "leak_free")] == ["2 of both", "1.0", "2.0 stars"]


def test_other_data_leave_open_what_is_about_printed_numbers():
    table = judge_claims({"x": {"dataset": "ml-1m", "n": 1}, "y": {"m": 0}}, HAND)
    assert table["verdict"].tolist() == [OPEN, LEAK, UNSUPPORTED]
    assert table["measured"].tolist() == ["", "1", "0 and 1"]
    # The chapter on other methods has two data sets, of which the first counts.
    for first, verdict in ((PAPERS_DATASET, REPRODUCED), ("ml-1m", OPEN)):
        own = {"a_dataset": first, "b_dataset": PAPERS_DATASET, "n": 1}
        assert judge_claims({"x": own}, HAND)["verdict"].tolist()[0] == verdict


def test_a_chapter_that_is_not_there_leaves_its_claims_open():
    assert judge_claims({}, HAND)["verdict"].tolist() == [OPEN] * 3
    assert judge_claims({"x": SAME | {"n": 1}}, HAND)["verdict"].tolist() == [REPRODUCED, LEAK, OPEN]
    assert judge_claims({"y": SAME | {"m": 1}}, HAND)["verdict"].tolist() == [OPEN] * 3
    without = judge_claims({}).set_index("claim")
    assert len(without) == len(STATEMENTS)
    own = {name for name, one in BY_NAME.items() if one.chapter == PRINTED}  # which no chapter measures
    assert set(without.index[without["verdict"] != OPEN]) == own


def test_a_name_that_no_chapter_glues_is_refused_with_its_chapters(refused):
    """A number that is not known is NaN; what is not there at all is misspelt, in the claim or in the chapter."""
    told = {"x": SAME | {"n": 1}, "y": {"m": 2}}
    assert judge_claims(told, HAND)["verdict"].tolist() == [REPRODUCED, LEAK, REFUTED]
    misspelt = {
        "rule": by_hand(3, "a", "says", "x", lambda n: REPRODUCED if n["nn"] else REFUTED, "{n}"),
        "measured": by_hand(3, "a", "says", "x", lambda n: REPRODUCED, "{nn:.2f}"),
        "printed": by_hand(3, "a", "says", "x", lambda n: REPRODUCED, "{nn:.2f}", printed=True),
    }
    for claim in misspelt.values():
        refused(lambda claim=claim: judge_claims(told, (claim,)), "x", "'nn'")
    # Other data and a NaN beside it do not hide it.
    refused(lambda: judge_claims({"x": {"dataset": "ml-1m", "n": 1}}, (misspelt["printed"],)), "x", "'nn'")
    two = by_hand(3, "a", "says", "y", lambda n: n["nn"], "{m} {n}", also="x")
    refused(lambda: judge_claims(told, (two,)), "x, y", "'nn'")
    refused(lambda: judge_claims({"x": told["x"] | {"n": NAN}, "y": {}}, (two,)), "x, y", "'m'")


@pytest.mark.parametrize("name", [name for name, one in BY_NAME.items() if one.chapter != PRINTED])
def test_every_name_that_a_claim_reads_is_glued_by_the_committed_chapters(name):
    statement, chapters = BY_NAME[name], read_chapters(COMMITTED)
    glued = {key for chapter in statement.chapters for key in chapters[chapter]}
    read = told_of(statement)
    for numbers in [statement.holds, statement.fails, *(own for tried, own, _ in CASES if tried == name)]:
        noted = Noted(numbers)
        statement.verdict(noted)
        read |= noted.read
    assert read <= glued


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([REPRODUCED, REPRODUCED], REPRODUCED),
        ([REPRODUCED, LEAK], MIXED),
        ([REFUTED, UNSUPPORTED, REPRODUCED], MIXED),
        ([REFUTED], REFUTED),
        ([UNSUPPORTED, UNSUPPORTED], UNSUPPORTED),
        # What was not measured takes nothing from the rest, unless there is no rest.
        ([OPEN, REFUTED], REFUTED),
        ([REPRODUCED, OPEN], REPRODUCED),
        ([OPEN, LEAK, REPRODUCED], MIXED),
        ([OPEN, OPEN], OPEN),
    ],
)
def test_a_claim_as_a_whole_is_as_its_parts_or_mixed(parts, whole):
    others = [("2", 2, REPRODUCED)]
    rows = [(f"1{letter}", 1, verdict) for letter, verdict in zip("abc", parts, strict=False)] + others
    table = overall(pd.DataFrame(rows, columns=["claim", "number", "verdict"]))
    assert table["number"].tolist() == [1, 2]
    assert table["verdict"].tolist() == [whole, REPRODUCED]
    told = "" if len(set(parts)) == 1 else "; ".join(f"1{k} {v}" for k, v in zip("abc", parts, strict=False))
    assert table["parts"].tolist() == [told, ""]


def test_the_numbers_of_the_claims_by_hand():
    table = judge_claims({"x": SAME | {"n": 1}, "y": SAME | {"m": 2}}, HAND)
    numbers = claim_numbers(table)
    counts = {"reproduced": 1, "leak": 1, "unsupported": 0, "refuted": 1, "open": 0, "parts": 3, "claims": 2}
    assert {name: numbers[name] for name in counts} == counts
    assert [numbers[f"verdict_{name}"] for name in ("1a", "1b", "1", "2")] == [REPRODUCED, LEAK, MIXED, REFUTED]
    assert (numbers["measured_1a"], numbers["measured_2"]) == ("1.00 of it", "2 and 1")
    assert numbers["parts_1"] == f"1a {REPRODUCED}; 1b {LEAK}"
    assert (numbers["near"], numbers["clear"]) == (PRINTED_TOLERANCE, CLEAR)
    assert numbers["open_words"] == ""
    assert claim_numbers(judge_claims({}, HAND))["open_words"] == "; 3 are not measured on these data"
    assert all(type(value) in (int, float, str) for value in numbers.values())


def test_every_number_of_the_text_on_the_claims_is_there():
    cells = json.loads((ROOT / "notebooks" / "11_claims.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    shown = set(re.findall(r"\{glue:text\}`([^`:]+)", text))
    assert len(shown) > 5
    assert shown <= set(claim_numbers(judge_claims({})))


# ---- what executed chapters glue


def glued(name, text):
    kind = "application/papermill.record/text/plain"
    return v4.new_output(
        "display_data", {kind: text}, metadata={"scrapbook": {"name": name, "mime_prefix": kind[:-10]}}
    )


def executed(path, *outputs):
    cells = [v4.new_markdown_cell("text"), v4.new_code_cell("1", outputs=list(outputs)), v4.new_code_cell("2")]
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path


def test_glued_numbers_are_read_by_name(tmp_path):
    plain = v4.new_output("execute_result", {"text/plain": "0.5"}, execution_count=1)
    found = glued_numbers(
        executed(
            tmp_path / "a.ipynb", glued("a", "-0.25"), plain, glued("b", "'ml-1m'"), glued("c", "nan"), glued("d", "12")
        )
    )
    assert list(found) == ["a", "b", "c", "d"]
    assert [found[name] for name in "abd"] == [-0.25, "ml-1m", 12]
    assert math.isnan(found["c"])


def test_what_a_cell_prints_does_not_matter(tmp_path):
    """A warning, say."""
    printed = v4.new_output("stream", name="stderr", text="UserWarning: so be it\n")
    assert glued_numbers(executed(tmp_path / "a.ipynb", printed, glued("a", "1"))) == {"a": 1}


@pytest.mark.parametrize("text", ["", "no notebook", "[]", "{}", '{"nbformat": 4, "nbformat_minor": 5}', "\x00"])
def test_what_is_no_executed_notebook_is_refused_by_name(tmp_path, refused, text):
    (tmp_path / "a.ipynb").write_text(text)
    refused(lambda: glued_numbers(tmp_path / "a.ipynb"), "a.ipynb", "cannot be read as an executed notebook")


def test_folders_without_chapters_are_refused_and_missing_chapters_left_out(tmp_path, refused, monkeypatch):
    refused(lambda: glued_numbers(tmp_path / "none.ipynb"), "none.ipynb", "FileNotFoundError")
    refused(lambda: read_chapters(tmp_path / "none"), "none", "no such folder")
    assert read_chapters(tmp_path) == {}
    executed(tmp_path / "x.ipynb", glued("n", "1"), glued("dataset", f"'{PAPERS_DATASET}'"))
    executed(tmp_path / "z.ipynb", glued("n", "1"))  # which no claim needs
    assert read_chapters(tmp_path, HAND) == {"x": SAME | {"n": 1}}
    executed(tmp_path / "y.ipynb", glued("m", "1"))
    assert list(read_chapters(str(tmp_path), HAND)) == ["x", "y"]
    (tmp_path / "y.ipynb").write_text("{")
    refused(lambda: read_chapters(tmp_path, HAND), "y.ipynb")


def test_what_was_measured_is_told_with_the_committed_chapters():
    """A sentence for every claim whose chapters are there, with no number missing, and its verdict."""
    chapters = read_chapters(COMMITTED)
    there = {path.stem for path in COMMITTED.glob("*.ipynb")}
    assert set(chapters) == there & {name for one in STATEMENTS for name in one.chapters}
    table = judge_claims(chapters)
    for row, one in zip(table.itertuples(), STATEMENTS, strict=True):
        assert set(one.chapters) <= there | {PRINTED}
        assert row.verdict in VERDICTS[:4], row
        assert re.search(r"\d", row.measured)
        assert not re.search(r"\bnan\b|[{}]", row.measured), row.measured
    # Each number of a sentence is one of the chapter's, as it is printed there.
    (best,) = (row for row in table.itertuples() if row.claim == "1a")
    own = chapters["01_one_run"]
    assert (best.leaky, best.leak_free) == (f"{own['rmse_released']:.3f}", f"{own['rmse_holdout']:.3f}")
    assert best.measured == f"leaky: {best.leaky}; leak-free: {best.leak_free}"
    assert best.verdict == LEAK


def test_numbers_of_other_data_leave_the_committed_claims_on_printed_ones_open():
    chapters = {name: own | {"dataset": "mine", "a_dataset": "mine"} for name, own in read_chapters(COMMITTED).items()}
    for row, one in zip(judge_claims(chapters).itertuples(), STATEMENTS, strict=True):
        assert (row.verdict == OPEN) == one.printed


def test_the_page_of_rules_tells_how_many_runs_were_left_out():
    text = " ".join((ROOT / "book" / "rules.md").read_text(encoding="utf-8").split())
    for name, claim in (("centring", "claim 9"), ("one-rate", "at one split rate (claim 2)")):
        table = pd.read_parquet(ROOT / "results" / "records" / f"{name}-{PAPERS_DATASET}.parquet")
        assert f"{(table['status'] == 'skipped').sum()} of {len(table)} runs" in text
        assert claim in text
    tried = pd.read_parquet(ROOT / "results" / "records" / f"choices-tried-{PAPERS_DATASET}.parquet")
    base = tried["setting"].str.split().str[1]
    left_out = base[tried["status"] == "skipped"].unique()
    assert (len(left_out), base.nunique()) == (4, 10)
    assert "four of ten settings of claim 7" in text


def test_improvements_stand_beside_what_the_printed_errors_give():
    table = improvement_table().set_index("method")
    assert len(table) == 10
    row = table.loc["Slope One"]
    assert row[["rmse", "printed"]].tolist() == [0.937, -0.125]
    assert row.tolist()[2:] == pytest.approx([(0.833 - 0.937) / 0.833, (0.833 - 0.937) / 0.937])
    assert "AutoRec, item-based" in table.index


def test_every_verdict_can_be_downloaded():
    table = every_verdict(judge_claims({"x": SAME | {"n": 1}, "y": SAME | {"m": 2}}, HAND))
    assert table.loc["1b"].to_dict() == {"says": "not printed", "verdict": LEAK, "measured": "1", "chapter": "x"}
