"""What all recipes on image classifiers share: data, model, training call, measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from minisparse.data import Dataset, Split, load
from minisparse.data.batching import Normalization
from minisparse.data.catalogue import SOURCES
from minisparse.experiments.calibration import calibration_error, probabilities
from minisparse.experiments.recipe import Outcome, Progress, Recipe, Work
from minisparse.experiments.recipes.milestones import Milestones
from minisparse.nn import LeNet5, LeNet300, Module, NormCNN, SmallCNN
from minisparse.optim import EMA, SGD, Adam, Optimizer, Schedule
from minisparse.prune.mask import Mask
from minisparse.prune.method import Method
from minisparse.train import Run, evaluate, train

# name -> (shape of an image, generator) -> network
MODELS: dict[str, Callable[..., Module]] = {
    "lenet300": lambda _, rng, **widths: LeNet300(rng=rng, **widths),
    "lenet5": lambda _, rng: LeNet5(rng=rng),
    "small-cnn": lambda shape, rng: SmallCNN(shape, rng=rng),
    "small-cnn-dropout": lambda shape, rng: SmallCNN(shape, dropout=0.5, rng=rng),
    "small-cnn-norm": lambda shape, rng: SmallCNN(shape, batch_norm=True, rng=rng),
    "norm-cnn": lambda shape, rng, **own: NormCNN(shape, rng=rng, **own),
}
WIDTHS = ("lenet300", "norm-cnn")  # those whose widths are settings
_VALIDATION_SEED = 20_000  # the held-out images are the same for every seed of a run


@dataclass(frozen=True)
class Classifier(Recipe):
    """Settings that all recipes on image classifiers have.

    Parameters
    ----------
    model : str
        A name in `MODELS`.
    dataset : str
        A name that `minisparse.data.load` knows.
    optimizer : {"sgd", "adam"}
    lr, momentum, weight_decay : float
        Of the optimizer; Adam takes no momentum here.
    batch_size : int
    average : float
        Decay of the moving average of weights that is measured; 0 measures the weights.
    images : int or None
        Train on the first so many training images of a random order only; None for all.
    hold_out : int
        Keep so many training images apart and measure on them instead of the test images: for
        choosing settings.  0 trains on all and opens the test set, once.
    inputs : tuple of float
        Mean and standard deviation that pixels in [0, 1] are normalized by; empty for none.
    widths : tuple of int
        Hidden units of "lenet300", filters and hidden units of "norm-cnn"; empty for what is usual.
    """

    model: str = "lenet300"
    dataset: str = "mnist"
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 100
    average: float = 0.0
    images: int | None = None
    hold_out: int = 0
    inputs: tuple[float, ...] = ()
    widths: tuple[int, ...] = ()

    def total_epochs(self) -> int:
        """Return how many epochs the whole recipe takes."""
        raise NotImplementedError

    def work(self) -> dict[Work, float]:
        """Return the steps of training; a recipe whose steps cost more says so."""
        return self.steps({"dense": self.total_epochs()})

    def steps(self, epochs: Mapping[str, float], **more: Any) -> dict[Work, float]:
        """Return the steps of each kind, given its epochs; `more` are fields of `Work`."""
        source = SOURCES[self.dataset]
        images = min(self.images or source.n_train, source.n_train - self.hold_out)
        a_pass = math.ceil(images / self.batch_size) * self.batch_size / 100
        height, width, channels = source.image_shape
        plain = Work(
            self.model, "dense", (height, width, channels), self.optimizer, widths=self.widths
        )
        return {
            plain if kind == "dense" else replace(plain, method=kind, **more): n * a_pass
            for kind, n in epochs.items()
            if n
        }

    def network(self) -> dict[str, Any]:
        """Return what the network is built with, beside the shape of the images."""
        return {"widths": self.widths} if self.widths else {}

    def reduced(self, **settings: Any) -> Self:
        """Return the recipe with fewer images, 6,000, and other settings as given."""
        return replace(self, images=6000, **settings)


class Session:
    """One run of a recipe: the objects it needs, and its place in the whole for the progress bar.

    Parameters
    ----------
    recipe : Classifier
    seed : int
    checkpoint : Path
        Each training phase of the run keeps its state beside it.
    progress : callable

    Attributes
    ----------
    training, measured : Split
        Images to train on and to measure on.
    spare : Split or None
        Those that `recipe.images` leaves over.
    normalize : "unit" or (float, float)
        As `minisparse.train.train` takes it.
    """

    def __init__(self, recipe: Classifier, seed: int, checkpoint: Path, progress: Progress) -> None:
        if recipe.model not in MODELS:
            raise ValueError(f"unknown model {recipe.model!r}; there are {', '.join(MODELS)}")
        self.recipe, self.progress = recipe, progress
        self.checkpoint, self.phases = checkpoint, 0
        self.done, self.total = 0, recipe.total_epochs()
        data: Dataset = load(recipe.dataset)
        self.training, self.measured, self.spare = _splits(data, recipe, seed)
        self.rng = np.random.default_rng(seed)
        self.normalize: Normalization = "unit"
        if recipe.inputs:
            mean, sd = recipe.inputs
            self.normalize = (mean, sd)
        if recipe.widths and recipe.model not in WIDTHS:
            raise ValueError(f"{recipe.model} has its own widths, got {recipe.widths}")
        shape = data.train.images.shape[1:]
        self.model = MODELS[recipe.model](shape, self.rng, **recipe.network())
        self.history: list[dict[str, Any]] = []
        self.seed = seed

    def train(
        self,
        epochs: int,
        methods: Sequence[Method] = (),
        schedule: Schedule | None = None,
    ) -> Run:
        """Train for some epochs with a fresh optimizer; at the end the model has the result.

        A finished phase of an interrupted run is read back, not trained again.
        """
        recipe = self.recipe
        optimizer = self._optimizer()
        average = EMA(self.model, recipe.average) if recipe.average else None

        def tell(run: Run) -> None:
            error = run.history[-1]["train_error"]
            self.progress(
                (self.done + run.epoch) / self.total,
                f"epoch {self.done + run.epoch}/{self.total}, training error {error:.2f} %",
            )

        run = train(
            self.model,
            self.training,
            optimizer,
            epochs=epochs,
            rng=self.rng,
            batch_size=recipe.batch_size,
            methods=methods,
            schedule=schedule,
            average=average,
            normalize=self.normalize,
            checkpoint=self._file(self.phases),
            tag=f"{recipe.key(self.seed)}, phase {self.phases}",
            progress=tell,
        )
        self.phases += 1
        self.done += epochs
        first = len(self.history)
        self.history += [line | {"epoch": first + line["epoch"]} for line in run.history]
        if average is not None:
            for p, a in zip(self.model.parameters(), average.average(), strict=True):
                with p.writing() as w:
                    w[...] = a
            for method in methods:  # the average remembers what was removed within its window
                if not isinstance(method, Milestones):
                    method.mask().apply(self.model)
        return run

    def _optimizer(self) -> Optimizer:
        r = self.recipe
        if r.optimizer == "sgd":
            return SGD(self.model, r.lr, momentum=r.momentum, weight_decay=r.weight_decay)
        if r.optimizer == "adam" and not r.momentum:
            return Adam(self.model, r.lr, weight_decay=r.weight_decay)
        raise ValueError(
            f'the optimizer is "sgd", or "adam" without momentum, got {r.optimizer!r} with '
            f"momentum {r.momentum}"
        )

    def outcome(
        self, mask: Mask | None = None, *, model: Module | None = None, **rest: Any
    ) -> Outcome:
        """Measure the model, or another, as it is now.

        `mask` is checked to be what the weights say.  The outcome's extra has "ece", how far the
        network's sureness is from its success.
        """
        model = self.model if model is None else model
        if mask is not None:
            alive = Mask.of_nonzeros(model, list(mask))
            for name, kept in mask.items():
                if (alive[name] & ~kept).any():
                    raise RuntimeError(f"removed weights of '{name}' are not zero")
        result = evaluate(model, self.measured, normalize=self.normalize)
        p = probabilities(model, self.measured, normalize=self.normalize)
        rest["extra"] = {"ece": calibration_error(p, self.measured.labels), **rest.get("extra", {})}
        return Outcome.of(model, error=result.error_percent, loss=result.loss, **rest)

    def close(self) -> None:
        """Delete the state of the phases, once the outcome is known."""
        for i in range(self.phases):
            self._file(i).unlink(missing_ok=True)

    def _file(self, phase: int) -> Path:
        return self.checkpoint.with_name(f"{self.checkpoint.name}.phase{phase}.npz")


def by_layer(what: str, values: tuple[float, ...], layers: Sequence[str]) -> dict[str, float]:
    """Give each layer its value: there is one for all, or one for each."""
    if len(values) not in (1, len(layers)):
        raise ValueError(f"{what} is one number or one for each of {[*layers]}, got {values}")
    return dict(zip(layers, values * len(layers) if len(values) == 1 else values, strict=True))


@dataclass(frozen=True)
class Ramp:
    """A value that rises linearly from 0 at epoch `start` to `final` after `length` epochs."""

    start: float
    length: float
    final: float

    def __call__(self, t: float) -> float:
        """Return the value when `t` epochs are done."""
        return self.final * min(1.0, max(0.0, (t - self.start) / self.length))


def _splits(data: Dataset, recipe: Classifier, seed: int) -> tuple[Split, Split, Split | None]:
    """Return the images to train on, to measure on, and those that are in neither."""
    training, measured = data.train, data.test
    if recipe.hold_out:
        apart = np.random.default_rng(_VALIDATION_SEED)
        training, measured = training.split_validation(recipe.hold_out, apart)
    if recipe.images is None:
        return training, measured, None
    order = np.random.default_rng(seed).permutation(len(training))
    chosen, left = np.sort(order[: recipe.images]), np.sort(order[recipe.images :])
    return training.subset(chosen), measured, training.subset(left) if left.size else None
