"""The table of methods that test_every_method.py puts through the contract: a line for each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minisparse import nn
from minisparse.data import Split
from minisparse.optim import SGD, Adam
from minisparse.prune.chita import CHITAPruning
from minisparse.prune.eigendamage import EigenDamagePruning, KroneckerOBDPruning, add_rotations
from minisparse.prune.fisher import FisherPruning
from minisparse.prune.l0 import L0Method, add_gates
from minisparse.prune.large_weights import LargeWeightPruning
from minisparse.prune.layerwise_obs import LayerwiseOBSPruning
from minisparse.prune.lobster import LobsterPruning
from minisparse.prune.lookahead import LookaheadPruning
from minisparse.prune.magnitude import HanPruning, MagnitudePruning
from minisparse.prune.obc import OBCPruning
from minisparse.prune.obd import OBDPruning
from minisparse.prune.obs import OBSPruning
from minisparse.prune.penalties import L1, L2, GroupLasso
from minisparse.prune.rigl import RigL
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.sensitivity import SensitivityPruning
from minisparse.prune.serene import SerenePruning
from minisparse.prune.snip import SNIP
from minisparse.prune.sparse_variational_dropout import SparseVariationalDropout, add_variances
from minisparse.prune.sparsegpt import SparseGPTPruning
from minisparse.prune.stochastic import StochasticPruning
from minisparse.prune.wanda import WandaPruning
from minisparse.prune.woodfisher import WoodFisherPruning, WoodTaylorPruning

EPOCHS, BATCH = 3, 10


def data(seed=7, n=60):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 100, (n, 6, 6, 1), np.uint8)
    labels = rng.integers(0, 3, n)
    images[np.arange(n), labels] += 120  # something to learn: a bright row
    return Split(images, labels)


def mlp(rng, width=12):
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(36, width, rng=rng), nn.ReLU()),
        *(nn.Linear(width, 8, rng=rng), nn.ReLU(), nn.Linear(8, 3, rng=rng)),
    )


def cnn(rng, width=4):
    return nn.Sequential(
        *(nn.Conv2d(1, width, 3, rng=rng), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(4 * width, 6, rng=rng), nn.ReLU(), nn.Linear(6, 3, rng=rng)),
    )


NETS = {"mlp": mlp, "cnn": cnn}


@dataclass
class Case:
    """A method as it is used on the small nets.

    make : function without arguments that returns a new method
    prepare : function of (model, rng) that changes the model before its optimizer is made
    optimizer : function of the model
    holds : whether what `mask` has removed stays zero from step to step
    late : function that returns the method with something due after EPOCHS; None if nothing can be
    prunes : whether something is gone after EPOCHS
    """

    make: Callable[[], Any]
    prepare: Callable[[Any, Any], object] = lambda model, rng: None  # noqa: ARG005
    optimizer: Callable[[Any], Any] = lambda model: SGD(model, 0.05, momentum=0.9)
    holds: bool = True
    late: Callable[[], Any] | None = None
    prunes: bool = True


def scored(kind, **more):
    """Return the case of a `ScorePruning`: gradual, and due later for `late`."""
    return Case(
        lambda: kind(gradual(0.6, 0, 2), **more), late=lambda: kind(one_shot(0.5, at=EPOCHS + 1))
    )


def layers_of(model):
    return [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def gates(model, rng):
    add_gates(model, dict.fromkeys(layers_of(model), 0.5), rng)
    for m in model.modules():
        if getattr(m, "parametrization", None) is not None:
            with m.parametrization.log_alpha.writing() as a:
                a[::3] = -4.0  # as after a long training: some are shut


def variances(model, rng):
    add_variances(model, layers_of(model), rng)
    for _, p in model.named_parameters():
        if p.name == "log_sigma2":
            with p.writing() as v:
                v[::3] = 0.5  # as after a long training: some are noise


def rotations(model, rng):  # noqa: ARG001
    add_rotations(model)


METHODS = {
    "magnitude": scored(MagnitudePruning),
    "magnitude, units": scored(MagnitudePruning, scope="layer", granularity="unit"),
    "magnitude, every 4 steps": scored(MagnitudePruning, every=4),
    "han": Case(lambda: HanPruning(0.6, [0, 2]), late=lambda: HanPruning(0.6, [EPOCHS + 2])),
    "large-weights": Case(lambda: LargeWeightPruning(0.5, [1, 2], data())),
    "large-weights, units": Case(lambda: LargeWeightPruning(0.5, [0], data(), granularity="unit")),
    "sensitivity": Case(lambda: SensitivityPruning(1e-3, 0.08)),
    "lobster": Case(lambda: LobsterPruning(1e-3, 0.08)),
    "serene": Case(lambda: SerenePruning(1e-3, 0.08)),
    "obd": scored(OBDPruning, images=20),
    "empirical-fisher": scored(FisherPruning, images=20),
    "obs": scored(OBSPruning, images=20),
    "woodfisher": scored(WoodFisherPruning, images=20, damping=1e-2),
    "woodtaylor": scored(WoodTaylorPruning, images=20, damping=1e-2),
    "layerwise-obs": scored(LayerwiseOBSPruning, images=40),
    "wanda": scored(WandaPruning, images=40),
    "sparsegpt": scored(SparseGPTPruning, images=40),
    "obc": scored(OBCPruning, images=40),
    "chita": scored(CHITAPruning, images=20, ridge=1e-2),
    "lookahead": scored(LookaheadPruning, scope="layer"),
    "kronecker-obd": scored(KroneckerOBDPruning, scope="layer", granularity="unit", images=20),
    "eigendamage": replace(
        scored(EigenDamagePruning, images=60), prepare=rotations,
        prunes=False,  # rotated weights go; the matrix that they make has a lower rank, and no zeros
    ),
    "l2": Case(lambda: L2(0.1), holds=False, prunes=False, late=lambda: L2(0.1, start=EPOCHS + 1)),
    "l1": Case(lambda: L1(0.5), holds=False, late=lambda: L1(0.1, start=EPOCHS + 1)),
    "group-lasso": Case(
        lambda: GroupLasso(0.3, granularity="unit"), holds=False,
        late=lambda: GroupLasso(0.1, start=EPOCHS + 1),
    ),
    "stochastic": Case(lambda: StochasticPruning(0.05, count_nodes=False)),
    "l0": Case(lambda: L0Method(0.5, len(data())), prepare=gates, holds=False),
    "sparse-variational-dropout": Case(
        lambda: SparseVariationalDropout(len(data()), warm_up=1.0), prepare=variances, holds=False,
        optimizer=lambda model: Adam(model, 1e-3),
    ),
    "snip": Case(lambda: SNIP(one_shot(0.6)), late=lambda: SNIP(one_shot(0.5, at=EPOCHS + 1))),
    "rigl": Case(lambda: RigL(0.6, every=4), late=lambda: RigL(0.6, end=EPOCHS + 1)),
}  # fmt: skip
