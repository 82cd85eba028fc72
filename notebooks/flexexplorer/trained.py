"""What the live explorer shows of networks that it has trained, and of settings before it does, as HTML."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
from flexstudy.plans import LEAKY_AND_LEAK_FREE
from flexstudy.style import COLOURS, SHORT_NAMES

from flexexplorer import pictures
from flexexplorer.pace import REFERENCE, Pace, estimate_seconds
from flexexplorer.pictures import Curve
from flexlib.config import FlexConfig
from flexlib.data import Ratings
from flexlib.evaluation import evaluate
from flexlib.predict import FittedModel
from flexlib.serving.recommending import recommend

PLACE_STARS = 0.6  # of the sweep's distribution that are drawn, from its lowest RMSE
PLACE_BINS = 40
LISTED = 10

CURVE_NOTE = pictures.paragraph("Solid: test ratings. Dashed: the training ratings, while training.")

Models = Mapping[str, FittedModel]  # by protocol
History = Mapping[str, Sequence[tuple[float, float]]]  # by protocol: RMSE of training and of test, after each epoch


def remarks(config: FlexConfig, ratings: Ratings, pace: Pace = REFERENCE) -> list[str]:
    """Say of settings what they cost, and which of them have no effect. pace: as in `estimate_seconds`."""
    found = [f"About {max(1, round(estimate_seconds(config, ratings, pace))):,} s, leaky and leak-free."]
    if config.dense_refeeding_rounding and not config.dense_refeeding:
        found.append("DeFR has no effect while DeF is 0.")
    if config.centring != "rows" and not config.mean_normalization:
        found.append("Cen has no effect while MeN is off.")
    if config.denoising_loss and not config.noise_probability:
        found.append("DeL has no effect while NoP is 0.")
    if config.loss_decay and not config.weight_decay:
        found.append("LoD has no effect while WeD is 0.")
    if config.patience >= config.epochs > 0:
        found.append("Pat cannot end training before Ep does.")
    return found


def explain(models: Models) -> str:
    """Say in three sentences what the leak does to a setting's RMSE; "" until it has been trained both ways.

    Parameters
    ----------
    models
        By protocol, trained on the same split.
    """
    if not set(LEAKY_AND_LEAK_FREE) <= set(models) or any(models[name].status != "ok" for name in LEAKY_AND_LEAK_FREE):
        return ""
    leaky, leak_free = (evaluate(models[name]).rmse for name in LEAKY_AND_LEAK_FREE)
    numbers = "".join(
        f"<span><b style='color:{COLOURS[name]}'>{rmse:.3f}</b> {SHORT_NAMES[name]}</span>"
        for name, rmse in zip(LEAKY_AND_LEAK_FREE, (leaky, leak_free), strict=True)
    )
    way = "lower" if leaky < leak_free else "higher"
    centred = models["released"].config.mean_normalization
    through = (
        "Leaky, each row's mean holds the ratings to be predicted, and it is added to every prediction."
        if centred
        else "Without mean normalization nothing leaks through the means, only through the ratings shown when scoring."
    )
    return f"<p class='explorer-numbers'>{numbers}</p>" + pictures.paragraph(
        f"With the leak the RMSE is {abs(leak_free - leaky):.3f} stars {way}. {through} "
        "Only the leak-free number says how well unseen ratings are predicted."
    )


def scores_and_place(models: Models, ratings: Ratings, seed: int, sweep: pd.DataFrame | None) -> tuple[str, str]:
    """Score networks on their test ratings.

    Parameters
    ----------
    models
        Trained on the ratings.
    ratings, seed
        For the caption.
    sweep
        Records of a sweep, among which each RMSE is placed; None for none.

    Returns
    -------
    scores
        A table, a row a protocol.
    place
        Histograms; "" where the sweep has nothing to compare with.
    """
    rows, places = [], []
    for protocol, model in models.items():
        scores = evaluate(model)
        words, scored = SHORT_NAMES[protocol], f"{scores.n_scored:,}"
        # A network that diverged may still have an RMSE, where rounding makes stars of its outputs.
        if model.status == "ok" and np.isfinite(scores.rmse):
            rows.append((words, f"{scores.rmse:.3f}", f"{scores.mae:.3f}", scored))
            places.append(place_picture(sweep, ratings.name, protocol, scores.rmse))
        else:
            rows.append((words, "none: diverged", "", scored))
    heads = ["protocol", "RMSE (stars)", "MAE (stars)", "test ratings scored"]
    return pictures.table(heads, rows, f"{ratings.name}, seed {seed}"), "".join(places)


def place_picture(sweep: pd.DataFrame | None, dataset: str, protocol: str, rmse: float) -> str:
    """Draw where an RMSE falls among those of a sweep.

    Parameters
    ----------
    sweep
        Its records, or None.
    dataset, protocol
        Of the run; those of the sweep alone are compared.
    rmse
        Of the run, in stars.

    Returns
    -------
    str
        HTML; "" where there is nothing to compare with.
    """
    if sweep is None:
        return ""
    alike = (sweep["protocol"] == protocol) & (sweep["dataset"] == dataset) & (sweep["status"] == "ok")
    others = sweep.loc[alike, "rmse"]
    if others.empty:
        return ""
    low = min(*others, rmse) - 0.01  # so that the mark of the lowest of all is not taken for an axis
    edges = np.linspace(low, min(max(*others, rmse), low + PLACE_STARS), PLACE_BINS + 1).tolist()
    counts = np.histogram(np.minimum(others, edges[-1]), edges)[0].tolist()
    words = (
        f"{SHORT_NAMES[protocol]}: of the {len(others)} random settings of the sweep that ended well, "
        f"{(others > rmse).sum()} have a higher RMSE than this run's {rmse:.3f}"
    )
    label = f"RMSE (stars); at {edges[-1]:.2f}: that or more; upwards: settings"
    drawn = pictures.histogram(edges, counts, None, COLOURS[protocol], words, label, mark=rmse)
    return pictures.paragraph(words) + drawn


def history_picture(history: History) -> str:
    """Draw the RMSE of test and training ratings after each epoch so far."""
    series = []
    for protocol, epochs in history.items():
        series.append(Curve(COLOURS[protocol], False, [test for _, test in epochs]))
        series.append(Curve(COLOURS[protocol], True, [training for training, _ in epochs]))
    key = pictures.colour_key([(COLOURS[protocol], SHORT_NAMES[protocol]) for protocol in history])
    return key + pictures.curves(series, "RMSE after each epoch, by protocol") + CURVE_NOTE


def lists_of(models: Models, user: str) -> str:
    """Lay out what networks that ended well recommend to a user, with and without the leak.

    Parameters
    ----------
    models
        Trained on the same ratings.
    user
        Original id.

    Returns
    -------
    str
        A table of HTML; "" where none ended well.

    Raises
    ------
    FlexError
        For an unknown user, or one who has rated everything.
    """
    lists = {}
    for protocol in LEAKY_AND_LEAK_FREE:
        if protocol in models and models[protocol].status == "ok":
            found = recommend(models[protocol], user, LISTED)
            titles = found.get("title", [""] * len(found))
            lists[protocol] = list(zip(found["item"], titles, found["predicted"], strict=True))
    return recommended_table(lists, f"Recommended to user {user}") if lists else ""


def recommended_table(lists: Mapping[str, Iterable[tuple[Any, str, float]]], caption: str) -> str:
    """Lay recommended lists out side by side, as a table of HTML.

    Parameters
    ----------
    lists
        Protocol to its items, best first: id, title and predicted stars. One without a title is shown by its id.
    caption
        Of the table.

    Returns
    -------
    str
        HTML.
    """
    columns = [[f"{title or item} ({stars:.2f})" for item, title, stars in own] for own in lists.values()]
    rows = [(rank, *items) for rank, items in enumerate(zip_longest(*columns, fillvalue=""), start=1)]
    return pictures.table(["rank", *(f"{SHORT_NAMES[name]}: predicted stars" for name in lists)], rows, caption)


def shell_command(model: FittedModel) -> str:
    """Write the command that makes the same network on held-out ratings."""
    default = FlexConfig().to_dict()
    words = ["flexlib", "train", "--dataset", model.ratings.name, "--seed", str(model.seed), "--protocol", "holdout"]
    for name, value in model.config.to_dict().items():
        if value != default[name]:
            words += ["--set", f"{name}={value}".replace(" ", "")]
    command = f"{shlex.join(words)} {model.ratings.facts.get('read with', '')}".strip()
    return f"<p>The leak-free run from a shell:</p><pre>{escape(command)}</pre>"
