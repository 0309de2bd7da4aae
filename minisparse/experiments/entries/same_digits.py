"""One network, twenty seeds: which of the test images change hands, and what noise that makes.

Written down on 2026-11-28, before the runs.  If every image were as hard as every other, the numbers of
seeds that get it wrong would follow one binomial law, and hardly an image would be wrong for all.  We
expect the opposite: more than nine tenths of the images are right for all twenty, some dozens are wrong
for all, and a few hundred change.  So the difference between two seeds has a standard deviation of less
than that of two networks with images of their own (0.18 points at 1.6 %).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from minisparse.experiments.entries.sensitivity_table1 import DENSE
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.wrong_images import IMAGES, WrongImages
from minisparse.experiments.results import Results


def _details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    wrong = [list(outcome.extra["wrong"]) for outcome in outcomes]
    times = Counter(image for each in wrong for image in each)
    always = sum(n == len(wrong) for n in times.values())
    return {"wrong": wrong, "always_wrong": always, "sometimes_wrong": len(times) - always}


def _sentence(results: Results) -> str:
    (row,) = results["rows"]
    found, n = row["details"], row["ours"]["n_seeds"]
    never = IMAGES - found["always_wrong"] - found["sometimes_wrong"]
    return (
        f"Of the {IMAGES:,} test images {never:,} are right for each of {n} seeds, "
        f"{found['always_wrong']} wrong for each, and {found['sometimes_wrong']} change."
    )


def _figure(results: Results, path: Path) -> None:
    from minisparse.experiments import plots_seeds  # Matplotlib: only when something is drawn

    plots_seeds.draw(results, path)


EXPERIMENT = Experiment(
    id="same-digits",
    title="LeNet-300-100 on MNIST, not pruned, twenty seeds: which images are wrong",
    paper="our own measurement",
    where="no published table",
    home=__file__,
    minutes=0.6,
    rows={
        "dense": Row(
            WrongImages(**{f.name: getattr(DENSE, f.name) for f in fields(DENSE)}), series="dense"
        )
    },
    sentence=_sentence,
    figure=_figure,
    seeds=20,
    quick_minutes=0.1,
    details=_details,
    columns={
        "always wrong": lambda found: str(found["always_wrong"]),
        "sometimes wrong": lambda found: str(found["sometimes_wrong"]),
    },
)
