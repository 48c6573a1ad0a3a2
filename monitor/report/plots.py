"""The report's plots as inline SVG; their colours come from the page's style sheet. Pure."""

import math
from collections.abc import Sequence
from itertools import accumulate

from monitor.incidents.plain import moment, number
from monitor.incidents.steps import StepSeries
from monitor.report.figures import (
    MOST_ROWS,
    Lengths,
    OverTime,
    histogram,
    quantile,
)
from monitor.report.markup import Markup, el, join

WIDTH = 860
_LEFT, _RIGHT, _BOTTOM, _TOP = 52, 20, 26, 10
_ROW = 26
_NAME = 190
_MOST_TICKS = 400  # of one replica: more are one colour anyway


def time_plot(data: OverTime) -> Markup:
    """Stacked bars, with a legend."""
    height = 220
    columns = list(zip(*data.counts.values(), strict=True))
    most = max(map(sum, columns))
    inner, floor = WIDTH - _LEFT - _RIGHT, height - _BOTTOM
    scale, wide = (floor - _TOP) / most, inner / len(columns)
    bars: list[Markup] = []
    for at, column in enumerate(columns):
        begins = moment(data.start + at * data.bin_seconds)
        for series, (count, above) in enumerate(zip(column, accumulate(column), strict=True)):
            if count:
                name = list(data.counts)[series]
                bars.append(
                    el(
                        "rect",
                        el("title", f"{begins}, {name}: {count}"),
                        x=_LEFT + at * wide + min(1.0, wide / 8),
                        y=floor - above * scale,
                        width=max(1.0, wide - 2 * min(1.0, wide / 8)),
                        height=count * scale,
                        class_=f"s{series}",
                    )
                )
    ends = data.start + len(columns) * data.bin_seconds
    labels = join(
        _label(moment(data.start), _LEFT, height - 8),
        _label(moment(ends), WIDTH - _RIGHT, height - 8, "end"),
    )
    drawn = _svg(height, _levels(most, floor, scale), *bars, labels, title="Incidents over time")
    keys = (el("span", el("i", class_=f"key s{at}"), name) for at, name in enumerate(data.counts))
    return join(drawn, el("p", *keys, class_="legend"))


def length_plot(rows: Sequence[Lengths]) -> Markup:
    """A row for each replica: a tick an attempt, above what was healthy, below what was not."""
    shown = rows[:MOST_ROWS]
    most = max((max((*one.healthy, *one.sick), default=1.0) for one in shown), default=2.0)
    most = max(2.0, math.ceil(most * 2) / 2)
    height = _TOP + _ROW * len(shown) + _BOTTOM
    inner = WIDTH - _NAME - _RIGHT

    def x(length: float) -> float:
        return _NAME + (min(max(length, 1.0), most) - 1.0) / (most - 1.0) * inner

    parts: list[Markup] = []
    for at, one in enumerate(shown):
        y = _TOP + at * _ROW
        middle = quantile(sorted(one.healthy), 0.5)
        name = one.replica.removeprefix("http://")
        told = f"{one.replica}: {len(one.healthy)} healthy, median {number(middle)}; "
        told += f"{len(one.sick)} sick, median {number(quantile(sorted(one.sick), 0.5))}"
        shown_name = el("text", el("title", told), _short(name, 28), x=0, y=y + 15)
        parts += [shown_name, _line(_NAME, y + _ROW - 3, WIDTH - _RIGHT, y + _ROW - 3, "grid")]
        parts += [_line(x(v), y + 1, x(v), y + 11, "good") for v in _thinned(one.healthy)]
        parts += [_line(x(v), y + 12, x(v), y + 22, "bad") for v in _thinned(one.sick)]
    steps = range(int((most - 1.0) * 2) + 1)
    marks = [1.0 + step / 2 for step in steps][:: max(1, len(steps) // 12)]
    axis = (_label(f"{mark:g}", x(mark), height - 8, "middle") for mark in marks)
    return _svg(height, *parts, *axis, title="Accept length by replica")


def delay_plot(values: Sequence[int]) -> Markup:
    """A histogram of tokens."""
    height, bins = 180, 32
    width, counts = histogram(values, bins)
    floor, inner = height - _BOTTOM, WIDTH - _LEFT - _RIGHT
    most = max(counts)
    scale, wide = (floor - _TOP) / most, inner / bins
    bars = [
        el(
            "rect",
            el("title", f"{at * width:.0f} to {(at + 1) * width:.0f} tokens: {count}"),
            x=_LEFT + at * wide + 1,
            y=floor - count * scale,
            width=wide - 2,
            height=count * scale,
            class_="s0",
        )
        for at, count in enumerate(counts)
        if count
    ]
    ends = (0, bins // 4, bins // 2, 3 * bins // 4, bins)
    axis = [_label(f"{at * width:.0f}", _LEFT + at * wide, height - 8, "middle") for at in ends]
    return _svg(height, _levels(most, floor, scale), *bars, *axis, title="Tokens to the alarm")


def step_plot(series: StepSeries) -> Markup:
    """A bar for each step, as high as its accepted drafts; onset and alarm as lines."""
    height, counts = 64, series.counts()
    most = max((1, *counts))
    wide = min(8.0, (WIDTH - 2 * _RIGHT) / max(1, len(counts)))
    floor = height - 12
    tall = [(at, max(2.0, count / most * (floor - 12))) for at, count in enumerate(counts)]
    bars = (
        el("path", d=_bars(tall, floor, wide, is_wanted), class_=kind)
        for kind, is_wanted in (
            ("good-fill", [count > 0 for count in counts]),
            ("bad-fill", [count == 0 for count in counts]),
        )
    )
    marks: list[Markup] = []
    for place, name in ((series.onset_step, "onset"), (series.alarm_step, "alarm")):
        if place is not None and 0 <= place < len(counts):
            at = _RIGHT + (place + (name == "alarm")) * wide
            marks += [_line(at, 2, at, floor, "mark"), _label(name, at + 2, height - 1)]
    return _svg(height, *bars, *marks, title="Accepted drafts of each step")


def _bars(
    tall: Sequence[tuple[int, float]], floor: float, wide: float, is_wanted: Sequence[bool]
) -> str:
    """One path for all bars of a kind: a long answer has hundreds."""
    thick = max(0.5, wide * 0.8)
    return "".join(
        f"M{_RIGHT + at * wide:.1f} {floor:g}v{-height:.1f}h{thick:.1f}v{height:.1f}z"
        for (at, height), wanted in zip(tall, is_wanted, strict=True)
        if wanted
    )


def _svg(height: float, *parts: Markup, title: str) -> Markup:
    return el(
        "svg",
        el("title", title),
        *parts,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        xmlns="http://www.w3.org/2000/svg",
    )


def _levels(most: int, floor: float, scale: float) -> Markup:
    parts: list[Markup] = []
    for level in sorted({0, most // 2, most}):
        y = floor - level * scale
        parts.append(_line(_LEFT, y, WIDTH - _RIGHT, y, "grid"))
        parts.append(_label(f"{level:,}", _LEFT - 6, y + 4, "end"))
    return join(*parts)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return el("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=kind)


def _label(said: str, x: float, y: float, anchor: str = "start") -> Markup:
    return el("text", said, x=float(x), y=float(y), text_anchor=anchor)


def _thinned(values: Sequence[float]) -> Sequence[float]:
    """Evenly chosen ones of too many."""
    ordered = sorted(values)
    step = max(1, math.ceil(len(ordered) / _MOST_TICKS))
    return ordered[::step]


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
