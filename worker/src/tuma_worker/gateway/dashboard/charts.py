"""Charts as shapes: what a picture is drawn from, without knowing what it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 240.0, 40.0  # of a picture, in its own units
_GAP = 1.0  # between two bars


@dataclass(frozen=True, slots=True)
class Layer:
    """The bars of one kind: `path` is their outline, as SVG writes it, and `total` what they add up to."""

    kind: str
    path: str
    total: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars that stand on each other. `peak` is what the highest of them adds up to."""

    layers: tuple[Layer, ...]
    peak: int

    @property
    def shown(self) -> tuple[Layer, ...]:
        """The layers that there is something of."""
        return tuple(layer for layer in self.layers if layer.total)

    @property
    def total(self) -> int:
        """What all of it adds up to."""
        return sum(layer.total for layer in self.layers)


def stacked(parts: Sequence[Mapping[str, int]], kinds: Mapping[str, Sequence[str]]) -> Chart:
    """A bar for each part, from the bottom up a layer for each kind, which adds up what its names count."""
    counts = [[sum(part.get(name, 0) for name in names) for names in kinds.values()] for part in parts]
    peak = max(map(sum, counts), default=0)
    scale = HEIGHT / peak if peak else 0.0
    layers = [
        Layer(kind, _outline([(sum(one[:place]) * scale, one[place] * scale) for one in counts]), sum(one[place] for one in counts))
        for place, kind in enumerate(kinds)
    ]
    return Chart(tuple(layers), peak)


def _outline(bars: Sequence[tuple[float, float]]) -> str:
    """The outline of bars that begin so high and are so high."""
    step = WIDTH / max(1, len(bars))
    return "".join(
        f"M{place * step:.1f} {HEIGHT - below:.1f}v{-height:.1f}h{step - _GAP:.1f}v{height:.1f}z"
        for place, (below, height) in enumerate(bars)
        if height
    )
