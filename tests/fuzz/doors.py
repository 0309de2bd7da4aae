"""The functions that the README, the chapters and the command line call, each with a good call."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minisparse import Tensor, checkpoint, data, nn, optim, sparse
from minisparse.autodiff import cross_entropy, grad
from minisparse.gradcheck import gradcheck
from minisparse.optim import schedules
from minisparse.prune import magnitude, obd, penalties, rigl, sensitivity, serene, snip, stochastic
from minisparse.prune import schedule as plan
from minisparse.prune.lobster import LobsterPruning
from minisparse.prune.mask import Mask
from minisparse.train import evaluate, train


@dataclass
class Door:
    """A function, and what makes new arguments for it that it takes."""

    name: str
    call: Callable[..., Any]
    good: Callable[[], dict[str, Any]]


def _rng():
    return np.random.default_rng(0)


def split(n=12):
    rng = _rng()
    return data.Split(rng.integers(0, 255, (n, 4, 4, 1), np.uint8), rng.integers(0, 3, n))


def net():
    rng = _rng()
    parts = nn.Flatten(), nn.Linear(16, 5, rng=rng), nn.ReLU(), nn.Linear(5, 3, rng=rng)
    return nn.Sequential(*parts)


def cnn():
    rng = _rng()
    parts = nn.Conv2d(1, 2, 3, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3, rng=rng)
    return nn.Sequential(*parts)


def x(n=2):
    return _rng().random((n, 4, 4, 1), np.float32)


def mask(model):
    return magnitude.magnitude_mask(model, 0.5)


def _train(**arguments):
    return train(progress=False, **arguments)


def _step(model, x, y):
    optimizer = optim.SGD(model, 0.1)
    cross_entropy(model(x), y).backward()
    optimizer.step()


def _mask_apply(entries, model):
    Mask(entries).apply(model)


def _batches(**arguments):
    return list(data.batches(**arguments))


def _saved(model):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        sparse.save(model, path)
        return sparse.load(path)


def _checkpointed(state):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.npz")
        checkpoint.save(path, state)
        return checkpoint.load(path)


def _schedule(make, **arguments):
    return make(**arguments)(0.5)


def _method(make, **arguments):
    """Construct a method, and train with it for an epoch."""
    rng, model = _rng(), net()
    return train(
        model, split(), optim.SGD(model, 0.1), epochs=1, rng=rng, batch_size=6,
        methods=[make(**arguments)], progress=False,
    )  # fmt: skip


def methods():
    """Yield the name, the class and good arguments of each method."""
    yield "magnitude", magnitude.MagnitudePruning, lambda: {
        "sparsity": plan.one_shot(0.5), "scope": "global", "granularity": "weight",
    }  # fmt: skip
    yield "han", magnitude.HanPruning, lambda: {"quality": 0.5, "at": [0], "names": None}
    yield "sensitivity", sensitivity.SensitivityPruning, lambda: {
        "strength": 1e-3, "threshold": 0.05, "start": 0.0, "variant": "unspecific",
        "form": "per-sample", "output": "logits", "examples": 2,
    }  # fmt: skip
    yield "lobster", LobsterPruning, lambda: {"strength": 1e-3, "threshold": 0.05}
    yield "serene", serene.SerenePruning, lambda: {"strength": 1e-3, "threshold": 0.05}
    yield "obd", obd.OBDPruning, lambda: {"sparsity": plan.one_shot(0.5), "images": 6}
    yield "l1", penalties.L1, lambda: {"strength": 0.1}
    yield "l2", penalties.L2, lambda: {"strength": 0.1}
    yield "group-lasso", penalties.GroupLasso, lambda: {"strength": 0.1, "granularity": "unit"}
    yield "stochastic", stochastic.StochasticPruning, lambda: {"sigma": 0.05, "count_nodes": False}
    yield "snip", snip.SNIP, lambda: {"sparsity": plan.one_shot(0.5)}
    yield "rigl", rigl.RigL, lambda: {"sparsity": 0.5, "every": 2, "alpha": 0.3, "scope": "erk"}


def all_doors():
    doors = [
        Door("Tensor", Tensor, lambda: {"data": np.ones((2, 3)), "requires_grad": True}),
        Door("Parameter", nn.Parameter, lambda: {"data": np.ones((2, 3))}),
        Door("cross_entropy", cross_entropy, lambda: {
            "logits": np.ones((4, 3)), "labels": np.arange(4) % 3, "reduction": "mean"}),
        Door("grad", grad, lambda: {"f": lambda x: (x * x).sum()}),
        Door("Linear", nn.Linear, lambda: {
            "n_in": 3, "n_out": 2, "bias": True, "rng": _rng(), "init": "he_normal"}),
        Door("Conv2d", nn.Conv2d, lambda: {
            "c_in": 1, "c_out": 2, "kernel": 3, "stride": 1, "padding": (0, 1), "rng": _rng()}),
        Door("MaxPool2d", nn.MaxPool2d, lambda: {"window": 2, "stride": (2, 2), "padding": 0}),
        Door("Dropout", nn.Dropout, lambda: {"p": 0.5, "rng": _rng()}),
        Door("BatchNorm1d", nn.BatchNorm1d, lambda: {"channels": 5}),
        Door("Sequential", lambda *parts, **at: nn.Sequential(*at.values()), lambda: {
            str(i): part for i, part in enumerate(net())}),
        Door("LeNet300", nn.LeNet300, lambda: {"rng": _rng(), "widths": (3, 2)}),
        Door("SmallCNN", nn.SmallCNN, lambda: {
            "image_shape": (8, 8, 1), "n_classes": 3, "rng": _rng()}),
        Door("Linear.forward", nn.Linear(3, 2, rng=_rng()), lambda: {"x": np.ones((2, 3))}),
        Door("Conv2d.forward", cnn(), lambda: {"x": x()}),
        Door("MaxPool2d.forward", nn.MaxPool2d(2), lambda: {"x": x()}),
        Door("BatchNorm1d.forward", nn.BatchNorm1d(3), lambda: {"x": np.ones((2, 3))}),
        Door("Module.load_state_dict", lambda state: net().load_state_dict(state), lambda: {
            "state": net().state_dict()}),
        Door("Module.to", lambda **a: net().to(**a), lambda: {"dtype": np.float64}),
        Door("record_layers", lambda model: nn.record_layers(model).__enter__(), lambda: {
            "model": net()}),
        Door("a step", _step, lambda: {"model": net(), "x": x(3), "y": np.arange(3)}),
        Door("SGD", optim.SGD, lambda: {
            "params": net(), "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        Door("Adam", optim.Adam, lambda: {
            "params": net(), "lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}),
        Door("AdamW", optim.AdamW, lambda: {"params": net().parameters(), "lr": 0.1}),
        Door("EMA", optim.EMA, lambda: {"model": net(), "decay": 0.9}),
        Door("schedules.step", lambda **a: _schedule(schedules.step, **a), lambda: {
            "milestones": [1, 2], "gamma": 0.1}),
        Door("schedules.exponential", lambda **a: _schedule(schedules.exponential, **a), lambda: {
            "gamma": 0.9}),
        Door("schedules.cosine", lambda **a: _schedule(schedules.cosine, **a), lambda: {
            "epochs": 10, "final": 0.1, "start": 0.0}),
        Door("data.load", data.load, lambda: {"name": "fashion-mnist", "folder": "/nowhere"}),
        Door("data.describe", data.describe, lambda: {"name": "cifar-10", "folder": "/nowhere"}),
        Door("Split", data.Split, lambda: {
            "images": split().images, "labels": split().labels}),
        Door("Split.subset", lambda i: split().subset(i), lambda: {"i": np.arange(3)}),
        Door("Split.split_validation", lambda **a: split().split_validation(**a), lambda: {
            "n": 3, "rng": _rng()}),
        Door("batches", _batches, lambda: {
            "split": split(), "size": 5, "rng": _rng(), "normalize": (0.5, 0.5), "drop_last": True,
            "dtype": np.float32, "start": 0}),
        Door("train", _train, lambda: dict(
            zip(("model", "optimizer"), _with_optimizer(), strict=True), split=split(), epochs=1,
            rng=_rng(), batch_size=6, methods=[], validation=split(5), evaluate_every=1,
            normalize="unit", schedule=schedules.constant())),
        Door("evaluate", evaluate, lambda: {
            "model": net(), "split": split(), "batch_size": 5, "normalize": "unit"}),
        Door("magnitude_mask", magnitude.magnitude_mask, lambda: {
            "model": net(), "density": 0.5, "scope": "layer", "granularity": "weight"}),
        Door("Mask", Mask, lambda: {"entries": {n: p.numpy() > 0 for n, p in net().named_parameters()}}),
        Door("Mask.apply", _mask_apply, lambda: {
            "entries": {n: p.numpy() > 0 for n, p in net().named_parameters()}, "model": net()}),
        Door("one_shot", plan.one_shot, lambda: {"sparsity": 0.5, "at": 0}),
        Door("gradual", plan.gradual, lambda: {"sparsity": 0.5, "start": 0, "end": 2}),
        Door("shrink", sparse.shrink, lambda: {"model": net(), "masks": mask(net())}),
        Door("sparsify", sparse.sparsify, lambda: {"model": net(), "format": "csr"}),
        Door("report", sparse.report, lambda: {
            "model": net(), "masks": mask(net()), "batch": 2, "measure_latency": False}),
        Door("compiled", sparse.compiled, lambda: {"model": net(), "example": x()}),
        Door("sparse.save", _saved, lambda: {"model": net()}),
        Door("sparse.load", sparse.load, lambda: {"path": "/nowhere/model.npz"}),
        Door("checkpoint.save", _checkpointed, lambda: {
            "state": {"a": np.arange(3), "b": [1, 2.0, "c", None], "d": {"e": True}}}),
        Door("checkpoint.load", checkpoint.load, lambda: {"path": "/nowhere/state.npz"}),
        Door("gradcheck", _gradcheck, lambda: {
            "f": np.sin, "x": np.ones((2, 3)), "backward": lambda g, x: g * np.cos(x), "seed": 0}),
    ]  # fmt: skip
    for name, make, good in methods():
        doors.append(Door(f"method {name}", lambda make=make, **a: _method(make, **a), good))
    return doors


def _with_optimizer():
    model = net()
    return model, optim.SGD(model, 0.1)


def _gradcheck(f, x, **more):
    return gradcheck(f, x, **more)
