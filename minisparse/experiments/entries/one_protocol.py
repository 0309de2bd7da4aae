"""One protocol for all methods: error over compression from 2x to the collapse, LeNet-300-100.

Registered on 2026-11-28, before the runs.  Every method has ten dense epochs, sixty in which it
prunes and twenty to recover, SGD with eta 0.2, batches of 100, and (where the penalty is not the
method) the decay of 5e-4 that lambda = 1e-4 per step is at this eta.  Nothing is chosen: a method's
setting runs along its curve.  What we expect: decay with a rising threshold (S = 0) and magnitude
on a cubic schedule are one curve, the best; random masks with magnitude's layer shares explain most
of what magnitude gains over uniform ones at 50x and 100x.

Added on 2026-11-29, before any run: hard concrete gates for as many epochs, one seed.  They differ in
more than the method: Adam and averaged weights, as their paper has them, and gates from the first
epoch on that take whole inputs of a layer.

Cut on 2026-11-29, before any run: a third of the points of each curve, and all but one seed.

Added on 2026-11-30, before their runs: one more point at the end of each curve, since but for random masks
none had collapsed.  What we expect: all err on more than a tenth there, gates and L1 at far lower ratios.
"""

from dataclasses import replace
from functools import partial

from minisparse.experiments.choosing import HELD_OUT, Choosing, chosen
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import is_weight
from minisparse.experiments.recipes.gradual import Gradual
from minisparse.experiments.recipes.l0 import L0
from minisparse.experiments.recipes.sensitivity import Sensitivity
from minisparse.experiments.recipes.stochastic import Stochastic
from minisparse.experiments.results import Results

ID = "one-protocol"
COMPRESSIONS = (2, 10, 50, 100, 200, 500, 2000)
MAGNITUDE = Gradual(lr=0.2, weight_decay=5e-4)
DECAY = Sensitivity(lr=0.2, variant="none", regrow=True)
THRESHOLDS = (0.005, 0.03, 0.08, 0.14, 0.22, 0.4, 0.6)
L1 = Stochastic(
    lr=0.2, penalty="L1", sigma=(0.0,), prune_epochs=70, finetune_epochs=20, finetune_decay=5e-4
)
STRENGTHS = (1e-5, 1e-4, 3e-4, 8e-4, 1.6e-3, 6.4e-3)
ZEROING = Stochastic(
    lr=0.2,
    penalty="L2",
    strength=(5e-4,),
    finetune_decay=5e-4,
    rise_epochs=60,
    prune_epochs=70,
    finetune_epochs=20,
)
GATES = L0(epochs=90, decay_epochs=20)
LAMBDAS = (0.1, 0.5, 2.0, 8.0)
SIGMAS = (0.001, 0.01, 0.03, 0.05, 0.08, 0.15)
_CHOSEN = chosen(__file__, ID)


def _shares(compression: float) -> Choosing:
    """Find out what magnitude leaves of each layer, one seed: the shares of a random control."""
    (outcome,) = yield [(replace(MAGNITUDE, compression=compression, hold_out=HELD_OUT), 0)]
    return [kept for name, kept in outcome.kept.items() if is_weight(name)]


def _rows() -> dict[str, Row]:
    rows = {}
    for c in COMPRESSIONS:
        at = f"{c:g}x"
        rows[f"magnitude, {at}"] = Row(replace(MAGNITUDE, compression=c), series="magnitude")
        rows[f"random, {at}"] = Row(
            replace(MAGNITUDE, compression=c, choose="random"), series="random"
        )
        if f"{c:g}" in _CHOSEN:
            rows[f"random, magnitude's shares, {at}"] = Row(
                replace(MAGNITUDE, keep=tuple(_CHOSEN[f"{c:g}"]), choose="random"),
                series="random, magnitude's shares",
            )
    for t in THRESHOLDS:
        decay = replace(DECAY, threshold=t)
        rows[f"S = 0, T {t:g}"] = Row(decay, series="S = 0")
        rows[f"sensitivity, T {t:g}"] = Row(
            replace(decay, variant="unspecific"), series="sensitivity"
        )
    for s in STRENGTHS:
        rows[f"L1 {s:g}"] = Row(replace(L1, strength=(s,)), series="L1")
    for s in SIGMAS:
        rows[f"zeroing, sigma {s:g}"] = Row(
            replace(ZEROING, sigma=(s,)), series="zeroing beside L2"
        )
    for s in LAMBDAS:
        rows[f"gates, lambda {s:g}"] = Row(replace(GATES, strengths=(s,)), series="gates")
    return rows


ROWS = _rows()


def _sentence(results: Results) -> str:
    best: dict[str, tuple[float, float]] = {}
    for row in results["rows"]:
        error, ratio = row["ours"]["error_mean"], row["ours"]["compression_mean"]
        if error <= 2 and ratio > best.get(row["series"], (0.0, 0.0))[0]:
            best[row["series"]] = (ratio, error)
    parts = [f"{series} {ratio:.0f}x ({error:.2f} %)" for series, (ratio, error) in best.items()]
    return f"The most that is left at an error of at most 2 %: {', '.join(parts) or 'none'}."


EXPERIMENT = Experiment(
    id=ID,
    title="Every method under one protocol, LeNet-300-100 on MNIST",
    paper="our own measurement",
    where="no published table",
    home=__file__,
    minutes=1.0 * len(ROWS),
    rows=ROWS,
    sentence=_sentence,
    seeds=1,
    quick_minutes=0.07 * len(ROWS),
    choose={f"{c:g}": partial(_shares, c) for c in COMPRESSIONS},
)
