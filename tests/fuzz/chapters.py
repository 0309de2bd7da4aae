"""What the chapters call beyond the library's first page, each with arguments that it takes.

Left out are the formulas that are handed out as exercises: they are arithmetic on arrays, written as
students will write them, and say what NumPy says.
"""

import ast
from pathlib import Path

import numpy as np

from minisparse import autodiff, gradients, hvp, nn, sparse, threads
from minisparse.autodiff import Tensor
from minisparse.classroom.handing_out import manifest
from minisparse.data import Split
from minisparse.experiments import calibration, intervals, plots_seeds
from minisparse.optim import schedules
from minisparse.prune import (
    bayesian_compression,
    bernoulli_gates,
    compensation,
    eigendamage,
    force,
    gate_counts,
    grasp,
    hard_concrete,
    insensitivity,
    karnin,
    l0,
    l0_arm,
    large_weights,
    layerwise,
    lobster,
    lookahead,
    lottery,
    movement,
    network_quantization,
    nisp,
    nodes,
    obd,
    obs,
    plateau,
    random_pruning,
    scope,
    sensitivity,
    serene,
    single_gradients,
    skeletonization,
    snip,
    sparse_variational_dropout,
    sparsegpt,
    stochastic,
    synflow,
    taylor,
    truncated_log_normal,
    vibnet,
    wanda,
    woodfisher,
)
from minisparse.prune import schedule as plan
from minisparse.prune.batch import Batch
from minisparse.prune.magnitude import magnitude_mask
from minisparse.prune.mask import Mask
from minisparse.prune.masked import FixedMask

CHAPTERS = Path(__file__).parents[2] / "tutorials"
W = "1.weight", "3.weight"  # of the perceptron


# Called by chapters, and no doors: what shows something on the page, what takes an object that another
# call has made, what changes the process or times it.
NO_DOORS = {
    "book", "classroom", "definitions", "kernels", "methods", "no_grad", "Flatten", "panels",
    "Shuffled", "judge", "specimens", "Neighbours", "total", "Exploration", "SparseProduct",
    "interleaved", "measure", "items", "EdgePopup", "ReLU",
    "fill", "panel", "rows_in_blocks", "hessian", "sweep", "Regression", "hard_threshold",
}  # fmt: skip


def called():
    """Return the names that the chapters call, each with its place in the package."""
    found = {}
    for path in sorted(CHAPTERS.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        ours = {
            a.asname or a.name: f"{node.module}.{a.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minisparse")
            for a in node.names
        }
        for node in ast.walk(tree):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            first, *parts = name.split(".")
            if first in ours and all(part.isidentifier() for part in parts):
                found[".".join([ours[first], *parts])] = path.name
    return found


def handed_out():
    """Return the names of the functions that students write."""
    return {
        dotted
        for name in manifest.names()
        for exercise in manifest.load(name).exercises
        for dotted in exercise.functions
    }


def _rng():
    return np.random.default_rng(0)


def _net():
    rng = _rng()
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 5, rng=rng), nn.ReLU(), nn.Linear(5, 3, rng=rng)
    )


def _gated():
    model = _net()
    l0.add_gates(model, dict.fromkeys(("1", "3"), 0.5), _rng())
    return model


def _split():
    return Split(_rng().integers(0, 255, (6, 4, 4, 1), np.uint8), np.arange(6) % 3)


def _images():
    return _rng().random((4, 4, 4, 1), np.float32)


def _batch():
    return Batch(_net(), (_images(), np.arange(4) % 3))


def _mask():
    return magnitude_mask(_net(), 0.5)


def _arrays(*names):
    return {name: _rng().random((3, 2)) for name in names}


def _layers():
    shapes = {n: p.shape for n, p in _net().named_parameters() if n in W}
    return {n: _rng().random(s) for n, s in shapes.items()}


def _recorded(measure, **arguments):
    model = _net()
    with nn.record_layers(model) as layers:
        logits = model(_images())
    return measure(logits, layers, **arguments)


def _derivative(**arguments):
    x = Tensor(np.ones(3), requires_grad=True)
    return gradients((x * x).sum(), [x], **arguments)


def _threads(n):
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(n)
    finally:
        threads.set_num_threads(before)


def _progressive(**arguments):
    return list(force.progressive_masks(lambda _: _layers(), **arguments))


def _at(make, **arguments):
    return make(**arguments)(0.5)


def calls():
    """Yield a name, a function, and what makes good arguments for it."""
    for function, good in _calls():
        module = function.__module__.removeprefix("minisparse.")
        yield f"{module}.{function.__qualname__}", function, good
    yield "gradients", _derivative, lambda: {"cotangent": np.array(1.0), "create_graph": True}
    yield "set_num_threads", _threads, lambda: {"n": 1}
    yield "progressive_masks", _progressive, lambda: {
        "start": Mask({n: s > -1 for n, s in _layers().items()}), "density": 0.5, "rounds": 3,
        "scope": "global", "granularity": "weight"}  # fmt: skip
    yield "schedules.geometric", lambda **a: _at(schedules.geometric, **a), lambda: {
        "start": 0.0, "end": 2.0, "final": 0.01}  # fmt: skip
    yield "sensitivity", lambda **a: _recorded(sensitivity.sensitivity, **a), lambda: {
        "labels": np.arange(4) % 3, "variant": "specific", "form": "batch-mean", "output": "softmax",
        "biases": True}  # fmt: skip
    yield "neuron_sensitivities", lambda **a: _recorded(serene.neuron_sensitivities, **a), lambda: {
        "output": "logits"}  # fmt: skip


def _second_order():
    g = _rng().normal(size=(5, 4))
    w, h = np.arange(1.0, 5.0), g.T @ g + np.eye(4)
    wide, most = np.outer(w, [1.0, 2.0]), np.arange(8).reshape(4, 2) > 1
    yield single_gradients.curvature_factors, lambda: {"batch": _batch(), "names": [W[1]]}
    yield single_gradients.loss_factors, lambda: {"batch": _batch(), "names": [W[1]]}
    yield obs.woodbury_inverse, lambda: {"rows": g, "alpha": 0.1, "count": 5, "at_once": 2}
    yield obs.eliminate, lambda: {"w": w, "inverse": np.linalg.inv(h), "count": 2}
    yield obs.update, lambda: {"w": w, "inverse": np.linalg.inv(h), "q": 1}
    yield compensation.least_squares, lambda: {"w": wide, "h": h, "kept": most[:, 0]}
    yield layerwise.damped, lambda: {"h": h, "share": 0.1}
    yield sparsegpt.upper_factor, lambda: {"h": h}
    yield eigendamage.layer_factors, lambda: {"batch": _batch()}
    yield eigendamage.eigenbasis, lambda: {"a": h}
    yield eigendamage.kronecker_saliency, lambda: {"w": wide, "a": h, "g": np.eye(2)}
    yield obd.curvatures, lambda: {"batch": _batch()}
    yield woodfisher.in_blocks, lambda: {"flat": w, "block": 2}
    yield woodfisher.from_blocks, lambda: {"blocks": w.reshape(2, 2), "shape": (2, 2)}
    yield woodfisher.inverse_fisher, lambda: {"rows": g[None], "damping": 0.1}
    yield woodfisher.by_unit, lambda: {"w": wide}
    yield woodfisher.deletion, lambda: {
        "w": w[None], "inverse": np.linalg.inv(h)[None], "gone": w[None] > 3, "newton": 0.0}  # fmt: skip


def _calls():
    a, rows = np.linspace(0.1, 0.9, 6).reshape(2, 3), (np.ones((3, 2)), np.ones((2, 2)))
    yield hvp, lambda: {"f": lambda x: (x * x).sum(), "x": np.ones(3), "v": np.ones(3)}
    yield autodiff.gradients, lambda: {"y": Tensor(np.ones(2), requires_grad=True).sum(), "xs": []}
    yield calibration.probabilities, lambda: {"model": _net(), "split": _split(), "draws": 2}
    yield intervals.equivalent, lambda: {"a": [1.0, 2.0, 1.5], "b": [1.1, 2.1, 1.4], "margin": 0.5}
    yield intervals.mcnemar, lambda: {"only_a": 3, "only_b": 5}
    yield intervals.paired, lambda: {"a": [1.0, 2.0, 1.5], "b": [1.1, 2.1, 1.4]}
    yield nn.LeNet5, lambda: {"rng": _rng()}
    yield nn.Selected, lambda: {"model": _net(), "index": np.array([0, 2]), "channels": False}
    yield nn.harden, lambda: {"model": _gated()}
    yield nn.num_parameters, lambda: {"model": _net()}
    yield nn.parametrized, lambda: {"model": _net(), "kind": nn.Parametrization}
    yield Batch, lambda: {"model": _net(), "images": (_images(), np.arange(4) % 3)}
    yield bayesian_compression.gamma_divergence, lambda: {"m": a, "log_v": a, "scale": 1.0}
    yield bayesian_compression.inverse_gamma_divergence, lambda: {"m": a, "log_v": a}
    yield bayesian_compression.weight_divergence, lambda: {"mu": a, "log_sigma2": a}
    yield bernoulli_gates.beta_penalty, lambda: {"phi": a, "a": 0.5, "b": 0.5}
    yield bernoulli_gates.bimodal_penalty, lambda: {"p": a, "bimodal": 0.5, "sparse": 0.5}
    yield bernoulli_gates.draw_gates, lambda: {"p": Tensor(a, requires_grad=True), "u": a}
    yield force.foresight, lambda: {"weights": _arrays("a", "b"), "gradients": _arrays("a", "b")}
    for count in (gate_counts.gate_counts, gate_counts.authors_counts):
        yield count, lambda: {"model": _gated(), "presence": "expected", "image_shape": (4, 4, 1)}
    yield hard_concrete.Law, lambda: {"beta": 0.5, "gamma": -0.1, "zeta": 1.1}
    yield hard_concrete.clip_log_alpha, lambda: {"log_alpha": 9 * a}
    yield from _second_order()
    yield plots_seeds.times_wrong, lambda: {"wrong": [[0, 1], [1, 2], []]}
    yield plots_seeds.spreads, lambda: {"wrong": [[0, 1], [1, 2], []]}
    yield lookahead.lookahead, lambda: {"w": a, "entering": np.ones(2), "leaving": np.ones(3)}
    yield wanda.weight_times_input, lambda: {"w": a, "norms": np.ones(2)}
    yield grasp.cooled, lambda: {"batch": _batch(), "temperature": 200.0}
    yield grasp.flow_without, lambda: {"weights": _arrays("a", "b"), "hg": _arrays("a", "b")}
    yield insensitivity.insensitivity, lambda: {"s": a}
    yield insensitivity.shrinkage, lambda: {"w": a, "s": a, "strength": 0.1}
    yield karnin.shadow_sensitivity, lambda: {"shadow": a, "final": a, "initial": a + 1}
    yield l0.architecture, lambda: {"model": _net()}
    yield l0.harden, lambda: {"model": _gated()}
    yield l0_arm.arm_gradient, lambda: {"first": 0.5, "second": 0.25, "u": a}
    yield l0_arm.two_samples, lambda: {"p": a, "u": a}
    yield large_weights.kept_after, lambda: {"n_units": 30, "fraction": 0.2, "events": 3}
    yield lobster.loss_sensitivity, lambda: {"gradient": a}
    yield lottery.random_like, lambda: {"mask": _mask(), "rng": _rng()}
    yield Mask.full, lambda: {"model": _net(), "names": [W[0]]}
    yield Mask.of_nonzeros, lambda: {"model": _net(), "names": [W[0]]}
    yield FixedMask, lambda: {"mask": _mask()}
    yield movement.all_but_scores, lambda: {"model": _net()}
    yield network_quantization.spike_divergence, lambda: {
        "theta": Tensor(a), "log_sigma2": Tensor(a), "a": Tensor(a), "tau": 0.1}  # fmt: skip
    yield nisp.rank_correlation, lambda: {"x": np.arange(12.0).reshape(4, 3) ** 2}
    yield nodes.remove_dead_nodes, lambda: {"model": _net(), "x": _images()}
    yield obd.recursion_curvatures, lambda: {"batch": _batch()}
    yield obd.saliency, lambda: {"w": a, "h": a}
    yield plateau.largest_threshold, lambda: {
        "loss_of": lambda t: t, "magnitudes": np.array([0.1, 0.5, 0.7]), "limit": 0.6}  # fmt: skip
    yield plateau.thresholded_loss, lambda: {
        "model": _net(), "mask": _mask(), "loss_of": lambda: 1.0}  # fmt: skip
    yield random_pruning.densities_of, lambda: {"mask": _mask()}
    yield random_pruning.random_scores, lambda: {"shapes": {"a": (3, 2), "b": (4,)}, "rng": _rng()}
    yield plan.iterative, lambda: {"sparsity": 0.5, "at": [0, 1, 2]}
    yield scope.keep_largest, lambda: {
        "scores": _layers(), "density": 0.5, "scope": "layer", "granularity": "weight"}  # fmt: skip
    yield scope.uniform_plus, lambda: {"shapes": {"a": (3, 2), "b": (4, 4)}, "density": 0.5}
    yield skeletonization.relevance, lambda: {"w": a, "g": a}
    yield snip.connection_sensitivity, lambda: {
        "weights": _arrays("a", "b"), "gradients": _arrays("a", "b")}  # fmt: skip
    yield sparse_variational_dropout.divergence, lambda: {"log_alpha": a}
    yield sparse_variational_dropout.log_alpha, lambda: {"theta": a, "log_sigma2": a}
    yield sparse_variational_dropout.pre_activation, lambda: {"mean": a, "variance": a, "noise": a}
    yield stochastic.effective_threshold, lambda: {
        "sigma": 0.1, "n": 5, "form": "gaussian", "chance": 0.5}  # fmt: skip
    yield stochastic.gaussian, lambda: {"w": a, "sigma": 0.1}
    yield stochastic.zeroed, lambda: {"p": a, "u": a}
    yield synflow.absolute_model, lambda: {"model": _net()}
    yield synflow.synaptic_flow, lambda: {
        "twin": synflow.absolute_model(_net()), "image_shape": (4, 4, 1), "names": [*W]}  # fmt: skip
    yield taylor.products, lambda: {"weights": rows, "slopes": rows}
    yield taylor.weight_form, lambda: {"products": a}
    yield truncated_log_normal.divergence, lambda: {"mu": -a, "log_s": a}
    yield truncated_log_normal.moment, lambda: {"k": 1, "mu": -a, "log_s": a}
    yield truncated_log_normal.sample, lambda: {"mu": -a, "log_s": a, "u": a}
    yield truncated_log_normal.signal_to_noise, lambda: {"mu": -a, "log_s": a}
    yield vibnet.information, lambda: {"log_alpha": Tensor(a)}
    yield sparse.CSRLinear.of, lambda: {"layer": nn.Linear(3, 2, rng=_rng())}
    yield sparse.break_even, lambda: {
        "target": nn.Linear(3, 2, rng=_rng()), "batch": 2, "densities": (0.5, 0.1), "rounds": 2}  # fmt: skip
    yield sparse.choose, lambda: {"target": _net(), "batch": 2, "example": _images(), "rounds": 2}
