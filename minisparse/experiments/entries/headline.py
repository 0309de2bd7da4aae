"""What `minisparse reproduce` shows: one network, the oldest method and a row of each paper."""

from dataclasses import replace

from minisparse.experiments.entries.l0_table1 import GATES as L0
from minisparse.experiments.entries.sensitivity_table1 import ROWS as SENSITIVITY
from minisparse.experiments.entries.stochastic_nodes import ROWS as STOCHASTIC
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.large_weights import LargeWeights
from minisparse.experiments.recipes.magnitude import MagnitudeCurve
from minisparse.experiments.results import Results

_CURVE = MagnitudeCurve()
# 89.3 % of fc1's weights are 85 % of all parameters of the small CNN.
_SMALL_CNN = LargeWeights(dataset="mnist")
_LARGE = replace(_SMALL_CNN, target="largest", fraction=0.893)

ROWS = {
    "dense": SENSITIVITY["dense"],
    **{
        f"magnitude, {c:g}x": Row(_CURVE, series="magnitude (iterative)", point=f"{c:g}x")
        for c in _CURVE.compressions
    },
    "sensitivity, low error": SENSITIVITY["unspecific, low error"],
    "sensitivity, high compression": SENSITIVITY["unspecific, high compression"],
    "L0, hard concrete gates": Row(L0["MLP, sep."].recipe, series="L0"),
    "stochastic, beside L2": Row(STOCHASTIC["L2, 10 sigma"].recipe, series="stochastic"),
    "small CNN, 10,000 images, dense": Row(_SMALL_CNN, series="small CNN, dense"),
    "small CNN, largest weights pruned": Row(_LARGE, series="small CNN, largest weights"),
}


def _sentence(results: Results) -> str:
    rows = {row["name"]: row["ours"] for row in results["rows"]}

    def of(name: str) -> str:
        return f"{rows[name]['error_mean']:.2f} % at {rows[name]['compression_mean']:.0f}x"

    wrong = rows["small CNN, largest weights pruned"]["train_error_mean"]
    fit = "" if wrong is None else f" ({wrong:.1f} % of its training images)"
    n = results["settings"]["rows"]["magnitude, 100x"]["retrain_epochs"]
    epochs = "1 epoch" if n == 1 else f"{n} epochs"
    return (
        "Test error of LeNet-300-100 and weights per weight that is left: dense "
        f"{rows['dense']['error_mean']:.2f} %; sensitivity {of('sensitivity, low error')} and "
        f"{of('sensitivity, high compression')}; L0 gates {of('L0, hard concrete gates')}; "
        f"stochastic pruning {of('stochastic, beside L2')}. Magnitude pruning with {epochs} of "
        f"training between its steps has {of('magnitude, 100x')}. A small CNN trained on "
        f"10,000 images errs on {rows['small CNN, 10,000 images, dense']['error_mean']:.2f} %, and "
        f"when its largest weights are pruned: {of('small CNN, largest weights pruned')}{fit}."
    )


EXPERIMENT = Experiment(
    id="headline",
    title="MNIST: a dense network, magnitude pruning, and a row of each of the four papers",
    paper="the four papers and Han et al. 2015",
    where="a row of each",
    home=__file__,
    minutes=9,
    rows=ROWS,
    sentence=_sentence,
    seeds=1,
    quick_minutes=1,
)
