"""Bartoldson et al. 2018 on the data set of the paper, with a small CNN and fewer images."""

from minisparse.experiments.entries import large_weights_fashion as fashion
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.large_weights import LargeWeights

_NORM = LargeWeights(dataset="cifar-10", model="small-cnn-norm")
# The networks of the second paper normalize behind each convolution.  Without that, the filters
# that are left when the largest have gone send too little for the next layer to go on with.
_NORMALIZED = {
    "none, norm": Row(_NORM, series="none, norm"),
    **fashion.filters(_NORM, "filters, norm"),
}

ROWS = fashion.arms("cifar-10") | _NORMALIZED
EXPERIMENT = Experiment(
    id="large-weights-cifar10",
    title="Pruning large weights of a small CNN, 10,000 images of CIFAR-10",
    paper="Bartoldson et al. 2018",
    where="the claims of the abstract",
    home=__file__,
    minutes=10,
    rows=ROWS,
    sentence=fashion.sentence,
    figure=fashion.figure,
    seeds=5,
    quick_minutes=1,
    details=fashion.details,
    columns=fashion.COLUMNS,
    claims=fashion.claims("large-weights-cifar10", [*ROWS]),
)
