"""The controls of Tables 2 and 3 of chapter 7: S = 0, magnitude, random masks; LeNet-5.

Registered on 2026-11-28, before the runs.  Budget, learning rate and thresholds are those of the rows
of the method; what magnitude and chance keep is what those rows keep, the mean of three seeds.  What
we expect: S = 0 and magnitude have the error of the method.

Registered on 2026-11-29, before the runs: the claims that the method has a lower error than each of
the two.  All of these runs are also rows of sensitivity-table2 and sensitivity-table3.
"""

from dataclasses import replace

from minisparse.experiments.claims import Claim, compress_alike
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.gradual import Gradual
from minisparse.experiments.recipes.sensitivity import Sensitivity
from minisparse.experiments.results import Results, in_words

ID = "controls-lenet5"
# Chosen on 10,000 held-out training images.  The mean over 20 images of each batch stands for that
# over all 100 in the unspecific form, which takes ten backward passes: its error is no larger.
METHOD = Sensitivity(model="lenet5", lr=0.02, momentum=0.9, dense_epochs=8, regrow=True)
# Weights that the unspecific rows of sensitivity-table2 and -table3 keep, by layer, and their T.
# For Fashion-MNIST it lies a little above what two runs on held-out images gave: 0.03 left 6.6x, 0.05
# left 12.2x.
KEPT = {
    "mnist": ((243, 2186, 4792, 845), 0.06),
    "fashion-mnist": ((417, 7739, 20303, 1839), 0.055),
}
# With momentum 0.9 a step is one of 0.2 in the long run: the decay of 5e-4 takes 1e-4 w away in each,
# which is lambda w of the rows of the method.
GRADUAL = Gradual(
    model="lenet5",
    lr=METHOD.lr,
    momentum=METHOD.momentum,
    weight_decay=5e-4,
    dense_epochs=METHOD.dense_epochs,
    sparsify_epochs=METHOD.sparsify_epochs,
    finetune_epochs=METHOD.finetune_epochs,
)
ROWS = {}
for _data, (_kept, _threshold) in KEPT.items():
    _ratio = round(430_500 / sum(_kept), 2)
    _method = replace(METHOD, dataset=_data, threshold=_threshold)
    ROWS[f"{_data}, sensitivity"] = Row(replace(_method, examples=20), series="sensitivity")
    ROWS[f"{_data}, S = 0"] = Row(replace(_method, variant="none"), series="S = 0")
    ROWS[f"{_data}, magnitude"] = Row(
        replace(GRADUAL, dataset=_data, compression=_ratio), series="magnitude"
    )
    ROWS[f"{_data}, random, the method's shares"] = Row(
        replace(GRADUAL, dataset=_data, keep=_kept, choose="random"), series="random"
    )


def controls(data: str, of: str) -> dict[str, Row]:
    """Return the controls on a dataset, as rows of the table that has the method in its row `of`."""
    return {
        name.removeprefix(f"{data}, "): replace(row, control_of=of)
        for name, row in ROWS.items()
        if name.startswith(f"{data}, ") and row.series != "sensitivity"
    }


CLAIMS = [
    Claim(
        id=f"{ID}-{data}",
        statement=f"magnitude has a lower error on {data} than a random mask with the layer shares "
        "of the method",
        one=f"{data}, magnitude",
        other=f"{data}, random, the method's shares",
        direction="below",
        registered="2026-11-28",
        control="which weights of a layer are kept",
        **compress_alike(0.02),
    )
    for data in KEPT
] + [
    Claim(
        id=f"{ID}-{data}-{control}",
        statement=f"sensitivity has a lower error on {data} than {other} has",
        one=f"{data}, sensitivity",
        other=f"{data}, {other}",
        direction="below",
        registered="2026-11-29",
        control=control,
        **compress_alike(0.06),
    )
    for data in KEPT
    for control, other in (("sensitivity", "S = 0"), ("schedule", "magnitude"))
]


def _sentence(results: Results) -> str:
    return f"Test error of LeNet-5 with the sensitivity and without: {in_words(results['rows'], digits=0)}."


EXPERIMENT = Experiment(
    id=ID,
    title="S = 0, magnitude and random masks in the place of sensitivity, LeNet-5",
    paper="Tartaglione et al. 2018",
    where="Tables 2 and 3, our own controls",
    home=__file__,
    minutes=48,
    rows=ROWS,
    sentence=_sentence,
    seeds=3,
    quick_minutes=1.8,
    claims=CLAIMS,
)
