"""The settings of every method where the images are digits: those of the small nets, or these."""

from dataclasses import replace

import numpy as np
from every_method import METHODS, layers_of

from minisparse import data, nn
from minisparse.optim import Adam
from minisparse.prune.bayesian_compression import (
    BayesianCompression,
)
from minisparse.prune.bernoulli_gates import (
    GeneralizedDropout,
)
from minisparse.prune.deep_r import DeepR
from minisparse.prune.dessilbi import DessiLBI
from minisparse.prune.eigendamage import KroneckerOBDPruning
from minisparse.prune.fpgm import FPGM
from minisparse.prune.l0 import L0Method
from minisparse.prune.l0_arm import L0ARM
from minisparse.prune.large_weights import LargeWeightPruning
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.network_quantization import NetworkQuantization, add_spikes
from minisparse.prune.obs import OBSPruning
from minisparse.prune.penalties import L1, GroupLasso
from minisparse.prune.saturating import TransformedL1
from minisparse.prune.schedule import gradual
from minisparse.prune.soft_weight_sharing import SoftWeightSharing
from minisparse.prune.sparse_variational_dropout import SparseVariationalDropout, add_variances
from minisparse.prune.stochastic import StochasticPruning
from minisparse.prune.structured_bayesian import StructuredBayesianPruning
from minisparse.prune.structured_sparsity import SSL, ProximalSSL
from minisparse.prune.structured_variational_dropout import (
    StructuredVariationalDropout,
    add_unit_alphas,
)
from minisparse.prune.vibnet import VIBNet

IMAGES, EPOCHS, BATCH = 2000, 4, 50


def split():
    everything = data.load("mnist").train
    return everything.subset(np.random.default_rng(0).permutation(len(everything))[:IMAGES])


def network(rng):
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, 60, rng=rng), nn.ReLU()),
        *(nn.Linear(60, 30, rng=rng), nn.ReLU(), nn.Linear(30, 10, rng=rng)),
    )


def case(name, make, **more):
    return replace(METHODS[name], make=make, **more)


def fresh(name, make, add):
    """Return the case of a law of the weights that begins as a user's does: nothing is noise yet."""
    return case(
        name, make, prepare=lambda model, rng: add(model, layers_of(model), rng), prunes=False,
        optimizer=lambda model: Adam(model, 5e-3),
    )  # fmt: skip


def of_this_many(name, kind, **more):
    return case(name, lambda: kind(n=IMAGES, **more))


CASES = METHODS | {
    "magnitude, units": case(
        "magnitude, units",
        lambda: MagnitudePruning(gradual(0.4, 0, 2), scope="layer", granularity="unit"),
    ),
    "kronecker-obd": case(
        "kronecker-obd",
        lambda: KroneckerOBDPruning(
            gradual(0.4, 0, 2), scope="layer", granularity="unit", images=20
        ),
    ),
    "fpgm": case("fpgm", lambda: FPGM(gradual(0.4, 0, 2))),
    "obs": case(  # its matrix has a row for each weight
        "obs", lambda: OBSPruning(gradual(0.6, 0, 2), images=100, names=["5.weight"])
    ),
    "large-weights": case("large-weights", lambda: LargeWeightPruning(0.5, [1, 2], split())),
    "large-weights, units": case(
        "large-weights, units", lambda: LargeWeightPruning(0.2, [0], split(), granularity="unit")
    ),
    "stochastic": case("stochastic", lambda: StochasticPruning(0.01, count_nodes=False)),
    "deep-r": case("deep-r", lambda: DeepR(0.6, alpha=1e-3, temperature=1e-8)),
    "ssl, shapes": case(
        "ssl, shapes",
        lambda: SSL(0.001, at=1, granularities=["shape"], weighting="size", quality=0.9),
    ),
    "l1": case("l1", lambda: L1(0.002)),
    "group-lasso": case("group-lasso", lambda: GroupLasso(0.01, granularity="unit")),
    "ssl-proximal": case("ssl-proximal", lambda: ProximalSSL(0.6)),
    "transformed-l1": case("transformed-l1", lambda: TransformedL1(0.001)),
    # Its first weight enters after some thousand steps: here only the coupled training is seen.
    "dessilbi": case("dessilbi", lambda: DessiLBI(EPOCHS + 1), prunes=False),
    "soft-weight-sharing": case(
        "soft-weight-sharing",
        lambda: SoftWeightSharing(0.005, 3, IMAGES, components=4, zero_share=0.9),
    ),
    "l0": case("l0", lambda: L0Method(0.5, IMAGES)),
    "sparse-variational-dropout": fresh(
        "sparse-variational-dropout",
        lambda: SparseVariationalDropout(IMAGES, warm_up=8.0),
        add_variances,
    ),
    "structured-variational-dropout": fresh(
        "structured-variational-dropout",
        lambda: StructuredVariationalDropout(IMAGES, warm_up=8.0),
        add_unit_alphas,
    ),
    "network-quantization": case(
        "network-quantization",
        lambda: NetworkQuantization(IMAGES),
        prepare=lambda model, rng: add_spikes(model, layers_of(model), rng),
        optimizer=lambda model: Adam(model, 1e-2),
    ),
    "bc-gnj": of_this_many("bc-gnj", BayesianCompression),
    "bc-ghs": of_this_many("bc-ghs", BayesianCompression),
    "structured-bayesian-pruning": of_this_many(
        "structured-bayesian-pruning", StructuredBayesianPruning
    ),
    "vibnet": of_this_many("vibnet", VIBNet, warm_up=3.0),
    "generalized-dropout": of_this_many("generalized-dropout", GeneralizedDropout),
    "l0-arm": of_this_many("l0-arm", L0ARM, strength=0.1),
}
