"""Bartoldson et al. 2018 on the data set of the paper, with a small CNN and fewer images."""

from minisparse.experiments.entries import large_weights_fashion as fashion
from minisparse.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    id="large-weights-cifar10",
    title="Pruning large weights of a small CNN, 10,000 images of CIFAR-10",
    paper="Bartoldson et al. 2018",
    where="the claims of the abstract",
    home=__file__,
    minutes=6,
    rows=fashion.arms("cifar-10"),
    sentence=fashion.sentence,
    figure=fashion.figure,
    seeds=5,
    quick_minutes=0.6,
    details=fashion.details,
    columns=fashion.COLUMNS,
)
