"""Plots as SVG: lines over an axis, and bars. Nothing but text is needed for that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 720, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 130, 34, 44
_COLOURS = ("#0b6e4f", "#c8553d", "#3d5a80", "#b08900", "#7b4b94", "#5c5c5c")  # ours is the first
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a value from 0 to `most` is drawn, between two places of the picture."""

    most: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place, to a tenth of a pixel."""
        return round(self.start + (self.end - self.start) * value / self.most, 1)

    def ticks(self) -> list[float]:
        """Round values along it."""
        rough = self.most / _TICKS
        power = 10 ** math.floor(math.log10(rough))
        step = power * next(times for times in (1, 2, 5, 10) if times * power >= rough)
        return [round(step * place, 10) for place in range(math.floor(self.most / step + 1e-9) + 1)]


def lines(
    title: str, series: Mapping[str, Sequence[Sequence[float]]], *, across: str, up: str, mark: tuple[str, float] | None = None
) -> str:
    """Curves with their names at the right, and a dashed line at the height of `mark`."""
    points = [point for curve in series.values() for point in curve]
    x = Scale(max(point[0] for point in points), _LEFT, WIDTH - _RIGHT)
    y = Scale(max([point[1] for point in points] + ([mark[1]] if mark else [])) * 1.05, HEIGHT - _BOTTOM, _TOP)
    parts = _axes(x, y, across, up)
    for place, (name, curve) in enumerate(series.items()):
        path = " ".join(f"{x.at(right)},{y.at(high)}" for right, high in curve)
        colour = _COLOURS[place % len(_COLOURS)]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{2 if place == 0 else 1.3}"/>')
        parts.append(_text(WIDTH - _RIGHT + 10, _TOP + 12 + 18 * place, name, f'fill="{colour}"'))
    if mark is not None:
        height = y.at(mark[1])
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{height}" y2="{height}" stroke="#888" stroke-dasharray="5 4"/>')
        parts.append(_text(WIDTH - _RIGHT - 4, height - 5, mark[0], 'fill="#666" text-anchor="end"'))
    return _picture(title, parts)


def bars(title: str, values: Mapping[str, float], *, up: str) -> str:
    """A bar for each, with its value over it."""
    y = Scale(max(values.values()) * 1.1, HEIGHT - _BOTTOM, _TOP)
    parts = _grid(y, up)
    room = (WIDTH - _LEFT - 24) / len(values)
    for place, (name, value) in enumerate(values.items()):
        left, top = round(_LEFT + room * (place + 0.2), 1), y.at(value)
        middle = round(left + room * 0.3, 1)
        colour = _COLOURS[0] if place == 0 else "#9aa5b1"
        height = round(HEIGHT - _BOTTOM - top, 1)
        parts.append(f'<rect x="{left}" y="{top}" width="{round(room * 0.6, 1)}" height="{height}" fill="{colour}"/>')
        parts.append(_text(middle, top - 5, f"{value:,.0f}", 'text-anchor="middle"'))
        parts.append(_text(middle, HEIGHT - _BOTTOM + 18, name, 'text-anchor="middle"'))
    return _picture(title, parts)


def _axes(x: Scale, y: Scale, across: str, up: str) -> list[str]:
    parts = _grid(y, up)
    parts += [_text(x.at(tick), HEIGHT - _BOTTOM + 16, f"{tick:g}", 'fill="#666" text-anchor="middle"') for tick in x.ticks()]
    return [*parts, _text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 8, across, 'fill="#666" text-anchor="middle"')]


def _grid(y: Scale, up: str) -> list[str]:
    parts = []
    for tick in y.ticks():
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - 20}" y1="{y.at(tick)}" y2="{y.at(tick)}" stroke="#e3e3e3"/>')
        parts.append(_text(_LEFT - 8, y.at(tick) + 4, f"{tick:g}", 'fill="#666" text-anchor="end"'))
    return [*parts, _text(_LEFT - 44, _TOP - 10, up, 'fill="#666"')]


def _text(x: float, y: float, words: str, more: str) -> str:
    return f'<text x="{round(x, 1)}" y="{round(y, 1)}" {more}>{escape(words)}</text>'


def _picture(title: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">'
    inner = [f"<title>{escape(title)}</title>", f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts]
    return "\n".join([head, *inner, "</svg>"]) + "\n"
