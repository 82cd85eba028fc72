"""Records of an earlier version, brought up to date: those that lack the columns `setting` and `role` get them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from flexlib.config import FlexError
from flexlib.runs.plan import Setting
from flexlib.runs.records import (
    KEYS,
    config_of,
    load_records,
    read_parquet,
    save_records,
    to_table,
    with_added_columns,
)
from flexstudy.plans import EXPERIMENTS, experiment


def convert_folder(folder: Path) -> list[Path]:
    """Add `setting` and `role` to the records of a folder that lack them; sweeps come first, as others need them.

    Parameters
    ----------
    folder
        With the records of sweeps, replays and experiments, by their own names.

    Returns
    -------
    list
        The files that were changed.

    Raises
    ------
    FlexError
        Naming the file whose settings are not those of its experiment; files before it are converted.
    """
    if not folder.is_dir():
        raise FlexError(f"{folder}: no such folder")
    changed = []
    for path in sorted(folder.glob("*.parquet"), key=lambda path: (not path.name.startswith("sweep-"), path.name)):
        names = read_parquet(path).column_names
        if "protocol" not in names or "status" not in names or "setting" in names:
            continue
        (key,) = (key for key in KEYS if key in names)
        table = with_added_columns(read_parquet(path)).to_pandas()
        settings = _settings(path, key, table)
        known = {name: [getattr(settings[k], name) for k in table[key]] for name in ("name", "role")}
        table = table.assign(setting=known["name"], role=known["role"])
        save_records(to_table(table.to_dict("records"), key), path)
        load_records(path)
        changed.append(path)
    return changed


def _settings(path: Path, key: str, table: pd.DataFrame) -> Sequence[Setting]:
    """Give the setting of each run of a table, in the order of the numbers."""
    rows = table.drop_duplicates(key)
    configs = {int(row[key]): config_of(row) for _, row in rows.iterrows()}
    if path.name.startswith(("sweep-", "replay-")):
        word = "sample" if key == "run" else "row"
        return [Setting(f"{word} {k}", configs[k]) for k in range(max(configs) + 1)]
    dataset, name = table["dataset"].iloc[0], path.name.split("-")[0]
    if name not in EXPERIMENTS:
        raise FlexError(f"{path}: no experiment is named '{name}'; known are {', '.join(EXPERIMENTS)}")
    settings = experiment(name, dataset, path.parent, table["seed"].nunique()).settings
    for k, config in configs.items():
        if k >= len(settings) or settings[k].config != config:
            raise FlexError(f"{path}: run {k} has other parameters than the experiment '{name}'")
    return settings
