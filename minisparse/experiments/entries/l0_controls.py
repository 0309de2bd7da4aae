"""What the gates have to do with the networks that L0 regularization finds, LeNet-300-100 on MNIST.

Registered on 2026-11-28, before the runs.  The published protocol at 100, 200 and 300 epochs; gates
with lambda = 0, which leave only their noise; the architecture that is found, trained from new
weights; the same widths by the norms of the units' weights, by a group lasso, and at random, after as
many epochs.  What we expect: magnitude and scratch reach the error of the gates, and the widths
depend on when one stops.

Cut on 2026-11-29, when one seed of the rest had been seen: three seeds, not five, of 0.1/N; one of
lambda = 0 and of other lambdas (a guess of ours), which no claim needs.  Mended then: the same widths by
magnitude are those after 200 epochs, and were compared with the network after 300.

Added on 2026-11-29, when one seed had been seen, of 0.1/N two: the same widths are not always as many
weights, so their claims are admitted only where the arms compress alike.
"""

from dataclasses import replace
from functools import partial

from minisparse.experiments.choosing import HELD_OUT, Choosing, chosen
from minisparse.experiments.claims import Claim, compress_alike
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.gradual import Gradual
from minisparse.experiments.recipes.l0 import L0
from minisparse.experiments.recipes.scratch import SCRATCH
from minisparse.experiments.results import Results, in_words

ID = "l0-controls"
SCRATCH_TRAINING = Dense(lr=0.3, weight_decay=3e-4, epochs=90, decay_epochs=30)
ONE = L0(epochs=300, milestones=(100, 200), scratch=SCRATCH_TRAINING)
OURS = L0(strengths=(0.17, 0.42, 6), decay_epochs=50, scratch=SCRATCH_TRAINING)
# What gates of 0.1/N and of our lambdas left after 200 epochs, means of five seeds (l0-table1).
WIDTHS = {"0.1/N": (223, 209, 100), "sep.": (199, 108, 31)}
UNITS = Gradual(
    lr=0.3,
    weight_decay=3e-4,
    granularity="input",
    dense_epochs=20,
    sparsify_epochs=120,
    finetune_epochs=60,
)
LASSO = (1e-5, 3e-5, 1e-4, 3e-4)
_CHOSEN = chosen(__file__, ID)


def _lasso(widths: str, strength: float) -> Gradual:
    return replace(UNITS, keep=WIDTHS[widths], group_lasso=(strength,))


def _choose(widths: str) -> Choosing:
    """Choose the group lasso's lambda, one seed."""
    trials = [(replace(_lasso(widths, s), hold_out=HELD_OUT), 0) for s in LASSO]
    errors = [outcome.error for outcome in (yield trials)]
    return {"strength": LASSO[errors.index(min(errors))], "errors": errors}


def _rows() -> dict[str, Row]:
    rows = {
        "0.1/N, 100 epochs": Row(ONE, series="L0, 0.1/N", point="milestone 1"),
        "0.1/N, 200 epochs": Row(ONE, series="L0, 0.1/N", point="milestone 2"),
        "0.1/N, 300 epochs": Row(ONE, series="L0, 0.1/N"),
        "0.1/N, from scratch": Row(ONE, series="from scratch", point=SCRATCH),
        "lambda = 0": Row(
            L0(strengths=(0.0,), epochs=300, milestones=(100, 200)), series="lambda = 0", seeds=1
        ),
        "sep., ours": Row(OURS, series="L0, sep."),
        "sep., from scratch": Row(OURS, series="from scratch", point=SCRATCH),
        "sep., 0.1, 0.5 and 10": Row(L0(strengths=(0.1, 0.5, 10)), series="L0, sep.", seeds=1),
    }
    for widths, keep in WIDTHS.items():
        rows[f"{widths}, widths by magnitude"] = Row(
            replace(UNITS, keep=keep), series="magnitude of units"
        )
        rows[f"{widths}, widths at random"] = Row(
            replace(UNITS, keep=keep, choose="random"), series="random units"
        )
        if widths in _CHOSEN:
            rows[f"{widths}, widths by group lasso"] = Row(
                _lasso(widths, _CHOSEN[widths]["strength"]), series="group lasso"
            )
    return rows


ROWS = _rows()
CLAIMS = [
    Claim(
        id=f"{ID}-{name}-{control}",
        statement=f"the gates of {name} have a lower error than the same widths {how}",
        one=one,
        other=f"{name}, {other}",
        direction="below",
        registered="2026-11-28",
        control=control,
        **compress_alike(0.1),
    )
    for name, end, those_of_widths in (
        ("0.1/N", "0.1/N, 300 epochs", "0.1/N, 200 epochs"),
        ("sep.", "sep., ours", "sep., ours"),
    )
    for control, one, other, how in (
        ("inherited weights", end, "from scratch", "trained from new weights"),
        ("gates", those_of_widths, "widths by magnitude", "by magnitude"),
    )
]


def _sentence(results: Results) -> str:
    return f"Test error: {in_words(results['rows'], digits=1)}."


EXPERIMENT = Experiment(
    id=ID,
    title="L0 regularization and its controls, LeNet-300-100 on MNIST",
    paper="Louizos et al. 2018",
    where="our own controls",
    home=__file__,
    minutes=42,
    rows=ROWS,
    sentence=_sentence,
    seeds=3,
    quick_minutes=1,
    claims=CLAIMS,
    choose={widths: partial(_choose, widths) for widths in WIDTHS},
)
