"""The fair test of large weights again, with a smaller network and fewer images of Fashion-MNIST."""

from dataclasses import replace

from minisparse.experiments.choosing import chosen
from minisparse.experiments.entries import large_weights_fair as fair
from minisparse.experiments.experiment import Experiment
from minisparse.experiments.recipes.large_weights_fair import LargeWeightsFair

ID = "large-weights-fair-fashion"
# A trial with 160 hidden units, of whose 117,770 parameters 15 % are left, and 32 epochs ended with
# a training error of 3 %: the list begins with more of both.
_FIRST = LargeWeightsFair(
    dataset="fashion-mnist",
    inputs=(0.286, 0.353),
    images=10_000,
    widths=(16, 32, 64, 512),  # 325,098 parameters
    epochs=44,
    every=2,
    decay_epochs=12,
)
_WIDE = replace(_FIRST, widths=(16, 32, 64, 1024))  # 626,666 parameters
CANDIDATES = (_FIRST, _WIDE, replace(_WIDE, epochs=60, decay_epochs=20))

EXPERIMENT = Experiment(
    id=ID,
    title="Pruning large weights where all networks fit, 10,000 images of Fashion-MNIST",
    paper="Bartoldson et al. 2018",
    where="the claims of the abstract",
    home=__file__,
    minutes=5,
    rows=fair.arms(CANDIDATES, chosen(__file__, ID)),
    sentence=fair.sentence,
    figure=fair.figure,
    seeds=8,
    quick_minutes=0.2,
    details=fair.details,
    columns=fair.COLUMNS,
    training_error=fair.TRAINING_ERROR,
    claims=fair.claims(ID),
    choose={"settings": lambda: fair.choose(CANDIDATES)},
)
