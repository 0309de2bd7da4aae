"""Tartaglione et al. 2018, Table 1: LeNet-300-100 on MNIST."""

from dataclasses import replace

from minisparse.experiments.experiment import Experiment, Results, Row
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.sensitivity import Sensitivity

UNSPECIFIC = "unspecific"
SPECIFIC = "specific"

DENSE = Dense(lr=0.3, weight_decay=3e-4, epochs=30, decay_epochs=15)
# Chosen on 10,000 held-out training images, two seeds each: twice the epochs of regularization and
# weights that may come back gain a tenth of a point at the same compression.  T so that the
# compression is the published one or more.
_METHOD = Sensitivity(lr=0.2, sparsify_epochs=200, finetune_epochs=30, regrow=True)

ROWS = {
    "dense": Row(DENSE, series="dense"),
    "unspecific, low error": Row(replace(_METHOD, threshold=0.085), series=UNSPECIFIC),
    "specific, low error": Row(
        replace(_METHOD, variant="specific", threshold=0.06), series=SPECIFIC
    ),
    "unspecific, high compression": Row(replace(_METHOD, threshold=0.19), series=UNSPECIFIC),
    "specific, high compression": Row(
        replace(_METHOD, variant="specific", threshold=0.16), series=SPECIFIC
    ),
}


def _sentence(results: Results) -> str:
    rows = {row["name"]: row["ours"] for row in results["rows"]}
    low, high = rows["unspecific, low error"], rows["unspecific, high compression"]
    return (
        "Sensitivity-driven regularization (unspecific) leaves one weight in "
        f"{low['compression_mean']:.0f} of LeNet-300-100 at {low['error_mean']:.2f} % test error, "
        f"and one in {high['compression_mean']:.0f} at {high['error_mean']:.2f} %; "
        f"without pruning it is {rows['dense']['error_mean']:.2f} %."
    )


EXPERIMENT = Experiment(
    id="sensitivity-table1",
    title="Sensitivity-driven regularization, LeNet-300-100 on MNIST",
    paper="Tartaglione et al. 2018",
    where="Table 1",
    home=__file__,
    minutes=8,
    rows=ROWS,
    sentence=_sentence,
    seeds=3,
    quick_minutes=0.6,
)
