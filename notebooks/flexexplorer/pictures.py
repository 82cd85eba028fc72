"""Small pictures for the explorer, as text: SVG and HTML that take a page's own colours, so that they suit a dark page
and stay sharp and light. Every text in them is escaped.
"""

from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

WIDTH, LEFT, RIGHT = 360, 38, 352  # of a picture, in pixels at the width of a phone, and of what is drawn in it


def _svg(height, title, parts):
    """title: what a screen reader says of it; empty where the text around it says it all."""
    how = f"role='img' aria-label='{escape(title)}'" if title else "aria-hidden='true'"
    return f"<svg viewBox='0 0 {WIDTH} {height}' {how}>{''.join(parts)}</svg>"


def _text(x, y, text, anchor=""):
    anchor = f" text-anchor='{anchor}'" if anchor else ""
    return f"<text x='{x:.0f}' y='{y:.0f}'{anchor}>{escape(str(text))}</text>"


def _path(steps, how="class='faint'"):
    return f"<path d='{steps}' {how}/>"


def _along(span, first, last):
    """A function from values in a span to pixels, which keeps what is outside at the edge."""
    low, high = span
    return lambda value: round(float(np.interp(value, [low, high], [first, last])), 1)


def _ticks(span, whole=False):
    return [tick for tick in MaxNLocator(5, integer=whole).tick_values(*span) if span[0] <= tick <= span[1]]


def _x_axis(x, span, y, label, whole=False):
    texts = []
    for tick in _ticks(span, whole):
        text, at = f"{tick:g}", x(tick)
        fits = at + 4 * len(text) < WIDTH
        texts.append(_text(at if fits else WIDTH, y + 14, text, "middle" if fits else "end"))
    return [_path(f"M{LEFT} {y}H{RIGHT}"), *texts, _text(LEFT, y + 30, label)]


def strips(rows, span, title):
    """A line of text and a strip of values for each row, over one axis of RMSE.

    rows: mappings with text (str), colour, values (of the runs, as dots), mean (a diamond, or None) and others (faint
    marks to compare with). span: (low, high) in stars; a value outside is drawn as an arrow at the edge, a mean or a
    faint mark outside not at all.
    """
    x, drawn = _along(span, LEFT, RIGHT), []
    for row in rows:
        marks = sorted({2 * round(x(value) / 2) for value in row.get("others", ()) if value <= span[1]})
        parts = [_path("".join(f"M{mark} 4v12" for mark in marks))] if marks else []
        for value in row["values"]:
            at, how = x(value), f"fill='{row['colour']}'"
            dot = f"<circle cx='{at:g}' cy='10' r='4' {how}/>"
            above, below = _path(f"M{at - 7:g} 4l8 6l-8 6z", how), _path(f"M{at + 7:g} 4l-8 6l8 6z", how)
            parts.append(above if value > span[1] else below if value < span[0] else dot)
        if row.get("mean") is not None and row["mean"] <= span[1]:
            parts.append(_path(f"M{x(row['mean']):g} 2l6 8l-6 8l-6 -8z", "class='line'"))
        drawn += [say(row["text"]), _svg(20, "", parts)]
    below = f" or below {span[0]:g}" if any(value < span[0] for row in rows for value in row["values"]) else ""
    axis = _x_axis(x, span, 2, f"RMSE (stars); an arrow: above {span[1]:g}{below}")
    return f"<div role='group' aria-label='{escape(title)}'>{''.join(drawn)}{_svg(36, '', axis)}</div>"


def curves(series, title, height=210):
    """RMSE after each epoch. series: mappings with colour, dashed (training ratings) and values, one an epoch from 1.

    What is not finite is left out. The axis ends a quarter above the highest end of a solid line, those aside that end
    twice as high as the lowest; what is higher is drawn there.
    """
    known = np.concatenate([np.asarray(one["values"], float) for one in series] or [[]])
    known = known[np.isfinite(known)]
    ends = [one["values"][-1] for one in series if not one["dashed"] and one["values"]]
    ends = [end for end in ends if end is not None and np.isfinite(end)] or list(known)
    if not len(known):
        return say("No epoch has ended yet.")
    top = min(known.max(), 1.25 * max(end for end in ends if end <= 2 * min(ends)))
    span, epochs = (known.min() - 0.01, top + 0.01), max(len(one["values"]) for one in series)
    x, y = _along((1, max(epochs, 2)), LEFT + 6, RIGHT), _along(span, height - 40, 8)
    parts = [_text(LEFT - 4, y(tick) + 4, f"{tick:g}", "end") for tick in _ticks(span)]
    parts.append(_path("".join(f"M{LEFT} {y(tick):g}H{RIGHT}" for tick in _ticks(span))))
    for one in series:
        points = [(x(k), y(v)) for k, v in enumerate(one["values"], 1) if v is not None and np.isfinite(v)]
        how = f"fill='none' stroke='{one['colour']}' stroke-width='2'" + " stroke-dasharray='5 4'" * one["dashed"]
        parts.append(f"<polyline points='{' '.join(f'{a:g},{b:g}' for a, b in points)}' {how}/>")
        if not one["dashed"] and epochs <= 20:
            parts += [f"<circle cx='{a:g}' cy='{b:g}' r='2.5' fill='{one['colour']}'/>" for a, b in points]
    label = "epoch; upwards: RMSE (stars)" + (f", {top:.2f} or more at the edge" if known.max() > top else "")
    return _svg(height, title, parts + _x_axis(x, (1, max(epochs, 2)), height - 36, label, whole=True))


def histogram(edges, filled, outlined, colour, title, label, mark=None, height=150):
    """Counts in bins: filled steps, an outline to compare them with (or None), and a mark (the value of "this run", or
    None) on the axis. edges: one more than the bins."""
    x, base = _along((edges[0], edges[-1]), LEFT, RIGHT), height - 40
    most = max(*filled, *(outlined or [0]), 1)
    y = _along((0, most), base, 10)

    def steps(counts):
        pairs = zip(counts, edges[1:], strict=True)
        return f"M{LEFT} {base}" + "".join(f"V{y(n):g}H{x(right):g}" for n, right in pairs) + f"V{base}"

    parts = [_text(LEFT - 4, y(most) + 4, f"{most:,}", "end"), _text(LEFT - 4, base + 2, "0", "end")]
    parts.append(_path(steps(filled), f"fill='{colour}'"))
    if outlined:
        parts.append(_path(steps(outlined), "class='line'"))
    if mark is not None:
        at = x(mark)
        words = _text(at + 4, 9, "this run") if at < 290 else _text(at - 4, 9, "this run", "end")
        parts += [_path(f"M{at:g} 4V{base}", "class='line'"), words]
    return _svg(height, title, parts + _x_axis(x, (edges[0], edges[-1]), height - 36, label))


def key(entries):
    """A line that says what each colour stands for. entries: pairs of a colour and its words."""
    squares = (
        f"<span class='entry'><span style='color:{colour}' aria-hidden='true'>&#9632;</span> {escape(words)}</span>"
        for colour, words in entries
    )
    return f"<p>{''.join(squares)}</p>"


def table(heads, rows, caption):
    """An HTML table of texts."""
    top = "".join(f"<th scope='col'>{escape(head)}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(value))}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def say(text):
    """A paragraph of text."""
    return f"<p>{escape(text)}</p>"
