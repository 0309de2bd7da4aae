"""Iterative magnitude pruning of LeNet-300-100: the baseline, over all compressions."""

from dataclasses import replace

from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.magnitude import MagnitudeCurve
from minisparse.experiments.results import Results

# Chosen on 10,000 held-out training images, one seed: 10 epochs after each step, or a weight decay of
# 1e-4, are worse.  (Of the curve's defaults, without weight decay, the test error was known: 2.1 % at
# 12x.)
_GLOBAL = MagnitudeCurve(
    compressions=(2, 5, 12, 20, 50, 100),
    dense_epochs=30,
    retrain_epochs=20,
    lr=0.3,
    weight_decay=3e-4,
)
_LAYER = replace(_GLOBAL, scope="layer")

ROWS = {"dense": Row(_GLOBAL, series="dense")} | {
    f"{where}, {c:g}x": Row(recipe, series=where, point=f"{c:g}x")
    for where, recipe in (("all layers together", _GLOBAL), ("each layer by itself", _LAYER))
    for c in _GLOBAL.compressions
}


def _sentence(results: Results) -> str:
    rows = {row["name"]: row["ours"]["error_mean"] for row in results["rows"]}
    return (
        f"Iterative magnitude pruning of LeNet-300-100 has {rows['all layers together, 12x']:.2f} "
        f"% test error at 12x (dense: {rows['dense']:.2f} %) and "
        f"{rows['all layers together, 100x']:.2f} % at 100x, "
        f"{rows['each layer by itself, 100x']:.2f} % if each layer has to keep the same share."
    )


EXPERIMENT = Experiment(
    id="magnitude-lenet300",
    title="Iterative magnitude pruning, LeNet-300-100 on MNIST",
    paper="Han et al. 2015",
    where="Table 1, LeNet-300-100",
    home=__file__,
    minutes=2,
    rows=ROWS,
    sentence=_sentence,
    seeds=3,
    quick_minutes=0.2,
)
