"""What pruning costs: each method's step beside a dense step, and what acts once in seconds.

A step is the whole of it: the batch there and back, what the method does, the optimizer.  It is taken
by the training loop's own function.  Methods that act at events (magnitude and its relatives) train
under a mask between them: they are all "a mask".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisparse.data import Split

from . import workload

_IMAGES = 2000  # of the made-up data
BATCH = 100

Make = Callable[[], list[Any]]
Prepare = Callable[[Any, Any], Any]


def sgd(parameters: Any) -> Any:
    """Return the optimizer that all have, where nothing else is said."""
    from minisparse.optim import SGD

    return SGD(parameters, workload.LEARNING_RATE, workload.MOMENTUM)


@dataclass(frozen=True)
class Cost:
    """How a method is built.

    Attributes
    ----------
    make : function that returns the methods of a training
    prepare : function of (model, rng), called before the optimizer is made
    once : bool
        It acts before the first step: that is timed, in place of a step.
    optimizer : function of a model
    nets : tuple of str
        What it is measured on.
    """

    make: Make = list
    prepare: Prepare = lambda model, rng: None  # noqa: ARG005
    once: bool = False
    optimizer: Callable[[Any], Any] = sgd
    nets: tuple[str, ...] = ("lenet300",)


_BOTH = ("lenet300", "lenet5")


def layers_of(model: Any) -> list[str]:
    """Return the names of the layers with weights."""
    return [name.removesuffix(".weight") for name, p in model.named_parameters() if p.ndim > 1]


def split() -> Split:
    """Return noise in the shape of MNIST: nobody's times depend on the images."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (_IMAGES, 28, 28, 1), np.uint8)
    images[rng.random(images.shape) < 0.8] = 0  # MNIST has as many
    return Split(images, np.arange(_IMAGES) % 10)


def costs() -> dict[str, Cost]:
    """Return every method that is measured, by name: the table."""
    # Imported here: a plan of benchmarks is made without them.
    from minisparse.prune import bayesian_compression as bc
    from minisparse.prune import (
        bernoulli_gates,
        chita,
        continuous_sparsification,
        cram,
        deep_r,
        edge_popup,
        force,
        grasp,
        gsm,
        l0,
        l0_arm,
        layerwise_obs,
        lobster,
        magnitude,
        movement,
        network_quantization,
        network_surgery,
        obd,
        penalties,
        powerpropagation,
        rigl,
        saturating,
        schedule,
        sensitivity,
        serene,
        snip,
        soft_threshold,
        soft_weight_sharing,
        sparse_evolutionary,
        sparse_momentum,
        sparse_variational_dropout,
        sparsegpt,
        splitting,
        stochastic,
        straight_through,
        structured_bayesian,
        structured_variational_dropout,
        synflow,
        targeted_dropout,
        unit_thresholds,
        vibnet,
        wanda,
        woodfisher,
    )

    n = _IMAGES

    def on_layers(add: Callable[..., Any], *more: Any, **named: Any) -> Prepare:
        """Put something into all layers; `add` takes (model, layers, *more)."""
        return lambda model, rng: add(model, layers_of(model), *more, **named)  # noqa: ARG005

    def drawn(add: Callable[..., Any], *more: Any) -> Prepare:
        return lambda model, rng: add(model, layers_of(model), *more, rng)

    def gates(model: Any, rng: Any) -> None:
        l0.add_gates(model, dict.fromkeys(layers_of(model), 0.5), rng)

    def one(method: Callable[..., Any], *settings: Any, **named: Any) -> Make:
        return lambda: [method(*settings, **named)]

    def popup(model: Any, rng: Any) -> None:
        edge_popup.add_scores(model, dict.fromkeys(layers_of(model), 0.5), rng)

    many: dict[str, Any] = {"images": 1000}
    shrunk = sensitivity.SensitivityPruning
    return {
        "a mask (magnitude, 90 %)": Cost(
            one(magnitude.MagnitudePruning, schedule.one_shot(0.9)), nets=_BOTH
        ),
        "L1": Cost(one(penalties.L1, 1e-5), nets=_BOTH),
        "L2": Cost(one(penalties.L2, 1e-5)),
        "group lasso": Cost(one(penalties.GroupLasso, 1e-5, granularity="unit")),
        "transformed L1": Cost(one(saturating.TransformedL1, 1e-5)),
        "sensitivity, unspecific": Cost(one(shrunk, 1e-6, 0.0), nets=_BOTH),
        "sensitivity, specific": Cost(one(shrunk, 1e-6, 0.0, variant="specific"), nets=_BOTH),
        "sensitivity, unspecific, softmax": Cost(one(shrunk, 1e-6, 0.0, output="softmax")),
        "sensitivity, 20 examples": Cost(one(shrunk, 1e-6, 0.0, examples=20), nets=("lenet5",)),
        "SeReNe": Cost(one(serene.SerenePruning, 1e-6, 0.0), nets=_BOTH),
        "LOBSTER": Cost(one(lobster.LobsterPruning, 1e-6, 0.0), nets=_BOTH),
        "hard concrete gates": Cost(one(l0.L0Method, 0.1, n), gates, nets=_BOTH),
        "hard concrete gates, L2": Cost(one(l0.L0Method, 0.1, n, weight_decay=1e-4), gates),
        "L0-ARM": Cost(one(l0_arm.L0ARM, strength=0.1, n=n), drawn(l0_arm.add_binary_gates)),
        "stochastic zeroing": Cost(
            one(stochastic.StochasticPruning, 0.02, count_nodes=False), nets=_BOTH
        ),
        "sparse variational dropout": Cost(
            one(sparse_variational_dropout.SparseVariationalDropout, n),
            drawn(sparse_variational_dropout.add_variances),
        ),
        "structured variational dropout": Cost(
            one(structured_variational_dropout.StructuredVariationalDropout, n=n),
            drawn(structured_variational_dropout.add_unit_alphas),
        ),
        "BC-GNJ": Cost(one(bc.BayesianCompression, n=n), drawn(bc.add_normal_scales)),
        "BC-GHS": Cost(one(bc.BayesianCompression, n=n), drawn(bc.add_horseshoe_scales)),
        "structured Bayesian pruning": Cost(
            one(structured_bayesian.StructuredBayesianPruning, n=n),
            drawn(structured_bayesian.add_log_normal_noise),
        ),
        "VIBNet": Cost(one(vibnet.VIBNet, n=n), drawn(vibnet.add_bottlenecks)),
        "generalized dropout": Cost(
            one(bernoulli_gates.GeneralizedDropout, n=n), drawn(bernoulli_gates.add_unit_gates)
        ),
        "network quantization": Cost(
            one(network_quantization.NetworkQuantization, n=n),
            drawn(network_quantization.add_spikes),
        ),
        "soft weight sharing": Cost(
            one(soft_weight_sharing.SoftWeightSharing, 0.005, 100, n, components=8)
        ),
        "targeted dropout": Cost(
            one(targeted_dropout.TargetedDropout),
            drawn(targeted_dropout.add_targeted_dropout, 0.5, 0.5),
        ),
        "edge-popup": Cost(one(edge_popup.EdgePopup), popup),
        "movement": Cost(
            one(movement.Movement, schedule.gradual(0.6, 0, 100)),
            on_layers(movement.add_scores),
            optimizer=lambda model: sgd(movement.all_but_scores(model)),
        ),
        "straight-through": Cost(
            one(straight_through.StraightThroughPruning, schedule.one_shot(0.6)),
            on_layers(straight_through.add_masks),
        ),
        "DPF": Cost(
            one(straight_through.DPF, schedule.gradual(0.6, 0, 100), every=16),
            on_layers(straight_through.add_masks),
        ),
        "network surgery": Cost(
            one(network_surgery.NetworkSurgery, 0.3, gamma=0.1),
            on_layers(straight_through.add_masks),
        ),
        "powerpropagation": Cost(prepare=on_layers(powerpropagation.add_powers, 2.0)),
        "soft thresholds (STR)": Cost(
            one(soft_threshold.STR, 1e-5),
            on_layers(soft_threshold.add_soft_thresholds, initial=-8.0),
        ),
        "unit thresholds (DST)": Cost(
            one(unit_thresholds.DST, 1e-5), on_layers(unit_thresholds.add_unit_thresholds)
        ),
        "continuous sparsification": Cost(
            one(continuous_sparsification.ContinuousSparsification, end=100),
            on_layers(continuous_sparsification.add_soft_masks),
        ),
        "CrAM": Cost(one(cram.CrAM)),
        "GSM": Cost(one(gsm.GSM, 0.6, at=100)),
        "ADMM": Cost(one(splitting.ADMM, 0.6, 100, 1e-3)),
        "SET": Cost(one(sparse_evolutionary.SET, 0.9)),
        "RigL": Cost(one(rigl.RigL, 0.9, every=100)),
        "sparse momentum": Cost(one(sparse_momentum.SparseMomentum, 0.9)),
        "DEEP R": Cost(one(deep_r.DeepR, 0.9, alpha=1e-4, temperature=1e-8)),
        **{
            f"once: {name}": Cost(one(kind, schedule.one_shot(0.9), **named), once=True)
            for name, kind, named in (
                ("magnitude", magnitude.MagnitudePruning, {}),
                ("SNIP", snip.SNIP, {}),
                ("GraSP", grasp.GraSP, {}),
                ("SynFlow, 100 rounds", synflow.SynFlow, {"rounds": 100}),
                ("FORCE, 60 rounds", force.FORCE, {"rounds": 60}),
                ("OBD, 100 images", obd.OBDPruning, {"images": 100}),
                ("WoodFisher, 100 images", woodfisher.WoodFisherPruning, {"images": 100}),
                ("layer-wise OBS, 1,000 images", layerwise_obs.LayerwiseOBSPruning, many),
                ("SparseGPT, 1,000 images", sparsegpt.SparseGPTPruning, many),
                ("Wanda, 1,000 images", wanda.WandaPruning, many),
                ("CHITA, 100 images", chita.CHITAPruning, {"images": 100}),
            )
        },
    }


def names(net: str) -> list[str]:
    """Return the methods that are measured on a net."""
    return [name for name, cost in costs().items() if net in cost.nets]
