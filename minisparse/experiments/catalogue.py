"""The experiments by id; each module is imported when it is asked for."""

import difflib
from importlib import import_module

from minisparse.experiments.experiment import Experiment

# id -> module, in the order of `minisparse list`; a module holds EXPERIMENT.
MODULES = {
    "headline": "minisparse.experiments.entries.headline",
    "dense-lenet300": "minisparse.experiments.entries.dense_lenet300",
    "dense-lenet5": "minisparse.experiments.entries.dense_lenet5",
    "same-digits": "minisparse.experiments.entries.same_digits",
    "magnitude-lenet300": "minisparse.experiments.entries.magnitude_lenet300",
    "sensitivity-table1": "minisparse.experiments.entries.sensitivity_table1",
    "sensitivity-table2": "minisparse.experiments.entries.sensitivity_table2",
    "sensitivity-table3": "minisparse.experiments.entries.sensitivity_table3",
    "sensitivity-dose": "minisparse.experiments.entries.sensitivity_dose",
    "sensitivity-dose-again": "minisparse.experiments.entries.sensitivity_dose_again",
    "sensitivity-recalled": "minisparse.experiments.entries.sensitivity_recalled",
    "controls-lenet300": "minisparse.experiments.entries.controls_lenet300",
    "controls-lenet5": "minisparse.experiments.entries.controls_lenet5",
    "l0-table1": "minisparse.experiments.entries.l0_table1",
    "l0-flops": "minisparse.experiments.entries.l0_flops",
    "l0-reimplementations": "minisparse.experiments.entries.l0_reimplementations",
    "l0-controls": "minisparse.experiments.entries.l0_controls",
    "l0-controls-lenet5": "minisparse.experiments.entries.l0_controls_lenet5",
    "bayesian-lenet300": "minisparse.experiments.entries.bayesian_lenet300",
    "stochastic-nodes": "minisparse.experiments.entries.stochastic_nodes",
    "stochastic-decay": "minisparse.experiments.entries.stochastic_decay",
    "large-weights-fashion": "minisparse.experiments.entries.large_weights_fashion",
    "large-weights-cifar10": "minisparse.experiments.entries.large_weights_cifar10",
    "large-weights-fair": "minisparse.experiments.entries.large_weights_fair",
    "large-weights-fair-fashion": "minisparse.experiments.entries.large_weights_fair_fashion",
    "large-weights-units": "minisparse.experiments.entries.large_weights_units",
    "large-weights-why": "minisparse.experiments.entries.large_weights_why",
    "large-weights-rates": "minisparse.experiments.entries.large_weights_rates",
    "second-order": "minisparse.experiments.entries.second_order",
    "sparse-start": "minisparse.experiments.entries.sparse_start",
    "one-protocol": "minisparse.experiments.entries.one_protocol",
    "speed": "minisparse.experiments.entries.speed",
}
DEFAULT = "headline"


class UnknownExperimentError(ValueError):
    """No experiment has this id."""


def names() -> tuple[str, ...]:
    """Return all ids."""
    return tuple(MODULES)


def find(id: str) -> Experiment:
    """Return the experiment of this id.

    Raises
    ------
    UnknownExperimentError
        There is none; the message suggests the nearest.
    """
    if id not in MODULES:
        close = difflib.get_close_matches(id.lower(), MODULES, n=2, cutoff=0.4)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise UnknownExperimentError(
            f"no experiment is called {id!r}.{hint} `minisparse list` shows all of them."
        )
    experiment: Experiment = import_module(MODULES[id]).EXPERIMENT
    if experiment.id != id:
        raise ValueError(f"{MODULES[id]} holds {experiment.id!r}, listed as {id!r}")
    return experiment
