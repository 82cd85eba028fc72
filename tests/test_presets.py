"""The presets: Table 1's examples as the paper prints them, and no two alike."""

import re

import pytest
import yaml

from flexlib.config import PRESETS, FlexConfig
from flexlib.datasets.sources import data_folders


@pytest.fixture
def papers_table_1():
    """Table 1 of the paper: each parameter's abbreviation and example, from the text that is beside the data sets."""
    paths = [folder.parent / "paper" / "flexencoder-paper.txt" for folder in data_folders()]
    found = [path for path in paths if path.exists()]
    if not found:
        pytest.skip("needs the paper's text: paper/flexencoder-paper.txt beside the folder FLEXLIB_DATA")
    text = found[0].read_text(encoding="utf-8", errors="replace")
    text = text.partition("Count Parameters Meaning Example")[2].partition("\n a fix value")[0]
    entries = re.split(r"^\d+ (\w+)\s*-", text, flags=re.M)[1:]
    last = re.compile(r"(\[[\d, ]+\]|[\w.]+)\s*$")
    return {name: last.search(entry)[1] for name, entry in zip(entries[::2], entries[1::2], strict=True)}


def test_the_preset_of_table_1_has_its_examples(papers_table_1):
    assert len(papers_table_1) == 17
    shown = {row["abbreviation"]: row["parameter"] for row in FlexConfig().describe()}
    examples = {shown[short]: yaml.safe_load(text.lower()) for short, text in papers_table_1.items()}
    assert examples == PRESETS["table1"]
    of_it = FlexConfig.preset("table1").to_dict()
    assert {name: of_it[name] for name in examples} == examples


def test_presets_differ_from_each_other():
    assert len({FlexConfig.preset(name) for name in PRESETS}) == len(PRESETS)
