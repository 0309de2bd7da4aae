"""What `minisparse reproduce` shows: a dense network, the oldest method and the first paper."""

from minisparse.experiments.entries.sensitivity_table1 import ROWS as TABLE1
from minisparse.experiments.experiment import Experiment, Results, Row
from minisparse.experiments.recipes.magnitude import MagnitudeCurve

_CURVE = MagnitudeCurve()

ROWS = {
    "dense": TABLE1["dense"],
    **{
        f"magnitude, {c:g}x": Row(_CURVE, series="magnitude (iterative)", point=f"{c:g}x")
        for c in _CURVE.compressions
    },
    **{name: row for name, row in TABLE1.items() if name != "dense"},
}


def _sentence(results: Results) -> str:
    rows = {row["name"]: row["ours"] for row in results["rows"]}
    dense, low = rows["dense"], rows["unspecific, low error"]
    high, curve = rows["unspecific, high compression"], rows["magnitude, 100x"]
    n = results["settings"]["rows"]["magnitude, 100x"]["retrain_epochs"]
    epochs = "1 epoch" if n == 1 else f"{n} epochs"
    return (
        f"LeNet-300-100 can lose all but one weight in {low['compression_mean']:.0f} by "
        f"sensitivity-driven regularization and still err on {low['error_mean']:.2f} % of the test "
        f"images (dense: {dense['error_mean']:.2f} %); at {high['compression_mean']:.0f}x the error "
        f"is {high['error_mean']:.2f} %. Magnitude pruning, with {epochs} of training "
        f"between its steps, has {curve['error_mean']:.2f} % at "
        f"{curve['compression_mean']:.0f}x."
    )


EXPERIMENT = Experiment(
    id="headline",
    title="LeNet-300-100 on MNIST: dense, magnitude, sensitivity",
    paper="Tartaglione et al. 2018; Han et al. 2015",
    where="Table 1; the method",
    home=__file__,
    minutes=9,
    rows=ROWS,
    sentence=_sentence,
    seeds=1,
    quick_minutes=1,
)
