"""Tartaglione et al. 2018, Table 1: LeNet-300-100 on MNIST."""

from minisparse.experiments.experiment import Experiment, Results, Row
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.sensitivity import Sensitivity

UNSPECIFIC = "unspecific"
SPECIFIC = "specific"

ROWS = {
    "dense": Row(Dense(epochs=30), series="dense"),
    "unspecific, low error": Row(Sensitivity(threshold=0.07), series=UNSPECIFIC),
    "specific, low error": Row(Sensitivity(variant="specific", threshold=0.07), series=SPECIFIC),
    "unspecific, high compression": Row(Sensitivity(threshold=0.15), series=UNSPECIFIC),
    "specific, high compression": Row(
        Sensitivity(variant="specific", threshold=0.15), series=SPECIFIC
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
    minutes=10,
    rows=ROWS,
    sentence=_sentence,
    seeds=3,
    quick_minutes=0.6,
)
