"""What the gates have to do with the LeNet-5 that L0 regularization finds: without L2, as published.

Registered on 2026-11-29, before the runs: the same inputs of each layer by the norms of their weights
and at random.  What we expect: magnitude reaches the error of the gates, and chance does not.

Added on 2026-11-29, when one seed of these had been seen, and before their own runs: the architecture
that is found, trained from new weights; gates with lambda = 0, which leave only their noise, one seed.
(The gates are run again for that.)  What we expect: new weights reach the error of the gates.  And as
the same widths need not be as many weights, their claims are admitted only where the arms compress
alike.
"""

from dataclasses import replace

from minisparse.experiments.claims import Claim, compress_alike
from minisparse.experiments.entries.controls_lenet5 import GRADUAL
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.l0 import L0
from minisparse.experiments.recipes.scratch import SCRATCH
from minisparse.experiments.results import Results, in_words

ID = "l0-controls-lenet5"
# As dense-lenet5, in the 88 epochs that the widths below have.
SCRATCH_TRAINING = Dense(
    model="lenet5", lr=0.02, momentum=0.9, weight_decay=5e-4, epochs=88, decay_epochs=20
)
GATES = L0(model="lenet5", scratch=SCRATCH_TRAINING)
# What gates left, means of three seeds (l0-table1): inputs of the image, of conv2, of fc1 and of fc2.
WIDTHS = replace(GRADUAL, granularity="input", keep=(1, 20, 48, 450))

ROWS = {
    "0.1/N": Row(GATES, series="L0, 0.1/N"),
    "from scratch": Row(GATES, series="from scratch", point=SCRATCH),
    "lambda = 0": Row(L0(model="lenet5", strengths=(0.0,)), series="lambda = 0", seeds=1),
    "widths by magnitude": Row(WIDTHS, series="magnitude of units"),
    "widths at random": Row(replace(WIDTHS, choose="random"), series="random units"),
}

CLAIMS = [
    Claim(
        id=f"{ID}-{control}",
        statement=f"the gates of LeNet-5 have a lower error than the same widths {how}",
        one="0.1/N",
        other=other,
        direction="below",
        registered="2026-11-29",
        control=control,
        **compress_alike(0.1),
    )
    for control, other, how in (
        ("inherited weights", "from scratch", "trained from new weights"),
        ("gates", "widths by magnitude", "by magnitude"),
        ("which units", "widths at random", "at random"),
    )
]


def _sentence(results: Results) -> str:
    return f"Test error of LeNet-5: {in_words(results['rows'], digits=1)}."


EXPERIMENT = Experiment(
    id=ID,
    title="L0 regularization and its controls, LeNet-5 on MNIST",
    paper="Louizos et al. 2018",
    where="our own controls",
    home=__file__,
    minutes=30,
    rows=ROWS,
    sentence=_sentence,
    seeds=3,
    quick_minutes=0.5,
    claims=CLAIMS,
)
