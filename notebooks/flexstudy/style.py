"""Figures in one style. Paper, replication and leak-free measurement keep their colour and their word throughout.

Colours are Okabe and Ito's (2008), which colour-blind readers tell apart.
"""

import seaborn as sns

COLOURS = {
    "paper": "#000000",
    "released": "#D55E00",
    "released-padded": "#7A3600",
    "means": "#E69F00",
    "closed": "#009E73",
    "described": "#CC79A7",
    "holdout": "#0072B2",
}


NAMES = {
    "paper": "the paper",
    "released": "released code\n(leaks)",
    "released-padded": "released code,\nzero rows re-fed",
    "means": "same, means\nfrom training",
    "closed": "same, both\nleaks closed",
    "described": "paper's text\n(leaks means)",
    "holdout": "held-out ratings\n(leak-free)",
}


def use_style():
    """Set the study's style: figures 6.5 inches wide, whose text stays legible at the width of a phone."""
    sns.set_theme(
        style="whitegrid",
        font_scale=1.15,
        rc={"figure.figsize": (6.5, 4.6), "figure.dpi": 120, "savefig.bbox": "tight", "axes.titlesize": "medium",
            "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
            "legend.frameon": False, "legend.fontsize": "small"},
    )  # fmt: skip


MARKERS = {"user-based": "o", "item-based": "s"}


FILLS = {"user-based": "full", "item-based": "none"}


def _legend_below(ax, columns=1, down=0.14, **options):
    ax.legend(loc="upper left", bbox_to_anchor=(0, -down), ncols=columns, **options)


def words_of(protocol):
    """A protocol's words, on one line."""
    return NAMES[protocol].replace("\n", " ")
