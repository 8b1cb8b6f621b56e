"""The picture of what `bench.py` found: how many times faster vdata was than each peer. `python benchmarks/plot.py figures.json figures.png`"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

FASTER, SLOWER, INK, FAINT = "#2a7f62", "#b5523b", "#222222", "#8a8a8a"
BLANK = {"color": "white", "pad": 1}


def draw(results: dict[str, Any], path: Path) -> None:
    """One bar a peer, grouped by case, from 1 (as fast) to the median ratio; whiskers from the least to the greatest round, ticks where the aims are."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    groups = {name: rows for name, case in results["cases"].items() if (rows := _compared(case))}
    if not groups:
        raise ValueError("nothing to draw: no case has both vdata and a peer")
    ratios = [value for rows in groups.values() for row in rows for value in row["ratio"].values()]
    aims = [row[aim] for rows in groups.values() for row in rows for aim in ("must", "stretch") if row[aim]]
    least, greatest = min([0.8, *ratios]) / 1.1, max([2.0, *ratios, *aims]) * 1.6  # room for the numbers beside the bars
    lines = sum(map(len, groups.values())) + 1.4 * len(groups)
    figure, axes = plt.subplots(figsize=(9, 0.21 * lines + 0.8), layout="constrained")
    at, names, places = 0.0, [], []
    for name, rows in groups.items():
        title = textwrap.shorten(results["cases"][name]["title"], 110, placeholder=" ...")
        heading = f"{name.replace('_', ' ').upper()}  {title}"
        axes.annotate(heading, (0.005, at), xycoords=("figure fraction", "data"), va="center", fontsize=7.5, in_layout=False, zorder=5, bbox=BLANK)
        for row in rows:
            at += 1
            names.append(row["peer"])
            places.append(at)
            _bar(axes, at, row)
        at += 1.4
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(least, greatest)
    axes.set_ylim(at - 0.6, -0.7)
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if least <= t <= greatest]
    axes.set_xticks(ticks, [f"{t:g} x" for t in ticks])
    axes.minorticks_off()
    axes.set_yticks(places, names)
    axes.tick_params(length=0, labelsize=8, colors=INK)
    axes.spines[:].set_visible(False)
    machine = results["machine"]
    figure.suptitle(f"How many times faster vdata is; {machine['cores']} cores, {machine['processor']}{' (a quick look at tiny data)' if results['quick'] else ''}       | must reach   ◆ goal", fontsize=9, color=INK)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _compared(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The peers whose throughput is compared; a case without such aims is about something else."""
    return [
        {"peer": peer, "unit": case["unit"], "must": case["must"].get(peer), "stretch": case["stretch"].get(peer), **found}
        for peer, found in case["figures"].items()
        if "ratio" in found and case["must"]
    ]


def _bar(axes: Any, at: float, row: dict[str, Any]) -> None:
    ratio, rate = row["ratio"], row["rate"]["median"]
    median = ratio["median"]
    axes.barh(at, median - 1, left=1, height=0.62, color=FASTER if median >= 1 else SLOWER, zorder=2)
    axes.plot([ratio["min"], ratio["max"]], [at, at], color=INK, linewidth=1, zorder=3)
    for aim, mark in (("must", "|"), ("stretch", "D")):
        if row[aim]:
            axes.plot(row[aim], at, mark, color=INK, markersize=8 if mark == "|" else 3, zorder=4)
    right = max(ratio["max"], row["must"] or 1, row["stretch"] or 1, 1)
    axes.annotate(f"{median:.2f} x", (right, at), (6, 0), textcoords="offset points", va="center", fontsize=8, color=INK)
    axes.annotate(f"{row['peer']} {rate:,.0f} {row['unit']}/s", (1, at), xycoords=("axes fraction", "data"), va="center", fontsize=7, color=FAINT)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
