"""The functions that the README, the chapters and the command line call, each with a good call."""

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chapters
import methods
import numpy as np
from methods import every_method

from minisparse import Tensor, autodiff, checkpoint, data, nn, optim, sparse
from minisparse.autodiff import cross_entropy, grad
from minisparse.gradcheck import gradcheck
from minisparse.optim import schedules
from minisparse.prune import magnitude
from minisparse.prune import schedule as plan
from minisparse.prune.mask import Mask
from minisparse.prune.method import Method
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


class Enough(KeyboardInterrupt):
    """What a person does who has waited long enough."""


class Stop(Method):
    """End a training that somebody has asked to go on for a million epochs."""

    def after_step(self, run):
        if run.step > 20:
            raise Enough


def _train(methods, **arguments):
    methods = [*methods, Stop()] if isinstance(methods, list | tuple) else methods
    return train(progress=False, methods=methods, **arguments)


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


def all_doors():
    doors = [
        Door("Tensor", Tensor, lambda: {"data": np.ones((2, 3)), "requires_grad": True}),
        Door("Parameter", nn.Parameter, lambda: {"data": np.ones((2, 3))}),
        Door("cross_entropy", cross_entropy, lambda: {
            "logits": np.ones((4, 3)), "labels": np.arange(4) % 3, "reduction": "mean"}),
        Door("reshape", lambda x, shape: autodiff.reshape(x, shape), lambda: {
            "x": np.ones((2, 3)), "shape": (3, -1)}),
        Door("transpose", lambda x, axes: autodiff.transpose(x, axes), lambda: {
            "x": np.ones((2, 3)), "axes": (1, 0)}),
        Door("grad", grad, lambda: {"f": lambda x: (x * x).sum()}),
        Door("Linear", nn.Linear, lambda: {
            "n_in": 3, "n_out": 2, "bias": True, "rng": _rng(), "init": "he_normal"}),
        Door("Conv2d", nn.Conv2d, lambda: {
            "c_in": 1, "c_out": 2, "kernel": 3, "stride": 1, "padding": (0, 1), "rng": _rng()}),
        Door("MaxPool2d", nn.MaxPool2d, lambda: {"window": 2, "stride": (2, 2), "padding": 0}),
        Door("Dropout", nn.Dropout, lambda: {"p": 0.5, "rng": _rng()}),
        Door("BatchNorm1d", nn.BatchNorm1d, lambda: {"channels": 5}),
        Door("Sequential", lambda **at: nn.Sequential(*at.values()), lambda: {
            str(i): part for i, part in enumerate(net())}),
        Door("LeNet300", nn.LeNet300, lambda: {"rng": _rng(), "widths": (3, 2)}),
        Door("NormCNN", nn.NormCNN, lambda: {
            "image_shape": (8, 8, 1), "n_classes": 3, "widths": (2, 3, 2, 4), "dropout": 0.5, "rng": _rng()}),
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
        Door("Augmentation", data.Augmentation, lambda: {"shift": 2, "flip": True}),
        Door("Augmentation()", data.Augmentation(2), lambda: {
            "images": split().images, "rng": _rng()}),
        Door("train", _train, lambda: dict(
            zip(("model", "optimizer"), _with_optimizer(), strict=True), split=split(), epochs=1,
            rng=_rng(), batch_size=6, methods=[], validation=split(5), evaluate_every=1,
            normalize="unit", augment=data.Augmentation(1), schedule=schedules.constant())),
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
    doors += [Door(f"autodiff.{f.__name__}", f, good) for f, good in operations()]
    for name, function, good in (*methods.preparations(), *chapters.calls()):
        doors.append(Door(name, function, good))
    for name, case, kind, good in methods.constructors():
        for size in every_method.NETS:
            call = functools.partial(methods.use, case, kind, size)
            doors.append(Door(f"method {name}, {size}", call, good.copy))
    return doors


def operations():
    """Yield the operations of the engine, with good arguments."""
    a, b = np.ones((2, 3)), np.full((2, 3), 2.0)
    for name in ("add", "sub", "mul", "div", "maximum", "minimum", "power"):
        yield getattr(autodiff, name), lambda: {"a": a, "b": b}
    for name in ("exp", "log", "sqrt", "absolute", "relu", "sigmoid", "tanh", "softplus", "softmax", "log_softmax", "neg"):
        yield getattr(autodiff, name), lambda: {"x": a}
    for name in ("sum_", "mean", "max_", "min_", "logsumexp"):
        yield getattr(autodiff, name), lambda: {"x": a, "axis": (0, 1), "keepdims": False}
    yield autodiff.softmax, lambda: {"x": a, "axis": 1}
    yield autodiff.clip, lambda: {"x": a, "lo": 0.5, "hi": 1.5}
    yield autodiff.where, lambda: {"condition": a > 0, "a": a, "b": b}
    yield autodiff.matmul, lambda: {"a": a, "b": b.T}
    yield autodiff.linear, lambda: {"x": a, "w": b.T, "b": np.ones(2)}
    yield autodiff.conv2d, lambda: {
        "x": x(), "w": np.ones((3, 3, 1, 2)), "stride": 1, "padding": (0, 1), "bias": np.ones(2)}
    for name in ("max_pool2d", "avg_pool2d"):
        yield getattr(autodiff, name), lambda: {"x": x(), "window": 2, "stride": (1, 2), "padding": 0}
    yield autodiff.batch_norm, lambda: {"x": a, "gamma": a[0], "beta": b[0], "eps": 1e-5}
    yield autodiff.dropout, lambda: {"x": a, "p": 0.5, "rng": _rng()}
    yield autodiff.mean_squared_error, lambda: {"prediction": a, "target": b}
    yield autodiff.astype, lambda: {"x": a, "dtype": np.float32}
    yield autodiff.broadcast_to, lambda: {"x": a, "shape": (4, 2, 3)}
    yield autodiff.getitem, lambda: {"x": a, "index": (1, slice(0, 2))}
    yield autodiff.flatten, lambda: {"x": a, "start": 1}
    yield autodiff.concatenate, lambda: {"parts": [a, b], "axis": 1}
    yield autodiff.stack, lambda: {"parts": [a, b], "axis": 1}
    yield autodiff.pad, lambda: {"x": a, "width": ((0, 1), (2, 0))}


def _with_optimizer():
    model = net()
    return model, optim.SGD(model, 0.1)


def _gradcheck(f, x, **more):
    return gradcheck(f, x, **more)
