"""The table of methods that test_every_method.py puts through the contract: a line for each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minisparse import nn
from minisparse.data import Split
from minisparse.optim import SGD, Adam
from minisparse.prune import edge_popup
from minisparse.prune.ac_dc import ACDC, DSD
from minisparse.prune.apoz import APoZPruning
from minisparse.prune.autoprune import AutoPrune, add_switches
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
from minisparse.prune.channel_lasso import ChannelLasso
from minisparse.prune.chita import CHITAPruning
from minisparse.prune.continuous_sparsification import ContinuousSparsification, add_soft_masks
from minisparse.prune.cram import CrAM
from minisparse.prune.deep_r import DeepR
from minisparse.prune.dessilbi import DessiLBI
from minisparse.prune.dynamic_reparameterization import DSR
from minisparse.prune.eigendamage import EigenDamagePruning, KroneckerOBDPruning, add_rotations
from minisparse.prune.exploration import Exploration
from minisparse.prune.filter_norm import FilterNormPruning
from minisparse.prune.fisher import FisherPruning
from minisparse.prune.force import FORCE, IterativeSNIP
from minisparse.prune.fpgm import FPGM
from minisparse.prune.granet import GraNet
from minisparse.prune.grasp import GraSP
from minisparse.prune.gsm import GSM
from minisparse.prune.hard_thresholding import IterativeHardThresholding, SoftFilterPruning
from minisparse.prune.hoyer import GroupHoyerSquare, Hoyer, HoyerSquare
from minisparse.prune.karnin import KarninPruning
from minisparse.prune.l0 import L0Method, add_gates
from minisparse.prune.l0_arm import L0ARM, add_binary_gates
from minisparse.prune.lamp import LAMPPruning
from minisparse.prune.large_weights import LargeWeightPruning
from minisparse.prune.layerwise_obs import LayerwiseOBSPruning
from minisparse.prune.linbreg import LinBreg, add_bregman
from minisparse.prune.lobster import LobsterPruning
from minisparse.prune.lookahead import LookaheadPruning
from minisparse.prune.magnitude import HanPruning, MagnitudePruning
from minisparse.prune.merging import DataFreeMerging, NeuronMerging
from minisparse.prune.method import Method
from minisparse.prune.movement import Movement, SoftMovement, add_scores, all_but_scores
from minisparse.prune.n_of_m import SRSTE
from minisparse.prune.network_quantization import NetworkQuantization, add_spikes
from minisparse.prune.network_slimming import NetworkSlimming
from minisparse.prune.network_surgery import NetworkSurgery
from minisparse.prune.nisp import NISP
from minisparse.prune.obc import OBCPruning
from minisparse.prune.obd import OBDPruning
from minisparse.prune.obs import OBSPruning
from minisparse.prune.penalties import L1, L2, GroupLasso
from minisparse.prune.powerpropagation import add_powers
from minisparse.prune.random_pruning import RandomPruning
from minisparse.prune.rigl import RigL
from minisparse.prune.saturating import TransformedL1, WeightElimination
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.sensitivity import SensitivityPruning
from minisparse.prune.serene import SerenePruning
from minisparse.prune.skeletonization import Skeletonization
from minisparse.prune.snip import SNIP
from minisparse.prune.soft_threshold import STR, add_soft_thresholds
from minisparse.prune.soft_weight_sharing import SoftWeightSharing
from minisparse.prune.sparse_evolutionary import SET
from minisparse.prune.sparse_momentum import SparseMomentum
from minisparse.prune.sparse_variational_dropout import SparseVariationalDropout, add_variances
from minisparse.prune.sparsegpt import SparseGPTPruning
from minisparse.prune.splitting import ADMM, LC
from minisparse.prune.stochastic import StochasticPruning
from minisparse.prune.straight_through import DPF, StraightThroughPruning, add_masks
from minisparse.prune.structured_bayesian import StructuredBayesianPruning, add_log_normal_noise
from minisparse.prune.structured_probabilistic import SPP, add_probabilities
from minisparse.prune.structured_sparsity import SSL, ProximalSSL
from minisparse.prune.structured_variational_dropout import (
    StructuredVariationalDropout,
    add_unit_alphas,
)
from minisparse.prune.synflow import SynFlow
from minisparse.prune.targeted_dropout import TargetedDropout, add_targeted_dropout
from minisparse.prune.taylor import TaylorPruning
from minisparse.prune.thinet import ThiNet
from minisparse.prune.top_kast import TopKAST, add_explored
from minisparse.prune.unit_thresholds import DST, add_unit_thresholds
from minisparse.prune.vibnet import VIBNet, add_bottlenecks
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


def masks_in_pairs(model, rng):  # noqa: ARG001
    layers = dict(model.named_modules())
    add_masks(model, [n for n in layers_of(model) if layers[n].weight.shape[-2] % 2 == 0])


def powers(model, rng):  # noqa: ARG001
    add_powers(model, layers_of(model), 2.0)


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
        lambda: kind(**more),
        prepare=prepare,
        holds=False,
        optimizer=lambda model: Adam(model, 1e-3),
    )


def normalized(model, _rng):
    """Put a batch norm before each relu, which follows a layer."""
    layer = None
    for i, part in enumerate(list(model)):
        if isinstance(part, nn.ReLU):
            kind = nn.BatchNorm2d if isinstance(layer, nn.Conv2d) else nn.BatchNorm1d
            setattr(model, str(i), nn.Sequential(kind(layer.weight.shape[-1]), part))
        layer = part


def soft_masks(model, _rng):
    add_soft_masks(model, layers_of(model))
    for _, p in model.named_parameters():
        if p.name == "s":
            with p.writing() as s:
                s[...] = np.where(np.arange(s.size).reshape(s.shape) % 3, 0.1, -0.1)


def low_switches(model, _rng):
    add_switches(model, layers_of(model))
    for _, p in model.named_parameters():
        if p.name == "m":
            with p.writing() as m:
                m[::3] = -0.5  # as after a long training: some are off


def rotations(model, rng):  # noqa: ARG001
    add_rotations(model)


METHODS = {
    "magnitude": scored(MagnitudePruning),
    "magnitude, units": scored(MagnitudePruning, scope="layer", granularity="unit"),
    "magnitude, every 4 steps": scored(MagnitudePruning, every=4),
    "han": Case(lambda: HanPruning(0.6, [0, 2]), late=lambda: HanPruning(0.6, [EPOCHS + 2])),
    "lamp": scored(LAMPPruning),
    "network-surgery": Case(
        lambda: NetworkSurgery(0.3, gamma=0.1), prepare=masks, holds=False,
        late=lambda: NetworkSurgery(0.3, stop=EPOCHS + 1),
    ),
    "sr-ste": Case(lambda: SRSTE(1, 2, strength=1e-2), prepare=masks_in_pairs, holds=False),
    "iht": Case(
        lambda: IterativeHardThresholding(one_shot(0.6)),
        late=lambda: IterativeHardThresholding(one_shot(0.5, at=EPOCHS + 1)),
    ),
    "iht, every 4 steps": Case(
        lambda: IterativeHardThresholding(gradual(0.6, 0, 2), every=4), holds=False,
        late=lambda: IterativeHardThresholding(one_shot(0.5, at=EPOCHS + 1)),
    ),
    "soft-filter-pruning": Case(
        lambda: SoftFilterPruning(one_shot(0.4)), holds=False,
        late=lambda: SoftFilterPruning(one_shot(0.4, at=EPOCHS + 1)),
    ),
    "gsm": Case(lambda: GSM(0.6, at=2), late=lambda: GSM(0.6, at=EPOCHS + 1)),
    "powerpropagation": Case(
        lambda: MagnitudePruning(gradual(0.6, 0, 2)), prepare=powers,
        late=lambda: MagnitudePruning(one_shot(0.5, at=EPOCHS + 1)),
    ),
    "cram": Case(lambda: CrAM(), holds=False, prunes=False),
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
    "ssl": Case(lambda: SSL(0.02, at=2, quality=0.9), late=lambda: SSL(0.02, at=EPOCHS + 1)),
    "ssl, shapes": Case(
        lambda: SSL(0.02, at=1, granularities=["shape"], weighting="size", quality=0.9)
    ),
    "ssl-proximal": Case(
        lambda: ProximalSSL(1.3), holds=False, late=lambda: ProximalSSL(0.1, start=EPOCHS + 1)
    ),
    "hoyer": Case(lambda: Hoyer(0.01, at=2), late=lambda: Hoyer(0.01, at=EPOCHS + 1)),
    "hoyer-square": Case(
        lambda: HoyerSquare(1e-3, at=2), late=lambda: HoyerSquare(1e-3, at=EPOCHS + 1)
    ),
    "group-hoyer-square": Case(
        lambda: GroupHoyerSquare(1e-3, at=2), late=lambda: GroupHoyerSquare(1e-3, at=EPOCHS + 1)
    ),
    "weight-elimination": Case(
        lambda: WeightElimination(1e-3, at=2), late=lambda: WeightElimination(1e-3, at=EPOCHS + 1)
    ),
    "transformed-l1": Case(
        lambda: TransformedL1(0.2), holds=False, late=lambda: TransformedL1(0.1, start=EPOCHS + 1)
    ),
    "network-slimming": Case(
        lambda: NetworkSlimming(0.01, 2, 0.5), prepare=normalized,
        late=lambda: NetworkSlimming(0.01, EPOCHS + 1, 0.5),
    ),
    "admm": Case(lambda: ADMM(0.6, 2, 0.05), late=lambda: ADMM(0.6, EPOCHS + 1, 0.05)),
    "lc": Case(lambda: LC(0.6, 2, 0.05), late=lambda: LC(0.6, EPOCHS + 1, 0.05)),
    "soft-weight-sharing": Case(
        lambda: SoftWeightSharing(0.05, 2, len(data()), components=4, zero_share=0.9),
        late=lambda: SoftWeightSharing(0.05, EPOCHS + 1, len(data()), components=4),
    ),
    "linbreg": Case(
        LinBreg, prepare=lambda m, rng: add_bregman(m, layers_of(m), 0.02, rng, density=0.5),
        holds=False,
    ),
    "dessilbi": Case(lambda: DessiLBI(2, nu=0.2, kappa=0.05), late=lambda: DessiLBI(EPOCHS + 1)),
    "targeted-dropout": Case(
        lambda: TargetedDropout(ramp=2), holds=False, late=lambda: TargetedDropout(ramp=EPOCHS + 1),
        prepare=lambda m, rng: add_targeted_dropout(m, layers_of(m), 0.5, 0.5, rng),
    ),
    "targeted-dropout, units": Case(
        TargetedDropout, holds=False,
        prepare=lambda m, rng: add_targeted_dropout(m, layers_of(m)[:-1], 0.5, 0.5, rng, granularity="unit"),
    ),
    "spp": Case(
        lambda: SPP(at=2, every=2, a=0.3), holds=False, late=lambda: SPP(at=EPOCHS + 1),
        prepare=lambda m, rng: add_probabilities(m, layers_of(m), 0.4, rng),
    ),
    "str": Case(
        lambda: STR(0.05), holds=False,
        prepare=lambda m, _: add_soft_thresholds(m, layers_of(m), initial=-3.0),
    ),
    "dst": Case(
        lambda: DST(0.02), holds=False,
        prepare=lambda m, _: add_unit_thresholds(m, layers_of(m)),
    ),
    "continuous-sparsification": Case(
        lambda: ContinuousSparsification(end=2, rounds=2, strength=1e-3), holds=False,
        prepare=soft_masks, late=lambda: ContinuousSparsification(end=EPOCHS + 1),
    ),
    "autoprune": Case(lambda: AutoPrune(1e-3), holds=False, prepare=low_switches),
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
