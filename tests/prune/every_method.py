"""The table of methods that test_every_method.py puts through the contract: a line for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisparse import nn
from minisparse.data import Split
from minisparse.optim import SGD, Adam
from minisparse.prune import edge_popup
from minisparse.prune.ac_dc import ACDC, DSD
from minisparse.prune.apoz import APoZPruning
from minisparse.prune.channel_lasso import ChannelLasso
from minisparse.prune.deep_r import DeepR
from minisparse.prune.dynamic_reparameterization import DSR
from minisparse.prune.exploration import Exploration
from minisparse.prune.filter_norm import FilterNormPruning
from minisparse.prune.bayesian_compression import (
    BayesianCompression,
    add_horseshoe_scales,
    add_normal_scales,
)
from minisparse.prune.bernoulli_gates import (
    GeneralizedDropout,
    SparseGates,
    add_unit_gates,
    add_weight_gates,
)
from minisparse.prune.edge_popup import EdgePopup, add_scores
from minisparse.prune.force import FORCE, IterativeSNIP
from minisparse.prune.fpgm import FPGM
from minisparse.prune.granet import GraNet
from minisparse.prune.grasp import GraSP
from minisparse.prune.karnin import KarninPruning
from minisparse.prune.l0 import L0Method, add_gates
from minisparse.prune.l0_arm import L0ARM, add_binary_gates
from minisparse.prune.large_weights import LargeWeightPruning
from minisparse.prune.lobster import LobsterPruning
from minisparse.prune.magnitude import HanPruning, MagnitudePruning
from minisparse.prune.method import Method
from minisparse.prune.movement import Movement, SoftMovement, add_scores, all_but_scores
from minisparse.prune.merging import DataFreeMerging, NeuronMerging
from minisparse.prune.nisp import NISP
from minisparse.prune.network_quantization import NetworkQuantization, add_spikes
from minisparse.prune.obd import OBDPruning
from minisparse.prune.penalties import L1, L2, GroupLasso
from minisparse.prune.random_pruning import RandomPruning
from minisparse.prune.rigl import RigL
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.sensitivity import SensitivityPruning
from minisparse.prune.serene import SerenePruning
from minisparse.prune.skeletonization import Skeletonization
from minisparse.prune.snip import SNIP
from minisparse.prune.sparse_evolutionary import SET
from minisparse.prune.sparse_momentum import SparseMomentum
from minisparse.prune.sparse_variational_dropout import SparseVariationalDropout, add_variances
from minisparse.prune.stochastic import StochasticPruning
from minisparse.prune.straight_through import DPF, StraightThroughPruning, add_masks
from minisparse.prune.synflow import SynFlow
from minisparse.prune.taylor import TaylorPruning
from minisparse.prune.thinet import ThiNet
from minisparse.prune.top_kast import TopKAST, add_explored
from minisparse.prune.structured_bayesian import StructuredBayesianPruning, add_log_normal_noise
from minisparse.prune.structured_variational_dropout import (
    StructuredVariationalDropout,
    add_unit_alphas,
)
from minisparse.prune.synflow import SynFlow
from minisparse.prune.vibnet import VIBNet, add_bottlenecks

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


def at_start(kind, **more):
    """Return the case of a method that prunes before the first step."""
    return Case(
        lambda: kind(one_shot(0.6), **more), late=lambda: kind(one_shot(0.5, at=EPOCHS + 1))
    )


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


def masks(model, rng):  # noqa: ARG001
    add_masks(model, layers_of(model))


def scores(model, rng):  # noqa: ARG001
    add_scores(model, layers_of(model))


def explored(model, rng):  # noqa: ARG001
    add_explored(model, layers_of(model))


class Watched(Method):
    """A method and its rate of exploration, as one."""

    def __init__(self, method):
        self.parts = method, Exploration(method)

    def attach(self, *given):
        for part in self.parts:
            part.attach(*given)

    def begin(self, run):
        for part in self.parts:
            part.begin(run)

    def after_backward(self, run):
        for part in self.parts:
            part.after_backward(run)

    def after_step(self, run):
        for part in self.parts:
            part.after_step(run)

    def after_epoch(self, run):
        for part in self.parts:
            part.after_epoch(run)

    def mask(self):
        return self.parts[0].mask()

    def state_dict(self):
        return {str(i): part.state_dict() for i, part in enumerate(self.parts)}

    def load_state_dict(self, state):
        for i, part in enumerate(self.parts):
            part.load_state_dict(state[str(i)])
def posterior(kind, add, name, value, **more):
    """Return the case of a law of the weights, with every third entry of a parameter as given."""

    def prepare(model, rng):
        add(model, layers_of(model), rng)
        for _, p in model.named_parameters():
            if p.name == name:
                with p.writing() as a:
                    a[..., ::3] = value  # as after a long training

    return Case(
        lambda: kind(**more), prepare=prepare, holds=False, optimizer=lambda model: Adam(model, 1e-3)
    )


METHODS = {
    "magnitude": scored(MagnitudePruning),
    "magnitude, units": scored(MagnitudePruning, scope="layer", granularity="unit"),
    "magnitude, every 4 steps": scored(MagnitudePruning, every=4),
    "han": Case(lambda: HanPruning(0.6, [0, 2]), late=lambda: HanPruning(0.6, [EPOCHS + 2])),
    "straight-through": Case(
        lambda: StraightThroughPruning(one_shot(0.6)), prepare=masks, holds=False,
        late=lambda: StraightThroughPruning(one_shot(0.5, at=EPOCHS + 1)),
    ),
    "dpf": Case(
        lambda: DPF(gradual(0.6, 0, 2), every=4), prepare=masks, holds=False,
        late=lambda: DPF(one_shot(0.5, at=EPOCHS + 1)),
    ),
    "dsd": Case(
        lambda: DSD(0.6, 1, 2), prunes=False, late=lambda: DSD(0.6, 1, EPOCHS + 1)
    ),
    "large-weights": Case(lambda: LargeWeightPruning(0.5, [1, 2], data())),
    "large-weights, units": Case(lambda: LargeWeightPruning(0.5, [0], data(), granularity="unit")),
    "sensitivity": Case(lambda: SensitivityPruning(1e-3, 0.08)),
    "lobster": Case(lambda: LobsterPruning(1e-3, 0.08)),
    "serene": Case(lambda: SerenePruning(1e-3, 0.08)),
    "obd": scored(OBDPruning, images=20),
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
    "edge-popup": Case(
        edge_popup.EdgePopup, prepare=lambda model, rng: edge_popup.add_scores(model, dict.fromkeys(layers_of(model), 0.5), rng),
        holds=False,
    ),
    "random": at_start(RandomPruning, scope="erk"),
    "iterative-snip": at_start(IterativeSNIP, rounds=4),
    "force": at_start(FORCE, rounds=4),
    "grasp": at_start(GraSP),
    "synflow": at_start(SynFlow, rounds=10),
    "skeletonization": scored(Skeletonization),
    "karnin": Case(
        lambda: KarninPruning(one_shot(0.6, at=1)), late=lambda: KarninPruning(one_shot(0.5, at=EPOCHS + 1))
    ),
    "structured-variational-dropout": posterior(
        StructuredVariationalDropout, add_unit_alphas, "log_alpha", 4.0, n=len(data()), warm_up=1.0
    ),
    "bc-gnj": posterior(BayesianCompression, add_normal_scales, "log_sigma2_z", 1.0, n=len(data())),
    "bc-ghs": posterior(BayesianCompression, add_horseshoe_scales, "own", -6.0, n=len(data())),
    "structured-bayesian-pruning": posterior(
        StructuredBayesianPruning, add_log_normal_noise, "log_s", 1.0, n=len(data())
    ),
    "vibnet": posterior(VIBNet, add_bottlenecks, "log_sigma2", 1.0, n=len(data()), warm_up=1.0),
    "generalized-dropout": posterior(GeneralizedDropout, add_unit_gates, "phi", -1.0, n=len(data())),
    "sparse-gates": posterior(SparseGates, add_weight_gates, "p", 0.2, bimodal=1e-3, sparse=1e-3),
    "l0-arm": posterior(L0ARM, add_binary_gates, "phi", -1.0, strength=0.1, n=len(data())),
    "network-quantization": posterior(
        NetworkQuantization, add_spikes, "log_sigma2", 0.5, n=len(data())
    ),
    "snip": Case(lambda: SNIP(one_shot(0.6)), late=lambda: SNIP(one_shot(0.5, at=EPOCHS + 1))),
    "set": Case(lambda: SET(0.6)),
    "deep-r": Case(lambda: DeepR(0.6, alpha=0.1, temperature=1e-4)),
    "sparse-momentum": Case(lambda: SparseMomentum(0.6)),
    "dsr": Case(
        lambda: DSR(0.6, target=10, every=4, threshold=0.05), late=lambda: DSR(0.6, end=EPOCHS + 1)
    ),
    "top-kast": Case(
        lambda: TopKAST(0.6, 0.6, every=4), holds=False,
        prepare=explored,
    ),
    "ac-dc": Case(lambda: ACDC(0.6, [0, 2], [1]), late=lambda: ACDC(0.6, [EPOCHS + 1])),
    "granet": Case(
        lambda: GraNet(gradual(0.7, 0, 2, initial=0.3), every=4),
        late=lambda: GraNet(gradual(0.7, 0, EPOCHS + 1)),
    ),
    "movement": Case(
        lambda: Movement(gradual(0.6, 0, 2)), prepare=scores, holds=False,
        optimizer=lambda model: SGD(all_but_scores(model), 0.05, momentum=0.9),
        late=lambda: Movement(one_shot(0.5, at=EPOCHS + 1)),
    ),
    "soft-movement": Case(
        lambda: SoftMovement(48.0, tau=0.45, lr=0.5), prepare=scores, holds=False,
        optimizer=lambda model: SGD(all_but_scores(model), 0.05, momentum=0.9),
    ),
    "itop": Case(lambda: Watched(RigL(0.6, every=4))),
    "rigl": Case(lambda: RigL(0.6, every=4), late=lambda: RigL(0.6, end=EPOCHS + 1)),
    # structured
    "filter-norm": scored(FilterNormPruning),
    "fpgm": scored(FPGM, scope="global"),
    "taylor": scored(TaylorPruning, mini_batch=7, images=20),
    "taylor, activations": scored(TaylorPruning, form="activation", scope="layer"),
    "apoz": scored(APoZPruning, images=20),
    "nisp": scored(NISP, images=30),
    "thinet": scored(ThiNet, images=30),
    "channel-lasso": scored(ChannelLasso, images=30),
    "data-free-merging": scored(DataFreeMerging),
    "neuron-merging": scored(NeuronMerging),
}  # fmt: skip
