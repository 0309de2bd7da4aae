"""What pruning costs: a step of each method beside a dense step, and what acts once in seconds.

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
from minisparse.nn import Module
from minisparse.optim import SGD
from minisparse.prune import bayesian_compression as bc
from minisparse.prune.ac_dc import ACDC
from minisparse.prune.bernoulli_gates import GeneralizedDropout, add_unit_gates
from minisparse.prune.chita import CHITAPruning
from minisparse.prune.continuous_sparsification import ContinuousSparsification, add_soft_masks
from minisparse.prune.cram import CrAM
from minisparse.prune.deep_r import DeepR
from minisparse.prune.edge_popup import EdgePopup
from minisparse.prune.edge_popup import add_scores as add_popup_scores
from minisparse.prune.force import FORCE
from minisparse.prune.grasp import GraSP
from minisparse.prune.gsm import GSM
from minisparse.prune.l0 import L0Method, add_gates
from minisparse.prune.l0_arm import L0ARM, add_binary_gates
from minisparse.prune.layerwise_obs import LayerwiseOBSPruning
from minisparse.prune.lobster import LobsterPruning
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.method import Method
from minisparse.prune.movement import Movement, add_scores, all_but_scores
from minisparse.prune.n_of_m import SRSTE
from minisparse.prune.network_quantization import NetworkQuantization, add_spikes
from minisparse.prune.network_surgery import NetworkSurgery
from minisparse.prune.obc import OBCPruning
from minisparse.prune.obd import OBDPruning
from minisparse.prune.penalties import L1, L2, GroupLasso
from minisparse.prune.powerpropagation import add_powers
from minisparse.prune.rigl import RigL
from minisparse.prune.saturating import TransformedL1
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.sensitivity import SensitivityPruning
from minisparse.prune.serene import SerenePruning
from minisparse.prune.snip import SNIP
from minisparse.prune.soft_threshold import STR, add_soft_thresholds
from minisparse.prune.soft_weight_sharing import SoftWeightSharing
from minisparse.prune.sparse_evolutionary import SET
from minisparse.prune.sparse_momentum import SparseMomentum
from minisparse.prune.sparse_variational_dropout import SparseVariationalDropout, add_variances
from minisparse.prune.sparsegpt import SparseGPTPruning
from minisparse.prune.splitting import ADMM
from minisparse.prune.stochastic import StochasticPruning
from minisparse.prune.straight_through import DPF, StraightThroughPruning, add_masks
from minisparse.prune.structured_bayesian import StructuredBayesianPruning, add_log_normal_noise
from minisparse.prune.structured_variational_dropout import (
    StructuredVariationalDropout,
    add_unit_alphas,
)
from minisparse.prune.synflow import SynFlow
from minisparse.prune.targeted_dropout import TargetedDropout, add_targeted_dropout
from minisparse.prune.top_kast import TopKAST, add_explored
from minisparse.prune.unit_thresholds import DST, add_unit_thresholds
from minisparse.prune.vibnet import VIBNet, add_bottlenecks
from minisparse.prune.wanda import WandaPruning
from minisparse.prune.woodfisher import WoodFisherPruning

from . import workload

BATCH = 100
_N = 2000  # images of the made-up data
_BOTH = ("lenet300", "lenet5")

Prepare = Callable[[Module, np.random.Generator], Any]


@dataclass(frozen=True)
class Cost:
    """How a method is built.

    Attributes
    ----------
    make : function that returns the method, or None for none
    prepare : function of (model, rng), called before the optimizer is made
    trained : function that returns the parameters of a model that the optimizer gets
    once : bool
        It acts before the first step: that is timed, in place of a step.
    nets : tuple of str
        What it is measured on.
    """

    make: Callable[[], Method] | None = None
    prepare: Prepare | None = None
    trained: Callable[[Any], Any] = lambda model: model
    once: bool = False
    nets: tuple[str, ...] = ("lenet300",)

    def optimizer(self, model: Module) -> SGD:
        """Return the optimizer; all have the same."""
        return SGD(self.trained(model), workload.LEARNING_RATE, workload.MOMENTUM)


def split() -> Split:
    """Return noise in the shape of MNIST: nobody's times depend on the images."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (_N, 28, 28, 1), np.uint8)
    images[rng.random(images.shape) < 0.8] = 0  # MNIST has as many
    return Split(images, np.arange(_N) % 10)


def _layers(model: Module) -> list[str]:
    """Return the names of the layers with weights."""
    return [name.removesuffix(".weight") for name, p in model.named_parameters() if p.ndim > 1]


def _on_layers(add: Callable[..., Any], *more: Any, **named: Any) -> Prepare:
    """Put something into all layers; `add` takes (model, layers, *more)."""
    return lambda model, rng: add(model, _layers(model), *more, **named)  # noqa: ARG005


def _drawn(add: Callable[..., Any], *more: Any) -> Prepare:
    """Put something random into all layers; `add` takes (model, layers, *more, rng)."""
    return lambda model, rng: add(model, _layers(model), *more, rng)


def _for_each(add: Callable[..., Any], share: float) -> Prepare:
    """Put something random into all layers; `add` takes (model, {layer: share}, rng)."""
    return lambda model, rng: add(model, dict.fromkeys(_layers(model), share), rng)


def _once(kind: Callable[..., Method], **named: Any) -> Cost:
    """Prune 90 % at once."""
    return Cost(lambda: kind(one_shot(0.9), **named), once=True)


COSTS: dict[str, Cost] = {
    # ---- a step ---------------------------------------------------------------------------------
    "a mask (magnitude, 90 %)": Cost(lambda: MagnitudePruning(one_shot(0.9)), nets=_BOTH),
    "AC/DC, compressed": Cost(lambda: ACDC(0.9, [0])),
    "N:M with SR-STE": Cost(SRSTE, _on_layers(add_masks)),
    "straight-through": Cost(lambda: StraightThroughPruning(one_shot(0.6)), _on_layers(add_masks)),
    "DPF": Cost(lambda: DPF(gradual(0.6, 0, 100), every=16), _on_layers(add_masks)),
    "network surgery": Cost(lambda: NetworkSurgery(0.3, gamma=0.1), _on_layers(add_masks)),
    "powerpropagation": Cost(prepare=_on_layers(add_powers, 2.0)),
    "CrAM": Cost(CrAM),
    "GSM": Cost(lambda: GSM(0.6, at=100)),
    "L1": Cost(lambda: L1(1e-5), nets=_BOTH),
    "L2": Cost(lambda: L2(1e-5)),
    "group lasso": Cost(lambda: GroupLasso(1e-5, granularity="unit")),
    "transformed L1": Cost(lambda: TransformedL1(1e-5)),
    "soft weight sharing": Cost(lambda: SoftWeightSharing(0.005, 100, _N, components=8)),
    "ADMM": Cost(lambda: ADMM(0.6, 100, 1e-3)),
    "sensitivity, unspecific": Cost(lambda: SensitivityPruning(1e-6, 0.0), nets=_BOTH),
    "sensitivity, unspecific, softmax": Cost(
        lambda: SensitivityPruning(1e-6, 0.0, output="softmax")
    ),
    "sensitivity, unspecific, 20 examples": Cost(
        lambda: SensitivityPruning(1e-6, 0.0, examples=20), nets=("lenet5",)
    ),
    "sensitivity, specific": Cost(
        lambda: SensitivityPruning(1e-6, 0.0, variant="specific"), nets=_BOTH
    ),
    "SeReNe": Cost(lambda: SerenePruning(1e-6, 0.0), nets=_BOTH),
    "LOBSTER": Cost(lambda: LobsterPruning(1e-6, 0.0), nets=_BOTH),
    "stochastic zeroing": Cost(lambda: StochasticPruning(0.02, count_nodes=False), nets=_BOTH),
    "targeted dropout": Cost(TargetedDropout, _drawn(add_targeted_dropout, 0.5, 0.5)),
    "hard concrete gates": Cost(lambda: L0Method(0.1, _N), _for_each(add_gates, 0.5), nets=_BOTH),
    "hard concrete gates, L2": Cost(
        lambda: L0Method(0.1, _N, weight_decay=1e-4), _for_each(add_gates, 0.5)
    ),
    "L0-ARM": Cost(lambda: L0ARM(strength=0.1, n=_N), _drawn(add_binary_gates)),
    "sparse variational dropout": Cost(lambda: SparseVariationalDropout(_N), _drawn(add_variances)),
    "structured variational dropout": Cost(
        lambda: StructuredVariationalDropout(n=_N), _drawn(add_unit_alphas)
    ),
    "BC-GNJ": Cost(lambda: bc.BayesianCompression(n=_N), _drawn(bc.add_normal_scales)),
    "BC-GHS": Cost(lambda: bc.BayesianCompression(n=_N), _drawn(bc.add_horseshoe_scales)),
    "structured Bayesian pruning": Cost(
        lambda: StructuredBayesianPruning(n=_N), _drawn(add_log_normal_noise)
    ),
    "VIBNet": Cost(lambda: VIBNet(n=_N), _drawn(add_bottlenecks)),
    "generalized dropout": Cost(lambda: GeneralizedDropout(n=_N), _drawn(add_unit_gates)),
    "network quantization": Cost(lambda: NetworkQuantization(n=_N), _drawn(add_spikes)),
    "edge-popup": Cost(EdgePopup, _for_each(add_popup_scores, 0.5)),
    "SET": Cost(lambda: SET(0.9)),
    "RigL": Cost(lambda: RigL(0.9, every=100)),
    "sparse momentum": Cost(lambda: SparseMomentum(0.9)),
    "DEEP R": Cost(lambda: DeepR(0.9, alpha=1e-4, temperature=1e-8)),
    "Top-KAST": Cost(lambda: TopKAST(0.9, 0.2), _on_layers(add_explored)),
    "movement": Cost(
        lambda: Movement(gradual(0.6, 0, 100)), _on_layers(add_scores), all_but_scores
    ),
    "soft thresholds (STR)": Cost(lambda: STR(1e-5), _on_layers(add_soft_thresholds, initial=-8.0)),
    "unit thresholds (DST)": Cost(lambda: DST(1e-5), _on_layers(add_unit_thresholds)),
    "continuous sparsification": Cost(
        lambda: ContinuousSparsification(end=100), _on_layers(add_soft_masks)
    ),
    # ---- at once --------------------------------------------------------------------------------
    "magnitude": _once(MagnitudePruning),
    "SNIP": _once(SNIP),
    "GraSP": _once(GraSP),
    "SynFlow, 100 rounds": _once(SynFlow, rounds=100),
    "FORCE, 60 rounds": _once(FORCE, rounds=60),
    "OBD, 100 images": _once(OBDPruning, images=100),
    "WoodFisher, 100 images": _once(WoodFisherPruning, images=100),
    "CHITA, 100 images": _once(CHITAPruning, images=100),
    "layer-wise OBS, 1,000 images": _once(LayerwiseOBSPruning, images=1000),
    "OBC, 1,000 images": _once(OBCPruning, images=1000),
    "SparseGPT, 1,000 images": _once(SparseGPTPruning, images=1000),
    "Wanda, 1,000 images": _once(WandaPruning, images=1000),
}
