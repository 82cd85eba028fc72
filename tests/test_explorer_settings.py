"""What the page has of each recorded setting."""

import json

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from conftest import SMALL, records_of
from explorer_records import ENDED, course_records, made_course
from flexexplorer import settings
from flexexplorer.recorded import spell_value
from flexstudy.plans import GRIDS, LEAKY_AND_LEAK_FREE, explore, explored, grid_cells

from flexlib.config import FlexConfig
from flexlib.runs.records import to_table

NONE = to_table([], "run")
PRESETS = ["table2:1", "table2:7", "deeprec", "cfn"]  # of which there are courses


def measured(n_seeds=3):
    plan = explore(SMALL, n_seeds)

    def outcome(k, protocol):
        if plan.seeds[k] == 2 and plan.configs[k].activation == "swish":
            return "diverged"
        return 0.8 + k / 10_000 + (protocol == "holdout") / 100

    return records_of(plan, outcome)


def test_a_setting_is_found_by_the_values_of_its_parameters():
    data = settings.settings_data(measured(1), NONE)
    assert data["start"] in data["settings"]
    found = {tuple(own["levels"]): name for name, own in data["settings"].items()}
    assert len(found) == len(data["settings"]) == len(explored())
    for grid in GRIDS:
        for config in grid_cells(grid).values():
            spelled = [spell_value(name, getattr(config, name)) for name in settings.LEVELS]
            places = tuple(known.index(value) for known, value in zip(data["levels"], spelled, strict=True))
            (setting,) = (own for own in explored() if own.name == found[places])
            assert setting.config == config
    assert data["labels"][0] == "activation (Act)"
    assert [protocol["word"] for protocol in data["protocols"]] == ["leaky", "leak-free"]


def test_the_runs_of_a_setting_by_hand():
    records = measured()
    data = settings.settings_data(records, NONE)
    name = "hidden_layers=[16]"
    for protocol, run in zip(LEAKY_AND_LEAK_FREE, data["settings"][name]["runs"], strict=True):
        own = records[(records["setting"] == name) & (records["protocol"] == protocol)]["rmse"]
        assert run["rmse"] == [round(value, 4) for value in own]
        assert run["mean"] == pytest.approx(own.mean(), abs=5e-5)
        assert run["told"].startswith(f"{own.mean():.3f} (")
        assert run.keys() == {"told", "rmse", "mean"}  # nothing else is recorded
    swish = data["settings"]["activation=swish"]["runs"][0]
    assert len(swish["rmse"]) == 2
    assert swish["told"].endswith("n = 2; 1 of 3 runs diverged")


def test_the_course_of_a_setting_by_hand():
    data = settings.settings_data(NONE, course_records())
    assert list(data["settings"]) == PRESETS
    assert (data["users"], data["edges"]) == (["5", "9"], made_course(1)["edges"])
    for name, start in ENDED.items():
        for place, run in enumerate(data["settings"][name]["runs"]):
            if (name, place) == ("table2:7", 1):
                assert run == {"told": "1 of 1 runs diverged", "rmse": [], "mean": None}
                continue
            course = made_course(start + 0.1 * place)
            assert run["test"] == [round(value, 4) for value in course["test"]]
            assert run["training"] == [round(value, 4) for value in course["training"]]
            for kind in ("unrounded", "rounded"):
                assert run[kind] == [round(course["rmse"][kind], 4), course["histogram"][kind]]
            assert data["actual"][run["actual"]] == course["histogram"]["actual"]
            lists = [[(data["titles"][title], stars) for title, stars in one] for one in run["lists"]]
            assert lists == [[("A film", 4.32), ("Another", 4.2)], [("8", 3.9)]]
            assert run["told"] == f"{course['test'][-1]:.3f}, n = 1"
    assert data["settings"]["deeprec"]["runs"][0]["told"] == "1 of 1 runs left out for the cost"
    differs = dict(data["settings"]["table2:7"]["differs"])
    base, other = (FlexConfig.preset(name) for name in ("table2:1", "table2:7"))
    assert len(differs) == sum(value != other.to_dict()[name] for name, value in base.to_dict().items())
    assert differs["activation (Act)"] == other.activation


def test_the_runs_on_several_splits_come_before_the_one_of_the_course():
    data = settings.settings_data(measured(), course_records())
    assert len(data["settings"]["table2:1"]["runs"][0]["rmse"]) == 3
    assert data["settings"]["table2:1"]["runs"][0]["test"] == made_course(1.0)["test"]
    assert len(data["settings"]["cfn"]["runs"][0]["rmse"]) == 1


def test_what_is_no_number_is_missing():
    records = course_records()
    course = made_course(1.0) | {"test": [float("nan"), 0.9, float("inf")], "rmse": {"unrounded": None, "rounded": 0.9}}
    records.loc[records["setting"] == "table2:1", "details"] = json.dumps(course)
    (run, _) = settings.settings_data(NONE, records)["settings"]["table2:1"]["runs"]
    assert (run["test"], run["unrounded"][0], run["rounded"][0]) == ([None, 0.9, None], None, 0.9)


def test_without_any_record_the_page_says_what_it_would_show():
    soup = BeautifulSoup(settings.settings_explorer(NONE, NONE).data, "html.parser")
    assert soup.p.text == settings.FALLBACK
    assert json.loads(soup.script.string)["settings"] == {}


def test_records_in_another_order_are_the_same_page():
    records = course_records()
    shuffled = pd.concat([records[::2], records[1::2]])
    pages = [settings.settings_explorer(measured(1), own).data for own in (records, shuffled)]
    assert pages[0] == pages[1]
