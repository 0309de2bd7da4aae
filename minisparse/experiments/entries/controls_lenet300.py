"""The controls of Table 1 of chapter 7: magnitude, and random masks with the method's layer shares.

Registered on 2026-11-28, before the runs.  The budget, the learning rate and the decay are those of
the rows of sensitivity-table1; what is kept is what those rows keep, the mean of five seeds.  What we
expect: magnitude has the error of the rows of the method, random masks have not.
"""

from dataclasses import replace

from minisparse.experiments.claims import Claim, compress_alike
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.gradual import Gradual
from minisparse.experiments.results import Results, in_words

ID = "controls-lenet300"
BASE = Gradual(lr=0.2, weight_decay=5e-4, sparsify_epochs=200, finetune_epochs=30)
# Weights that the rows of sensitivity-table1 keep in fc1, fc2 and fc3.
KEPT = {
    "unspecific, low error": (5706, 1766, 325),
    "specific, low error": (8535, 2126, 315),
    "unspecific, high compression": (1687, 572, 179),
    "specific, high compression": (2257, 676, 164),
}
ROWS = {}
for _row, _kept in KEPT.items():
    _compression = round(266_200 / sum(_kept), 2)
    ROWS[f"magnitude, as {_row}"] = Row(replace(BASE, compression=_compression), series="magnitude")
    ROWS[f"random, as {_row}"] = Row(
        replace(BASE, keep=_kept, choose="random"), series="random, the method's shares"
    )

CLAIMS = [
    Claim(
        id=f"{ID}-{row.replace(', ', '-').replace(' ', '-')}",
        statement=f"magnitude has a lower error than a random mask with the layer shares of {row}",
        one=f"magnitude, as {row}",
        other=f"random, as {row}",
        direction="below",
        registered="2026-11-28",
        control="which weights of a layer are kept",
        **compress_alike(0.02),
    )
    for row in KEPT
]


def _sentence(results: Results) -> str:
    return f"Test error with as many weights and epochs as sensitivity has: {in_words(results['rows'], digits=0)}."


EXPERIMENT = Experiment(
    id=ID,
    title="Magnitude and random masks in the place of sensitivity, LeNet-300-100 on MNIST",
    paper="Tartaglione et al. 2018",
    where="Table 1, our own controls",
    home=__file__,
    minutes=3 * len(ROWS),
    rows=ROWS,
    sentence=_sentence,
    seeds=3,
    quick_minutes=0.1 * len(ROWS),
    claims=CLAIMS,
)
