"""How commands print what they found."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values, one a line."""
    width = max(map(len, facts))
    for key, value in facts.items():
        print(f"{key:<{width}}  {value:,}" if type(value) is int else f"{key:<{width}}  {value}")


def print_table(table: "pd.DataFrame", digits: int = 2) -> None:
    """Print a table, its numbers with so many digits."""
    print(table.to_string(float_format=f"{{:.{digits}f}}".format))


def print_outcomes(records: "pd.DataFrame") -> None:
    """Print what became of a plan's runs: counts by protocol and status, and the lowest RMSE."""
    counts = records.groupby("protocol")["status"].value_counts().unstack(fill_value=0)
    best = records.groupby("protocol")["rmse"].min().rename("lowest rmse")
    print(counts.join(best).to_string(float_format="{:.4f}".format))
