"""The explorer's pictures as SVG, and its tables and paragraphs as HTML.

They take the colours of the page that they stand in, so that they suit a dark one too. Every text in them is escaped.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import NamedTuple, TypeGuard

import numpy as np
from matplotlib.ticker import MaxNLocator

WIDTH = 360  # of a picture, in pixels at the width of a phone
LEFT, RIGHT = 38, 352  # pixels between which values are drawn
FEW_EPOCHS = 20  # up to which a curve has a dot at each
FAINT, LINE = "class='faint'", "class='line'"  # how widgets.css draws a path

Span = tuple[float, float]
Scale = Callable[[float], float]


class Curve(NamedTuple):
    """RMSE after each epoch.

    Parameters
    ----------
    colour
        Of the line.
    dashed
        True for training ratings.
    values
        One an epoch, from the first, in stars. What is None or not finite is left out.
    """

    colour: str
    dashed: bool
    values: Sequence[float | None]


def curves(series: Sequence[Curve], title: str, height: int = 210) -> str:
    """Draw RMSE after each epoch.

    The axis ends a quarter above the highest end of a solid line. Solid lines that end more than twice as high as the
    lowest do not count for that. What is above the end of the axis is drawn there.

    Parameters
    ----------
    series
        What to draw.
    title
        What a screen reader says of it.
    height
        In pixels.

    Returns
    -------
    str
        HTML; a paragraph where no epoch has a finite value.
    """
    finite = [value for curve in series for value in curve.values if _is_finite(value)]
    if not finite:
        return paragraph("No epoch has ended yet.")
    lasts = [curve.values[-1] for curve in series if curve.values and not curve.dashed]
    ends = [value for value in lasts if _is_finite(value)] or finite
    top = min(max(finite), 1.25 * max(end for end in ends if end <= 2 * min(ends)))
    span, n_epochs = (min(finite) - 0.01, top + 0.01), max(len(curve.values) for curve in series)
    epochs = (1, max(n_epochs, 2))
    x, y = _scale(epochs, LEFT + 6, RIGHT), _scale(span, height - 40, 8)
    ticks = _ticks(span)
    parts = [_text(LEFT - 4, y(tick) + 4, f"{tick:g}", "end") for tick in ticks]
    parts.append(_path("".join(f"M{LEFT} {y(tick):g}H{RIGHT}" for tick in ticks)))
    for curve in series:
        points = [(x(epoch), y(value)) for epoch, value in enumerate(curve.values, start=1) if _is_finite(value)]
        dashes = " stroke-dasharray='5 4'" if curve.dashed else ""
        line = f"fill='none' stroke='{curve.colour}' stroke-width='2'{dashes}"
        parts.append(f"<polyline points='{' '.join(f'{a:g},{b:g}' for a, b in points)}' {line}/>")
        if not curve.dashed and n_epochs <= FEW_EPOCHS:
            parts += [f"<circle cx='{a:g}' cy='{b:g}' r='2.5' fill='{curve.colour}'/>" for a, b in points]
    label = "epoch; upwards: RMSE (stars)" + (f", {top:.2f} or more at the edge" if max(finite) > top else "")
    return _svg(height, title, parts + _x_axis(x, epochs, height - 36, label, whole=True))


def _is_finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def histogram(
    edges: Sequence[float],
    filled: Sequence[int],
    outlined: Sequence[int] | None,
    colour: str,
    title: str,
    label: str,
    mark: float | None = None,
    height: int = 150,
) -> str:
    """Draw counts in bins.

    Parameters
    ----------
    edges
        (n + 1,) of the bins.
    filled
        (n,) counts, drawn as steps in the colour.
    outlined
        (n,) counts to compare them with, drawn as a line; None for none.
    colour
        Of the steps.
    title
        What a screen reader says of it.
    label
        Of the axis.
    mark
        Value on the axis that is marked as "this run"; None for none.
    height
        In pixels.

    Returns
    -------
    str
        SVG.
    """
    span, base = (edges[0], edges[-1]), height - 40
    most = max(*filled, *(outlined or [0]), 1)
    x, y = _scale(span, LEFT, RIGHT), _scale((0, most), base, 10)

    def steps(counts: Sequence[int]) -> str:
        pairs = zip(counts, edges[1:], strict=True)
        return f"M{LEFT} {base}" + "".join(f"V{y(count):g}H{x(right):g}" for count, right in pairs) + f"V{base}"

    parts = [_text(LEFT - 4, y(most) + 4, f"{most:,}", "end"), _text(LEFT - 4, base + 2, "0", "end")]
    parts.append(_path(steps(filled), f"fill='{colour}'"))
    if outlined:
        parts.append(_path(steps(outlined), LINE))
    if mark is not None:
        at = x(mark)
        parts.append(_path(f"M{at:g} 4V{base}", LINE))
        parts.append(_text(at + 4, 9, "this run") if at < 290 else _text(at - 4, 9, "this run", "end"))
    return _svg(height, title, parts + _x_axis(x, span, height - 36, label))


def colour_key(entries: Iterable[tuple[str, str]]) -> str:
    """Make a line of HTML that says what colours stand for, from pairs of a colour and its words."""
    squares = (
        f"<span class='entry'><span style='color:{colour}' aria-hidden='true'>&#9632;</span> {escape(words)}</span>"
        for colour, words in entries
    )
    return f"<p>{''.join(squares)}</p>"


def table(heads: Iterable[str], rows: Iterable[Iterable[object]], caption: str) -> str:
    """Make a table of HTML from the texts of its heads and cells."""
    top = "".join(f"<th scope='col'>{escape(head)}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def paragraph(text: str) -> str:
    """Make a paragraph of HTML."""
    return f"<p>{escape(text)}</p>"


def _svg(height: int, title: str, parts: Iterable[str]) -> str:
    """Make a picture; without a title a screen reader passes over it, as the text around it says all."""
    role = f"role='img' aria-label='{escape(title)}'" if title else "aria-hidden='true'"
    return f"<svg viewBox='0 0 {WIDTH} {height}' {role}>{''.join(parts)}</svg>"


def _text(x: float, y: float, text: str, anchor: str = "") -> str:
    anchor = f" text-anchor='{anchor}'" if anchor else ""
    return f"<text x='{x:.0f}' y='{y:.0f}'{anchor}>{escape(text)}</text>"


def _path(steps: str, look: str = FAINT) -> str:
    return f"<path d='{steps}' {look}/>"


def _scale(span: Span, first: float, last: float) -> Scale:
    """Make a function from values in a span to pixels; a value outside lands on the nearer edge."""
    return lambda value: round(float(np.interp(value, span, (first, last))), 1)


def _ticks(span: Span, whole: bool = False) -> list[float]:
    return [tick for tick in MaxNLocator(5, integer=whole).tick_values(*span) if span[0] <= tick <= span[1]]


def _x_axis(x: Scale, span: Span, y: int, label: str, whole: bool = False) -> list[str]:
    parts = [_path(f"M{LEFT} {y}H{RIGHT}")]
    for tick in _ticks(span, whole):
        text, at = f"{tick:g}", x(tick)
        fits = at + 4 * len(text) < WIDTH  # half of the text, at 8 pixels a letter
        parts.append(_text(at if fits else WIDTH, y + 14, text, "middle" if fits else "end"))
    return [*parts, _text(LEFT, y + 30, label)]
