"""Plots of how a cost grows, as small SVG files that come out the same for the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

mpl.rcParams.update({"svg.hashsalt": "gradfix", "svg.fonttype": "none", "font.size": 8})

#: Sizes and what they cost.
Line = tuple[Sequence[float], Sequence[float]]


def growth(
    path: Path,
    lines: Mapping[str, Line],
    *,
    title: str,
    across: str,
    up: str,
    powers: Sequence[float] = (1,),
) -> None:
    """Draw lines on two logarithmic axes, with dotted guides that grow by some powers."""
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for number, (name, (sizes, costs)) in enumerate(lines.items()):
        marker = "os^vD"[number // 10 % 5]
        axes.plot(sizes, costs, marker=marker, markersize=3, linewidth=1, label=name)
    least = min(size for sizes, _ in lines.values() for size in sizes)
    most = max(size for sizes, _ in lines.values() for size in sizes)
    lowest = min(cost for _, costs in lines.values() for cost in costs)
    for power in powers:
        ends = [lowest, lowest * (most / least) ** power]
        axes.plot([least, most], ends, "k:", linewidth=0.8)
        axes.annotate(_power(power), (most, ends[1]), textcoords="offset points", xytext=(3, -3))
    axes.set(xscale="log", yscale="log", title=title, xlabel=across, ylabel=up)
    axes.grid(visible=True, which="major", linewidth=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.06, 0.5), frameon=False, fontsize=7)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def _power(power: float) -> str:
    return "n" if power == 1 else f"n^{power:g}"
