"""Chapter 11, the claims: which of them hold.

The statements of the paper are in `statements.yaml`, each with its rule (`flexstudy.rules`). The numbers that the rules
judge are read from the executed notebooks and from what the paper prints, and from nothing else.

References
----------
Tran et al. (2018).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import yaml
from matplotlib.figure import Figure

from flexlib.config import PAPERS_DATASET, FlexError
from flexlib.datasets.sources import DATASETS
from flexlib.methods.tuning import ALL
from flexstudy import rules
from flexstudy.chapter import glued_in
from flexstudy.paper import PRINTED_TOLERANCE, TABLE_3_IMPROVEMENT, TABLE_3_RMSE
from flexstudy.rules import LEAK, MIXED, OPEN, REFUTED, REPRODUCED, UNSUPPORTED, VERDICTS
from flexstudy.style import COLOURS

STATEMENTS_FILE = Path(__file__).with_name("statements.yaml")
PRINTED = "printed"  # in place of a chapter: what the paper prints, and the sizes of published data sets
MEASURED = {"apart": "", "leaky": "leaky: ", "leak_free": "leak-free: "}  # what was measured, and the words before it
QUOTED_DATASET = "ml-100k"  # on which Table 3's other methods are quoted


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


@dataclass(frozen=True)
class Statement:
    """One part of a claim, and how it is judged.

    Parameters
    ----------
    claim, part
        Number of the claim, and the part's letter; "" where it has one part.
    where
        Section, table or figure of the paper.
    says
        What the paper says, in our words.
    reading
        The strongest reading in the paper's favour, which is judged.
    rule
        In words: what is required for it to be reproduced, and the verdict otherwise.
    judge, arguments
        Name of the function of `flexstudy.rules`, and its arguments.
    holds, fails
        Numbers with which the rule passes, and with which it does not.
    chapter, also
        What measures it: notebooks' names without the ending, or `PRINTED`. Of a name in both, the first one's counts.
    measured, leaky, leak_free
        What was measured, as formats of the chapters' numbers: in general, and under either protocol. "" for none.
    evidence
        Label of the figure, table or section that the verdict rests on.
    records
        Files of records behind it, without the data set.
    printed
        Whether it is about numbers that the paper prints for its own data.
    """

    claim: int
    part: str
    where: str
    says: str
    reading: str
    rule: str
    judge: str
    holds: Mapping[str, Any]
    fails: Mapping[str, Any]
    chapter: str
    evidence: str
    measured: str = ""
    leaky: str = ""
    leak_free: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    also: str = ""
    records: tuple[str, ...] = ()
    printed: bool = False

    @property
    def name(self) -> str:
        """Number and letter, such as "2a"."""
        return f"{self.claim}{self.part}"

    @property
    def chapters(self) -> tuple[str, ...]:
        """The chapters whose numbers are read; where two glue the same name, the last one counts."""
        return (self.also, self.chapter) if self.also else (self.chapter,)

    @property
    def formats(self) -> dict[str, str]:
        """What was measured, as formats by the names of `MEASURED`."""
        return dict(zip(MEASURED, (self.measured, self.leaky, self.leak_free), strict=True))

    def verdict(self, numbers: Mapping[str, Any]) -> str:
        """Judge it by its rule."""
        return str(getattr(rules, self.judge)(numbers, **self.arguments))


def _read_statements() -> tuple[Statement, ...]:
    found = yaml.safe_load(STATEMENTS_FILE.read_text(encoding="utf-8"))
    return tuple(
        Statement(**{"arguments" if key == "with" else key: value for key, value in one.items()}) for one in found
    )


STATEMENTS = _read_statements()


def improvement_table() -> pd.DataFrame:
    """Hold Table 3's column "Improvement (%)" against the RMSEs beside it.

    Returns
    -------
    pd.DataFrame
        One row a method, in the order of Table 3:

        - method: its name
        - rmse: as printed, in stars
        - printed: improvement as printed
        - share of FlexEncoder's, share of the method's: the difference divided by either RMSE
    """
    own = TABLE_3_RMSE["flexencoder"]
    table = pd.DataFrame({"method": TABLE_3_IMPROVEMENT.keys(), "printed": TABLE_3_IMPROVEMENT.values()})
    table.insert(1, "rmse", table["method"].map(TABLE_3_RMSE))
    table["method"] = [ALL["autorec_item" if key == "autorec" else key].name for key in table["method"]]
    table["share of FlexEncoder's"] = (own - table["rmse"]) / own
    table["share of the method's"] = (own - table["rmse"]) / table["rmse"]
    return table


def printed_numbers() -> dict[str, Any]:
    """Collect what follows from the paper's own tables, and from the counts of published data sets.

    Returns
    -------
    dict
        - improvement_entries: of `improvement_table`
        - improvement_entries_met: those that follow to a unit of their last digit, by the better definition
        - quoted_users, quoted_items: of `QUOTED_DATASET`
    """
    table = improvement_table()
    units = [10.0 ** -len(str(printed).partition(".")[2]) for printed in table["printed"]]
    met = [
        int(((table[name] - table["printed"]).abs() <= units).sum())
        for name in ("share of FlexEncoder's", "share of the method's")
    ]
    _, users, items = DATASETS[QUOTED_DATASET].counts
    return {
        "improvement_entries": len(table),
        "improvement_entries_met": max(met),
        "quoted_users": users,
        "quoted_items": items,
    }


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
    return glued_in(notebook)


def read_chapters(folder: str | Path, statements: Iterable[Statement] = STATEMENTS) -> dict[str, dict[str, Any]]:
    """Read the numbers of those executed chapters that claims need and that are there.

    Parameters
    ----------
    folder
        Of the executed notebooks.
    statements
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
    names = {name for statement in statements for name in statement.chapters} - {PRINTED}
    paths = {name: Path(folder) / f"{name}.ipynb" for name in sorted(names)}
    return {name: glued_numbers(path) for name, path in paths.items() if path.exists()}


def dataset_of(glued: Mapping[str, Any]) -> str:
    """Name a chapter's data set, the first where it has two; "" where it glues none."""
    return str(glued.get("a_dataset", glued.get("dataset", "")))


def judge_claims(
    chapters: Mapping[str, Mapping[str, Any]], statements: Iterable[Statement] = STATEMENTS
) -> pd.DataFrame:
    """Judge each part of each claim by its rule.

    A part stays open where a chapter that it needs is not there, or where a number is NaN, such as the interval of a
    single split. A part about printed numbers also stays open where its chapter is not of the paper's data.

    Parameters
    ----------
    chapters
        Chapter to its glued numbers.
    statements
        What is to be judged.

    Returns
    -------
    pd.DataFrame
        One row a part, in the order of the statements:

        - claim: number and letter ("2a")
        - number: of the claim
        - says: the statement
        - verdict: one of `VERDICTS`
        - measured: the three below in one phrase; "" where the part is open
        - apart, leaky, leak_free: what was measured in general, and under either protocol; "" for none
        - chapter: what measures it

    Raises
    ------
    FlexError
        Naming chapter and number, where a chapter does not glue a number that a statement reads.
    """
    known = {**chapters, PRINTED: printed_numbers() | {"dataset": PAPERS_DATASET}}
    rows = []
    for one in statements:
        verdict, measured = _judge(one, known)
        joined = join_measured(measured)
        rows.append((one.name, one.claim, one.says, verdict, joined, *measured.values(), one.chapter))
    return pd.DataFrame(rows, columns=["claim", "number", "says", "verdict", "measured", *MEASURED, "chapter"])


def _judge(statement: Statement, chapters: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, str]]:
    """Give a part's verdict and what was measured, by the names of `MEASURED`."""
    nothing = dict.fromkeys(MEASURED, "")
    if any(name not in chapters for name in statement.chapters):
        return OPEN, nothing
    numbers = {name: value for chapter in statement.chapters for name, value in chapters[chapter].items()}
    glued = Glued(statement.chapters, numbers)
    measured = {name: text.format_map(glued) for name, text in statement.formats.items()}
    if statement.printed and dataset_of(chapters[statement.chapter]) != PAPERS_DATASET:
        return OPEN, nothing
    try:
        return statement.verdict(Measured(statement.chapters, numbers)), measured
    except NotMeasuredError:
        return OPEN, nothing


def join_measured(measured: Mapping[str, str]) -> str:
    """Join what was measured to one phrase, such as "leaky: 0.834; leak-free: 0.914".

    Parameters
    ----------
    measured
        By the names of `MEASURED`; "" for none.
    """
    return "; ".join(words + measured[name] for name, words in MEASURED.items() if measured[name])


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """Sum a claim up: the verdict of its parts where they agree, and else that they do not.

    Parameters
    ----------
    table
        Of `judge_claims`.

    Returns
    -------
    pd.DataFrame
        One row a claim:

        - number: of the claim
        - verdict: of its parts that are not open, where these agree; else `MIXED`
        - parts: each part's own verdict, in words; "" where all agree
    """
    rows = []
    for number, own in table.groupby("number"):
        verdicts = list(dict.fromkeys(verdict for verdict in own["verdict"] if verdict != OPEN))
        parts = "; ".join(f"{row.claim} {row.verdict}" for row in own.itertuples())
        rows.append(
            {
                "number": number,
                "verdict": MIXED if len(verdicts) > 1 else verdicts[0] if verdicts else OPEN,
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

        - claims, parts: how many there are
        - reproduced, leak, unsupported, refuted, open: how many parts have each verdict
        - open_words: how many are open, as the end of a sentence; "" for none
        - verdict_N, parts_N: of claim N, as in `overall` ("-" where the parts agree)
        - verdict_NL, measured_NL, apart_NL, leaky_NL, leak_free_NL: of part L of claim N
        - near, clear: `PRINTED_TOLERANCE` and `flexstudy.rules.CLEAR`
    """
    names = {REPRODUCED: "reproduced", LEAK: "leak", UNSUPPORTED: "unsupported", REFUTED: "refuted", OPEN: "open"}
    counts = {name: int((table["verdict"] == verdict).sum()) for verdict, name in names.items()}
    found: dict[str, float | str] = {**counts, "parts": len(table), "claims": int(table["number"].nunique())}
    found["open_words"] = f"; {counts['open']} are not measured on these data" if counts["open"] else ""
    for row in table.to_dict("records"):
        found |= {f"{name}_{row['claim']}": row[name] for name in ("verdict", "measured", *MEASURED)}
    for row in overall(table).to_dict("records"):
        found |= {f"verdict_{row['number']}": row["verdict"], f"parts_{row['number']}": row["parts"] or "-"}
    return found | {"near": PRINTED_TOLERANCE, "clear": rules.CLEAR}


PER_LINE = 12  # statements side by side


def plot_verdicts(table: pd.DataFrame) -> Figure:
    """Draw a mark for each statement, with its number in it, in the rows of its verdict.

    Parameters
    ----------
    table
        Of `judge_claims`.
    """
    colours = {
        REPRODUCED: COLOURS["holdout"],
        LEAK: COLOURS["released"],
        UNSUPPORTED: "#A3578A",
        REFUTED: "#404040",
        OPEN: "#767676",
    }
    used = [verdict for verdict in VERDICTS if verdict in set(table["verdict"])]
    heights, y = [], 0.0
    figure, ax = plt.subplots()
    for verdict in used:
        names = table.loc[table["verdict"] == verdict, "claim"].tolist()
        lines = -(-len(names) // PER_LINE)
        heights.append(y + (lines - 1) / 2)
        for place, name in enumerate(names):
            at = (place % PER_LINE, y + place // PER_LINE)
            ax.plot(*at, "s", color=colours[verdict], markersize=20)
            ax.annotate(name, at, ha="center", va="center", color="white", fontsize=10)
        y += lines + 0.35
    labels = [f"{verdict}: {(table['verdict'] == verdict).sum()}" for verdict in used]
    figure.set_size_inches(6.5, 0.8 + 0.42 * y)
    ax.set(xticks=[], xlim=(-0.6, PER_LINE - 0.4), ylim=(y - 0.7, -0.7), yticks=heights, yticklabels=labels)
    ax.set_title(f"What became of the paper's {len(table)} statements", x=-0.4)
    ax.tick_params(axis="y", labelsize="small")
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)
    figure.subplots_adjust(left=0.3, right=0.99)
    return figure


def every_verdict(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out every statement for a download: what it says, its verdict, what was measured and where.

    Parameters
    ----------
    table
        Of `judge_claims`.
    """
    return table.set_index("claim")[["says", "verdict", "measured", "chapter"]]
