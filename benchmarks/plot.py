"""results.svg: time against size, both axes logarithmic, a panel for each database."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

#: What is drawn: the measure's id, whose side of it, and what it is called.
CURVES: Final = (
    ("first", "opponents", "bare scan of the orders"),
    ("first", "ours", "first run of the twelve rules"),
    ("daily", "ours", "daily run of the twelve rules"),
    ("sql-first", "opponents", "first run, SQL by hand"),
    ("loop-level", "opponents", "first run, a Python loop"),
    ("zen-batch-level", "opponents", "first run, zen-engine"),
)
PANELS: Final = (("sqlite", "SQLite"), ("postgresql", "PostgreSQL"))
#: Six that can be told apart by those who see no red or green, on white and on black.
COLOURS: Final = ("#888888", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b08900")
WIDTH, HEIGHT, LEFT, TOP, GAP, FOOT = 360, 300, 60, 40, 75, 110

_STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #24292f } .grid { stroke: #d0d7de } .paper { fill: #ffffff }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .grid { stroke: #3d444d } .paper { fill: #0d1117 } }
.curve { fill: none; stroke-width: 2 } .title { font-weight: 600 }
</style>"""

Point = tuple[float, float]


def drawn(kept: Mapping[str, Any]) -> str:
    """Give the picture of all sizes that are kept; a curve of one size is a dot."""
    curves = {panel: _curves(kept, panel) for panel, _ in PANELS}
    points = [point for of_panel in curves.values() for curve in of_panel for point in curve]
    sizes, times = _decades([x for x, _ in points]), _decades([y for _, y in points])
    wide, high = LEFT + len(PANELS) * (WIDTH + GAP), TOP + HEIGHT + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}">',
        _STYLE,
        f'<rect class="paper" width="{wide}" height="{high}"/>',
    ]
    for number, (panel, title) in enumerate(PANELS):
        parts += _panel(LEFT + number * (WIDTH + GAP), title, curves[panel], sizes, times)
    parts += _legend(TOP + HEIGHT + 50)
    return "\n".join([*parts, "</svg>", ""])


def _curves(kept: Mapping[str, Any], database: str) -> list[list[Point]]:
    found: list[list[Point]] = []
    for measure, side, _ in CURVES:
        lines = ((float(size), of["lines"].get(f"{measure}@{database}")) for size, of in kept.items())
        found.append(sorted((size, statistics.median(line[side])) for size, line in lines if line and line[side]))
    return found


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Give the powers of ten that hold them all."""
    if not values:
        return 0, 1
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _panel(
    left: int, title: str, curves: Sequence[Sequence[Point]], sizes: tuple[int, int], times: tuple[int, int]
) -> list[str]:
    def x(size: float) -> float:
        return left + (math.log10(size) - sizes[0]) / (sizes[1] - sizes[0]) * WIDTH

    def y(seconds: float) -> float:
        return TOP + HEIGHT - (math.log10(seconds) - times[0]) / (times[1] - times[0]) * HEIGHT

    parts = [f'<text class="title" x="{left}" y="{TOP - 14}">{title}</text>']
    for power in range(sizes[0], sizes[1] + 1):
        at = x(10**power)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{TOP + HEIGHT}"/>')
        parts.append(f'<text x="{at:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{_guests(power)}</text>')
    for power in range(times[0], times[1] + 1):
        at = y(10.0**power)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + WIDTH}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{_seconds(power)}</text>')
    for curve, colour in zip(curves, COLOURS, strict=True):
        path = " ".join(f"{x(size):.1f},{y(seconds):.1f}" for size, seconds in curve)
        if len(curve) > 1:
            parts.append(f'<polyline class="curve" stroke="{colour}" points="{path}"/>')
        parts += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5" fill="{colour}"/>' for a, b in curve]
    return parts


def _legend(top: int) -> list[str]:
    parts = [f'<text x="{LEFT}" y="{top}">Seconds against guests, with ten orders each; both axes logarithmic.</text>']
    for number, ((_, _, name), colour) in enumerate(zip(CURVES, COLOURS, strict=True)):
        left, at = LEFT + number % 3 * 265, top + 24 + number // 3 * 22
        parts.append(
            f'<line x1="{left}" x2="{left + 22}" y1="{at - 4}" y2="{at - 4}" stroke="{colour}" stroke-width="3"/>'
        )
        parts.append(f'<text x="{left + 28}" y="{at}">{escape(name)}</text>')
    return parts


def _guests(power: int) -> str:
    return f"{10 ** (power - 6)} M" if power >= 6 else f"{10 ** (power - 3)} k" if power >= 3 else f"{10**power}"


def _seconds(power: int) -> str:
    return f"{10**power} s" if power >= 0 else f"{10 ** (power + 3)} ms" if power >= -3 else f"{10.0**power:g} s"
