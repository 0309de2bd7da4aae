"""Tartaglione et al. 2018, Table 3: LeNet-5 on Fashion-MNIST."""

from dataclasses import replace

from minisparse.experiments.entries import controls_lenet5
from minisparse.experiments.entries.sensitivity_table2 import UNSPECIFIC, sentence
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.dense import Dense

ROWS = {
    "dense": Row(
        Dense(
            model="lenet5",
            dataset="fashion-mnist",
            lr=0.02,
            momentum=0.9,
            weight_decay=1e-3,
            epochs=30,
            decay_epochs=20,
        ),
        series="dense",
    ),
    UNSPECIFIC: replace(controls_lenet5.ROWS["fashion-mnist, sensitivity"], series=UNSPECIFIC),
    **controls_lenet5.controls("fashion-mnist", UNSPECIFIC),
}

EXPERIMENT = Experiment(
    id="sensitivity-table3",
    title="Sensitivity-driven regularization, LeNet-5 on Fashion-MNIST",
    paper="Tartaglione et al. 2018",
    where="Table 3",
    home=__file__,
    minutes=45,
    rows=ROWS,
    sentence=sentence,
    seeds=3,
    quick_minutes=1.9,
)
