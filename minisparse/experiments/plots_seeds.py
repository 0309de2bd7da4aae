"""Figure of the same images under many seeds: who is wrong where, and what it takes to see a difference."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np

from minisparse.doors import door
from minisparse.drawing import COLOURS, GREY, drawing
from minisparse.experiments.intervals import student
from minisparse.experiments.recipes.wrong_images import IMAGES
from minisparse.experiments.results import Results

SEEDS = range(2, 51)
DIFFERENCES = (0.05, 0.1, 0.2)  # percentage points


@door
def times_wrong(wrong: Sequence[Sequence[int]]) -> np.ndarray:
    """Return how many images are wrong for exactly 0, 1, ..., n of n seeds."""
    times = np.zeros(IMAGES, int)
    for images in wrong:
        times[list(images)] += 1
    return np.bincount(times, minlength=len(wrong) + 1)


def binomial(wrong: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the same, as it would be if every image were as hard as every other."""
    n = len(wrong)
    p = sum(map(len, wrong)) / n / IMAGES
    return np.array([IMAGES * math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])


@door
def spreads(wrong: Sequence[Sequence[int]]) -> dict[str, float]:
    """Return the standard deviation of the difference between two networks, in points, three ways."""
    p = sum(map(len, wrong)) / len(wrong) / IMAGES
    pairs = [
        len(set(a) ^ set(b)) - (len(a) - len(b)) ** 2 / IMAGES
        for i, a in enumerate(wrong)
        for b in wrong[:i]
    ]
    errors = [100 * len(images) / IMAGES for images in wrong]
    return {
        "new images for each": 100 * math.sqrt(2 * p * (1 - p) / IMAGES),
        "new images, the same for both": 100 * math.sqrt(float(np.mean(pairs))) / IMAGES,
        "these images, new seeds": math.sqrt(2) * stdev(errors),
    }


def power(difference: float, spread: float, n: int, draws: int = 20_000) -> float:
    """Return how often n pairs of seeds show a difference that is there, by simulation.

    Parameters
    ----------
    difference : float
        Between the means of two methods.
    spread : float
        Standard deviation of the difference within a pair.
    n : int
        Pairs; the 95 % interval of their mean difference must be on the right side of 0.
    draws : int
    """
    rng = np.random.default_rng(0)
    mean = difference + spread / math.sqrt(n) * rng.standard_normal(draws)
    sd = spread * np.sqrt(rng.chisquare(n - 1, draws) / (n - 1))
    return float(np.mean(mean > student(n) * sd / math.sqrt(n)))


def fill(panels: Sequence[Any], wrong: Sequence[Sequence[int]]) -> None:
    """Draw three panels: times wrong; standard deviations of a difference; power."""
    n = len(wrong)
    first, second, third = panels
    found, even = times_wrong(wrong)[1:], binomial(wrong)[1:]
    k = np.arange(1, n + 1)
    first.bar(k, found, color=COLOURS[0], width=0.8)
    seen = even >= 0.5
    first.plot(k[seen], even[seen], "o", color=COLOURS[1], label="if all were equally hard")
    first.set_yscale("log")
    first.set_ylim(bottom=0.5)
    first.set_xlabel(f"wrong for so many of {n} seeds")
    first.set_ylabel("test images (log scale)")
    first.legend()

    sizes = spreads(wrong)
    second.barh(range(len(sizes)), sizes.values(), color=[GREY, COLOURS[0], COLOURS[2]], height=0.6)
    second.set_yticks(range(len(sizes)), [name.replace(", ", ",\n") for name in sizes])
    second.invert_yaxis()
    second.grid(visible=False, axis="y")
    second.set_xlabel("sd of the difference of two\nnetworks, percentage points")

    spread = sizes["these images, new seeds"]
    for difference, colour in zip(DIFFERENCES, COLOURS, strict=False):
        chances = [100 * power(difference, spread, m) for m in SEEDS]
        third.plot(SEEDS, chances, color=colour, label=f"{difference} points")
    third.axhline(80, color=GREY, linewidth=1, linestyle=":")
    third.set_xscale("log", base=2)
    third.set_xticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
    third.set_xlabel("seeds of each method (log scale)")
    third.set_ylabel("chance to see it, %")
    third.legend(title="true difference")


def draw(results: Results, path: Path) -> None:
    """Draw the three panels for the one row of the results."""
    (row,) = results["rows"]
    with drawing(path, width=11, height=3.6, ncols=3) as (_, panels):
        fill(panels, row["details"]["wrong"])
