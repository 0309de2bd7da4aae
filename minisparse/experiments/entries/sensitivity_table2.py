"""Tartaglione et al. 2018, Table 2: LeNet-5 on MNIST."""

from dataclasses import replace

from minisparse.experiments.entries.dense_lenet5 import EXPERIMENT as DENSE_LENET5
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.sensitivity import Sensitivity
from minisparse.experiments.results import Results, find_row

UNSPECIFIC = "unspecific"
SPECIFIC = "specific"

# Chosen on 10,000 held-out training images.  The mean over 20 images of each batch stands for that
# over all 100 in the unspecific form, which takes ten backward passes: its error is no larger.
METHOD = Sensitivity(
    model="lenet5", lr=0.02, momentum=0.9, dense_epochs=8, regrow=True, threshold=0.06
)

ROWS = {
    "dense": Row(DENSE_LENET5.rows["dense"].recipe, series="dense"),
    UNSPECIFIC: Row(replace(METHOD, examples=20), series=UNSPECIFIC),
    SPECIFIC: Row(replace(METHOD, variant="specific"), series=SPECIFIC),
}


def sentence(results: Results) -> str:
    """Say what the method leaves, in each of its forms, and at which error."""
    dense = find_row(results, "dense")["ours"]["error_mean"]
    parts = []
    for row in results["rows"]:
        if row["name"] != "dense":
            error, ratio = row["ours"]["error_mean"], row["ours"]["compression_mean"]
            parts.append(f"{ratio:.0f}x at {error:.2f} % test error ({row['name']})")
    return (
        f"Sensitivity-driven regularization compresses LeNet-5 {' and '.join(parts)}; "
        f"without pruning the error is {dense:.2f} %."
    )


EXPERIMENT = Experiment(
    id="sensitivity-table2",
    title="Sensitivity-driven regularization, LeNet-5 on MNIST",
    paper="Tartaglione et al. 2018",
    where="Table 2",
    home=__file__,
    minutes=35,
    rows=ROWS,
    sentence=sentence,
    seeds=3,
    quick_minutes=1,
)
