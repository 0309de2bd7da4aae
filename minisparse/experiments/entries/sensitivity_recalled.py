"""The regime of Tartaglione et al. 2018 as it is recalled, with S and without, as long as it takes.

Registered on 2026-11-28, before the runs.  Plain SGD with eta 0.1, lambda 1e-5 per step, T 1e-3 from
the beginning, no other regularizer, after ten dense epochs; 652 epochs are what a weight of 0.05
takes to sink below T, 1,500 the end.  Nothing is chosen.  What we expect: both arms prune, S = 0 a
little more, and their errors differ by less than 0.1 points.

Cut on 2026-11-29, before any of their runs: two arms whose removed weights may come back.
"""

from dataclasses import replace

from minisparse.experiments.claims import Claim
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.sensitivity import Sensitivity
from minisparse.experiments.results import Results, in_words

ID = "sensitivity-recalled"
EPOCHS = (100, 200, 400, 652, 1000, 1500)  # of the regularizer
_DENSE = 10
BASE = Sensitivity(
    strength=1e-5,
    threshold=1e-3,
    fixed=True,
    dense_epochs=_DENSE,
    sparsify_epochs=EPOCHS[-1],
    finetune_epochs=0,
    milestones=tuple(_DENSE + e for e in EPOCHS),
)
ARMS = {
    "unspecific": BASE,
    "S = 0": replace(BASE, variant="none"),
}

ROWS = {
    f"{name}, {epochs} epochs": Row(arm, series=name, point=f"milestone {i}")
    for name, arm in ARMS.items()
    for i, epochs in enumerate(EPOCHS, 1)
}

CLAIMS = [
    Claim(
        id=f"{ID}-{epochs}",
        statement=f"in the recalled regime the error after {epochs:,} epochs is lower with the "
        "sensitivity than without",
        one=f"unspecific, {epochs} epochs",
        other=f"S = 0, {epochs} epochs",
        direction="below",
        registered="2026-11-28",
        control="sensitivity",
        check=lambda one, other, _: (
            None
            if min(one["ours"]["compression_mean"], other["ours"]["compression_mean"]) > 2
            else "one of the arms has kept more than half of the weights"
        ),
        check_text="both arms have removed more than half of the weights",
    )
    for epochs in (652, 1500)
]


def _sentence(results: Results) -> str:
    rows = [r for r in results["rows"] if r["name"].endswith(("652 epochs", "1500 epochs"))]
    return f"Test error in the recalled regime: {in_words(rows, digits=1)}."


EXPERIMENT = Experiment(
    id=ID,
    title="The recalled regime of sensitivity-driven regularization, LeNet-300-100 on MNIST",
    paper="Tartaglione et al. 2018",
    where="Table 1, the procedure",
    home=__file__,
    minutes=20 * len(ARMS),
    rows=ROWS,
    sentence=_sentence,
    seeds=3,
    quick_minutes=0.15 * len(ARMS),
    claims=CLAIMS,
)
