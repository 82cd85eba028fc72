"""All random runs at once, leaky against leak-free: a picture to search by parameter, and a game of guessing.

The data stand in the page, and `runs.js` draws them: neither a kernel nor a server is needed.
"""

from typing import Any

import pandas as pd
from flexstudy.plans import LEAKY_AND_LEAK_FREE
from IPython.display import HTML

from flexexplorer.page import LABELS, scripted
from flexexplorer.recorded import spell_value
from flexlib.config import PRESETS
from flexlib.runs.records import config_of

FALLBACK = "This part needs JavaScript. It shows each random run by its leaky and its leak-free RMSE."
PARAMETERS = tuple(PRESETS["table1"])  # the paper's 17


def pair_runs(random: pd.DataFrame) -> list[dict[str, Any]]:
    """List the random runs that ended well under both protocols.

    Parameters
    ----------
    random
        Records of a sweep under `released` and `holdout`.

    Returns
    -------
    list
        One dict a run, in their order.

        - run: its number.
        - leaky, leakFree: RMSE in stars, to four digits.
        - values: the paper's 17 parameters, spelled, in the order of `PARAMETERS`.
    """
    leaky, leak_free = (
        random[(random["protocol"] == name) & (random["status"] == "ok")].set_index("run")["rmse"]
        for name in LEAKY_AND_LEAK_FREE
    )
    rows = random.drop_duplicates("run").set_index("run")
    found = []
    for run in sorted(leaky.index.intersection(leak_free.index)):
        config = config_of(rows.loc[run])
        values = [spell_value(name, getattr(config, name)) for name in PARAMETERS]
        scores = {"leaky": round(float(leaky[run]), 4), "leakFree": round(float(leak_free[run]), 4)}
        found.append({"run": int(run)} | scores | {"values": values})
    return found


def runs_explorer(random: pd.DataFrame) -> HTML:
    """Make the place where `runs.js` draws, with its data and the script itself."""
    runs = pair_runs(random)
    # Each value once, and its place in the runs: the page is much smaller so.
    levels = [list(dict.fromkeys(column)) for column in zip(*(run["values"] for run in runs), strict=True)]
    for run in runs:
        run["values"] = [known.index(value) for known, value in zip(levels, run["values"], strict=True)]
    data = {"labels": [LABELS[name] for name in PARAMETERS], "levels": levels, "runs": runs}
    return scripted("runs", data, FALLBACK)
