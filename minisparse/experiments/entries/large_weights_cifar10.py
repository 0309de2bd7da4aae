"""Bartoldson et al. 2018 on the data set of the paper, with a small CNN and fewer images."""

from dataclasses import replace

from minisparse.experiments.entries import large_weights_fashion as fashion
from minisparse.experiments.experiment import Experiment, Row

_PLAIN = fashion.arms("cifar-10")
# The networks of the second paper normalize behind each convolution.  Without that, the filters
# that are left when the largest have gone send too little for the next layer to go on with.
_FILTERS = ("none", "small filters", "random filters", "large filters")
_NORMALIZED = {
    f"{name}, norm": Row(
        replace(_PLAIN[name].recipe, model="small-cnn-norm"), series=f"{name}, norm"
    )
    for name in _FILTERS
}

EXPERIMENT = Experiment(
    id="large-weights-cifar10",
    title="Pruning large weights of a small CNN, 10,000 images of CIFAR-10",
    paper="Bartoldson et al. 2018",
    where="the claims of the abstract",
    home=__file__,
    minutes=10,
    rows=_PLAIN | _NORMALIZED,
    sentence=fashion.sentence,
    figure=fashion.figure,
    seeds=5,
    quick_minutes=1,
    details=fashion.details,
    columns=fashion.COLUMNS,
)
