"""Louizos et al. 2018: expected floating-point operations while the gates close."""

from pathlib import Path

from minisparse.experiments.entries import l0_table1
from minisparse.experiments.experiment import Experiment
from minisparse.experiments.results import Results

ROWS = l0_table1.GATES  # the same runs


def _sentence(results: Results) -> str:
    parts = []
    for row in results["rows"]:
        curve, left = row["details"]["curve"], row["details"]["flops"]["ours"]
        first, last = curve["ours"][0], curve["ours"][-1]
        parts.append(
            f"{row['name']} from {first / 1e6:.2g} to {last / 1e6:.2g} million expected "
            f"({left / 1e6:.2g} left at evaluation)"
        )
    return (
        "Floating-point operations for an image, with what removed inputs save in the layer "
        f"before, from the first epoch to the last: {'; '.join(parts)}."
    )


def _figure(results: Results, path: Path) -> None:
    from minisparse.experiments import plots_epochs  # Matplotlib: only when something is drawn

    plots_epochs.flops(results, path)


EXPERIMENT = Experiment(
    id="l0-flops",
    title="Expected FLOPs under L0 regularization, MLP and LeNet-5 on MNIST",
    paper="Louizos et al. 2018",
    where="the figure of expected FLOPs",
    home=__file__,
    published=l0_table1.EXPERIMENT.id,
    minutes=25,
    rows=ROWS,
    sentence=_sentence,
    figure=_figure,
    seeds=l0_table1.EXPERIMENT.seeds,
    quick_minutes=0.7,
    details=l0_table1.details,
    columns=l0_table1.COLUMNS,
)
