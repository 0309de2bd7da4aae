"""Tartaglione et al. 2018, Table 2: LeNet-5 on MNIST."""

from dataclasses import replace

from minisparse.experiments.entries import controls_lenet5
from minisparse.experiments.entries.dense_lenet5 import EXPERIMENT as DENSE_LENET5
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.results import Results, find_row, in_words

UNSPECIFIC = "unspecific"
SPECIFIC = "specific"

_METHOD = controls_lenet5.ROWS["mnist, sensitivity"]

ROWS = {
    "dense": Row(DENSE_LENET5.rows["dense"].recipe, series="dense"),
    UNSPECIFIC: replace(_METHOD, series=UNSPECIFIC),
    SPECIFIC: Row(
        replace(controls_lenet5.METHOD, variant="specific", threshold=0.06), series=SPECIFIC
    ),
    **controls_lenet5.controls("mnist", UNSPECIFIC),
}


def sentence(results: Results) -> str:
    """Say what the method leaves, in each of its forms, and at which error; and its controls."""
    dense = find_row(results, "dense")["ours"]["error_mean"]
    forms, controls = [], []
    for row in results["rows"]:
        if row["name"] in (UNSPECIFIC, SPECIFIC):
            error, ratio = row["ours"]["error_mean"], row["ours"]["compression_mean"]
            forms.append(f"{ratio:.0f}x at {error:.2f} % test error ({row['name']})")
        elif row["name"] != "dense":
            controls.append(row)
    return (
        f"Sensitivity-driven regularization compresses LeNet-5 {' and '.join(forms)}; "
        f"without pruning the error is {dense:.2f} %. Controls: {in_words(controls, digits=0)}."
    )


EXPERIMENT = Experiment(
    id="sensitivity-table2",
    title="Sensitivity-driven regularization, LeNet-5 on MNIST",
    paper="Tartaglione et al. 2018",
    where="Table 2",
    home=__file__,
    minutes=60,
    rows=ROWS,
    sentence=sentence,
    seeds=3,
    quick_minutes=1.9,
)
