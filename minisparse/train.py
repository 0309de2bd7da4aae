"""The one training loop, and the evaluation of a classifier.

A step, with four of the hooks of `minisparse.prune.method.Method` in capitals:

    x, y     the next batch, normalized, and then augmented
    logits   model(x)
             BEFORE_LOSS, which may return penalties
    L        loss(logits, y) + penalties
    p.grad   dL/dp by the backward pass;  stop if L is NaN or infinite
             AFTER_BACKWARD
    p        optimizer step
             AFTER_STEP: masks act here
    average  takes in the new weights

and when every image was seen once: AFTER_EPOCH, evaluation, a line of history, a checkpoint.

The loop knows training images and, if asked, validation images; test images are for `evaluate`,
once, when the training is over.
"""

from __future__ import annotations

import copy
import math
import operator
import os
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np

from .arrays import array_module
from .autodiff import Tensor, cross_entropy, no_grad
from .checkpoint import CheckpointError, RunFile, State, describe, plain
from .data import Split, batches
from .data.batching import Augment, Normalization
from .doors import door
from .evaluation import Evaluation, Loss, count_wrong, home, in_mode, measure
from .interrupt import deferred_signals
from .nn import BatchNorm1d, Module, Parameter, record_layers
from .nn.batchnorm import BatchNorm
from .nn.module import observe
from .one_step import OneStep
from .optim import EMA, Optimizer, Schedule
from .optim.schedules import planned_until
from .progress import Progress, Silence
from .prune.method import Method, Run


class NonFiniteError(FloatingPointError):
    """The loss, or a parameter, became NaN or infinite.

    Attributes
    ----------
    run : Run or None
        The run up to there, with its history.
    """

    run: Run | None = None


# ---- evaluation -------------------------------------------------------------------------------


@door
def evaluate(
    model: Module,
    split: Split,
    batch_size: int = 1000,
    normalize: Normalization = "unit",
    *,
    loss: Loss = cross_entropy,
) -> Evaluation:
    """Evaluate a classifier, in evaluation mode; every module has its own mode back afterwards.

    Parameters
    ----------
    model : Module
        From images [n, height, width, channels] to logits [n, classes].
    split : Split
    batch_size : int
        Images at a time; changes the result by rounding only.
    normalize : "unit" or (mean, std)
        As in training; see `minisparse.data.batches`.
    loss : function of (logits, labels)
        The mean over a batch.

    Raises
    ------
    NonFiniteError
        The loss is NaN or infinite.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> split = Split(np.zeros((4, 28, 28, 1), np.uint8), np.array([0, 1, 2, 0]))
    >>> evaluate(LeNet300(rng=np.random.default_rng(0)), split)  # all logits 0: class 0
    Evaluation(loss=2.302585..., error_percent=50.0, n=4)
    """
    _split(split, "split")
    found = measure(model, split, batch_size, normalize, loss=loss)
    if not math.isfinite(found.loss):
        raise NonFiniteError(f"the loss of {type(model).__name__} on {split!r} is {found.loss}")
    return found


# ---- training ---------------------------------------------------------------------------------


@door
def train(
    model: Module,
    split: Split,
    optimizer: Optimizer,
    *,
    epochs: int,
    rng: np.random.Generator,
    batch_size: int = 100,
    methods: Iterable[Method] = (),
    loss: Loss = cross_entropy,
    schedule: Schedule | None = None,
    validation: Split | None = None,
    evaluate_every: int = 1,
    average: EMA | None = None,
    normalize: Normalization = "unit",
    augment: Augment | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 30.0,
    tag: str = "",
    progress: bool | Callable[[Run], object] = True,
) -> Run:
    """Train a classifier; the order of things is at the top of this file.

    With a `checkpoint`, a run that was ended by anything at all, ``kill -9`` included, goes on
    where it was when the same call is made again, and ends with the same bits as a run that was
    never disturbed.  The call of a completed run returns at once.

    Ctrl-C and SIGTERM take effect between two steps, after a checkpoint; a second one at once.

    Parameters
    ----------
    model : Module
        Changed in place.
    split : Split
        The images to train on, e.g. ``load("mnist").train``.
    optimizer : Optimizer
        Its ``lr`` is what `schedule` multiplies, and has its old value again in the end.
    epochs : int
        Passes over the images, each in a new order.  The last batch may be smaller.
    rng : numpy.random.Generator
        The only source of chance: orders, and everything that dropout layers and methods draw,
        which must have been given the same object.
    batch_size : int
    methods : sequence of Method
        Their hooks are called in this order.
    loss : function of (logits, labels)
        The mean over a batch.
    schedule : function of the time in epochs, from 0 to `epochs`
        Returns the factor of the learning rate; see `minisparse.optim.schedules`.
    validation : Split, optional
        Evaluated after every `evaluate_every`-th epoch and the last one, on the averaged weights
        if there is an `average`.
    average : EMA, optional
        Updated after every step.  The model itself keeps its own weights.
    normalize : "unit" or (mean, std)
        See `minisparse.data.batches`.
    augment : function of (images, rng), optional
        Called at every step with the normalized batch, before it goes to the model's device, and
        returns what is trained on in its place; e.g. `minisparse.data.Augmentation`.  What that moves
        in from outside of an image is then 0 for the network: the mean of the images, if they were
        normalized by it, and no black frame.
    checkpoint : path, optional
        File for the state of the run: written at the start, after every epoch, and within an
        epoch every `checkpoint_seconds`.  One that is there is taken up if it was made with the
        same settings: those of this call, and the constructor arguments that model, optimizer and
        methods keep.
    tag : str
        Settings that can not be seen from these, e.g. the seed.
    progress : bool or function
        True shows lines on standard error, with a bar if that is a terminal; a function is called
        with the run after every epoch.

    Raises
    ------
    NonFiniteError
        The loss became NaN or infinite.
    CheckpointError
        The file cannot be written, is damaged, or belongs to another run.  Nothing was changed
        then, unless it is the very last write that failed: the run is complete, and attached.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> from minisparse.optim import SGD
    >>> rng = np.random.default_rng(0)
    >>> split = Split(rng.integers(0, 256, (200, 28, 28, 1), np.uint8), np.arange(200) % 10)
    >>> model = LeNet300(rng=rng)
    >>> run = train(model, split, SGD(model, lr=0.1), epochs=2, rng=rng, progress=False)
    >>> run.step, [line["epoch"] for line in run.history]
    (4, [1, 2])
    """
    run = Run(
        model, optimizer, rng, tuple(methods), _split(split, "split"), operator.index(epochs),
        operator.index(batch_size), normalize, loss, average,
    )  # fmt: skip
    _check(run, validation, evaluate_every, schedule)
    if augment is not None and not callable(augment):
        raise TypeError(f"augment is a function of (images, rng), got {augment!r}")
    file = None
    if checkpoint is not None:
        _check_generators(run, augment)
        settings = {
            "tag": tag,
            "epochs": run.epochs,
            "batch_size": batch_size,
            "normalize": plain(normalize),
            "loss": plain(loss),
            "schedule": plain(schedule),
            "train": _fingerprint(split),
            "validation": None if validation is None else _fingerprint(validation),
            "evaluate_every": evaluate_every,
        }
        if augment is not None:  # files of runs without go on as they are
            settings["augment"] = plain(augment)
        file = RunFile(checkpoint, settings | _describe(run), checkpoint_seconds)
    base_lr = optimizer.lr
    _begin(run, file)

    total = run.epochs * run.steps_per_epoch
    display = Progress(total, run.step) if progress is True else Silence()
    if run.step:
        display.line(f"resumed at step {run.step} of {total}")
    clock = time.monotonic() - run.seconds
    xp, dtype = home(model)
    take_step = step_function(run)
    # Overflow and NaN stop the run with the step and the parameter; warnings would add nothing.
    quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
    try:
        with in_mode(model, training=True), deferred_signals() as signals, quiet:
            while run.epoch < run.epochs:
                order, start = _order(run, len(split))
                for x, y in batches(
                    split, batch_size, normalize=normalize, dtype=dtype, order=order, start=start
                ):
                    if schedule is not None:
                        optimizer.lr = base_lr * schedule(run.finished)
                    if augment is not None:
                        x = augment(x, rng)
                    take_step(xp.asarray(x), xp.asarray(y))
                    run.seconds = time.monotonic() - clock
                    display.advance(run.glance)
                    if file is not None and (signals.caught or file.due()):
                        _write(run, file)
                    signals.deliver()

                run.time = run.finished
                for method in run.methods:
                    method.after_epoch(run)
                _require_finite_parameters(run)
                evaluation = None
                if validation is not None and (
                    (run.epoch + 1) % evaluate_every == 0 or run.epoch + 1 == run.epochs
                ):
                    with nullcontext() if average is None else average.applied():
                        evaluation = evaluate(model, validation, normalize=normalize, loss=loss)
                run.seconds = time.monotonic() - clock
                run.close_epoch(evaluation)
                display.line(_line(run.history[-1], run.epochs))
                if callable(progress):
                    progress(run)
                if file is not None:
                    _write(run, file)
                signals.deliver()
    except NonFiniteError as error:
        error.run = run
        raise
    finally:
        display.close()
        if schedule is not None:
            optimizer.lr = base_lr
    return run


def step_function(run: Run) -> Callable[[Any, Any], None]:
    """Return the function that takes one step, without a glance at hooks that nobody overrides."""
    model, optimizer, average = run.model, run.optimizer, run.average
    loss = run.loss_function
    before_loss = _hooks(run.methods, "before_loss")
    after_backward = _hooks(run.methods, "after_backward")
    after_step = _hooks(run.methods, "after_step")
    readers = [m for m in run.methods if m.reads_chain]
    wants_layers = any(method.wants_layers for method in run.methods)
    parameters = [p for _, p in _parameters(run)]
    others = [m for m in run.methods if not m.reads_chain]
    recorded = (
        loss is not cross_entropy
        or bool(_hooks(others, "before_loss"))
        or any(m.wants_layers for m in others)
    )
    in_one_call = OneStep(model, parameters)

    def there_and_back() -> tuple[Tensor, Tensor | None]:
        if wants_layers:
            with record_layers(model) as run.layers:
                run.logits = model(run.x)
        else:
            run.logits = model(run.x)

        penalty = None
        for hook in before_loss:
            term = hook(run)
            if term is not None:
                penalty = term if penalty is None else penalty + term
        data_loss = loss(run.logits, run.y)
        run.loss = data_loss if penalty is None else data_loss + penalty

        for p in parameters:
            p.grad = None
        run.loss.backward()
        return data_loss, penalty

    def step(x: Any, y: Any) -> None:
        vars(run).pop("loss", None)  # the one of the step before would be mistaken for the present
        run.x, run.y, run.time = Tensor(x), y, run.finished
        run.chain = None  # its memory can be used again
        found = None if recorded else in_one_call(x, y, layers=bool(readers))
        run.chain = None if found is None else in_one_call.chain
        if found is None:
            data_loss, penalty = there_and_back()
            wrong = count_wrong(run.logits, y)
        else:
            (data_loss, run.logits, wrong), penalty = found, None
            run.loss = data_loss
        if not math.isfinite(run.loss.item()):
            raise _diverged(run)
        if run.chain is not None:
            for method in readers:
                method.before_loss(run)
        for hook in after_backward:
            hook(run)
        if found is None:
            optimizer.step()
        else:
            in_one_call.update(optimizer)
        run.step += 1
        for hook in after_step:
            hook(run)
        if average is not None:
            average.update()

        totals = run.totals
        totals.images += len(y)
        totals.loss += data_loss.item() * len(y)
        totals.wrong += wrong
        if penalty is not None:
            totals.penalty = (totals.penalty or 0.0) + penalty.item() * len(y)

    return step


def _hooks(methods: Sequence[Method], name: str) -> list[Callable[[Run], Any]]:
    return [
        getattr(m, name) for m in methods if getattr(type(m), name) is not getattr(Method, name)
    ]


def _order(run: Run, n: int) -> tuple[np.ndarray, int]:
    """Return the order of the images in this epoch, and how many batches of it are done."""
    start = run.step - run.epoch * run.steps_per_epoch
    now = run.rng.bit_generator.state
    if start == 0:
        run.epoch_rng = now
        return run.rng.permutation(n), 0
    run.rng.bit_generator.state = run.epoch_rng  # draw the same order again, and come back
    order = run.rng.permutation(n)
    run.rng.bit_generator.state = now
    return order, start


# ---- beginning and going on -------------------------------------------------------------------


def _begin(run: Run, file: RunFile | None) -> None:
    """Attach the methods; then take up the saved run, or save the beginning of this one."""
    saved = None
    if file is not None:
        saved = file.read()  # before anything is changed
    for method in run.methods:
        method.attach(run.model, run.optimizer, run.rng)
        _tell_too_late(type(method).__name__, method.planned_until(), run.epochs)
    if saved is None:
        for method in run.methods:
            method.begin(run)
        if file is not None:
            file.write(run.state_dict())
        return
    assert file is not None  # a saved run comes from a file
    before = copy.deepcopy(run.state_dict())
    try:
        run.load_state_dict(saved)
    except Exception as error:
        run.load_state_dict(before)
        raise CheckpointError(
            f"{file.path} does not fit this run ({type(error).__name__}: {error}). "
            "Give another path, or delete it to start from the beginning"
        ) from error


def _tell_too_late(what: str, until: float, epochs: int) -> None:
    if until > epochs:
        warnings.warn(
            f"{what} is set to act until epoch {until:g}, but the run ends after {epochs}: what is due "
            "later will not happen",
            RuntimeWarning,
            stacklevel=5,
        )


def _write(run: Run, file: RunFile) -> None:
    """Write a checkpoint; a failure ends the run only if there is no later chance."""
    _require_finite_parameters(run)
    try:
        file.write(run.state_dict())
    except CheckpointError as error:
        if run.epoch == run.epochs:
            error.run = run
            error.add_note("The run is complete; it is in the attribute `run` of this exception.")
            raise
        warnings.warn(f"{error}; the run goes on", RuntimeWarning, stacklevel=4)


def _fingerprint(split: Split) -> str:
    """Recognise a split by its size and a checksum of images and labels."""
    return f"{split!r}, checksum {split.checksum():08x}"


def _describe(run: Run) -> State:
    """Collect the settings that model, optimizer, methods and average keep."""
    return {
        "model": {name or "itself": describe(m) for name, m in run.model.named_modules()},
        "parameters": {name: f"{p.dtype}{list(p.shape)}" for name, p in _parameters(run)},
        "optimizer": describe(run.optimizer),
        "methods": {str(i): describe(m) for i, m in enumerate(run.methods)},
        "average": None if run.average is None else describe(run.average),
    }


# ---- checks -----------------------------------------------------------------------------------


def _check(
    run: Run, validation: Split | None, evaluate_every: int, schedule: Schedule | None
) -> None:
    if validation is not None:
        _split(validation, "validation")
    if not isinstance(run.rng, np.random.Generator):
        raise TypeError(f"rng must be a Generator (np.random.default_rng(seed)), got {run.rng!r}")
    if run.epochs < 0 or evaluate_every < 1:
        raise ValueError(
            f"expected epochs >= 0 and evaluate_every >= 1, got {run.epochs} and {evaluate_every}"
        )
    for method in run.methods:
        if not isinstance(method, Method):
            raise TypeError(f"methods must be Method objects, got {method!r}")
    if run.average is not None and run.average.model is not run.model:
        raise ValueError("the average belongs to another model")
    _tell_too_late("the learning rate's schedule", planned_until(schedule), run.epochs)
    _check_optimizer(run)
    if len(run.split) - (run.steps_per_epoch - 1) * run.batch_size == 1:
        _check_batch_of_one(run)


def _check_optimizer(run: Run) -> None:
    """Tell of an optimizer that was made for other parameters, before a training changes nothing."""
    moved = {id(p) for _, p in run.optimizer.params}
    still = [name for name, p in run.model.named_parameters() if id(p) not in moved]
    strange = len(moved) + len(still) - len(run.model.parameters())
    if still and strange == len(moved) and not run.methods:  # a method may move what is its own
        raise ValueError(
            "the optimizer has none of the model's parameters, and would train something else: make "
            "it for this model, after the model's last change"
        )
    if still and strange:
        warnings.warn(
            f"the optimizer does not have '{still[0]}', but {strange} parameters that are not in the "
            "model: if a layer was replaced, make the optimizer afterwards",
            RuntimeWarning,
            stacklevel=5,
        )


def _check_batch_of_one(run: Run) -> None:
    """Tell of a batch norm to which the last batch, of one image, gives one value per channel."""
    names = {m: name for name, m in run.model.named_modules() if isinstance(m, BatchNorm)}
    alone = [name for m, name in names.items() if isinstance(m, BatchNorm1d)]

    def look(module: Module, x: Any, _: Any) -> None:
        if module in names and x.size == x.shape[-1]:
            alone.append(names[module])

    if names and not alone:
        xp, dtype = home(run.model)
        image, _ = next(batches(run.split, 1, normalize=run.normalize, dtype=dtype))
        drawn = run.rng.bit_generator.state
        # What fails here fails in the first step, where it is told.
        with suppress(Exception), in_mode(run.model, training=False), no_grad(), observe(look):
            run.model(xp.asarray(image))
        run.rng.bit_generator.state = drawn
    if alone:
        raise ValueError(
            f"with batch_size={run.batch_size} the last batch of {len(run.split)} images has one, of "
            f"which batch norm '{alone[0]}' cannot take a variance: choose a batch_size that leaves "
            "two or more, or train on one image less"
        )


def _check_generators(run: Run, augment: Augment | None) -> None:
    for thing in (*run.model.modules(), *run.methods, augment):
        for name, value in getattr(thing, "__dict__", {}).items():
            if isinstance(value, np.random.Generator) and value is not run.rng:
                raise ValueError(
                    f"{type(thing).__name__}.{name} is another Generator than the run's rng, so "
                    "the run could not be resumed: give all of them the same object"
                )


def _split(value: object, what: str) -> Split:
    if not isinstance(value, Split):
        raise TypeError(
            f'{what} must be a Split, e.g. load("mnist").train, got {type(value).__name__}'
        )
    return value


def _diverged(run: Run) -> NonFiniteError:
    """Say where a loss that is NaN or infinite comes from."""
    return NonFiniteError(
        f"the loss is {run.loss.item()} at step {run.step + 1} ({run.position()}). "
        f"First parameter affected: {_first_affected(run, gradients=True) or 'none'}. "
        "The parameters are those before this step. A smaller learning rate is the usual remedy"
    )


def _require_finite_parameters(run: Run) -> None:
    """Refuse to end an epoch, or to overwrite a good checkpoint, with NaN."""
    affected = _first_affected(run, gradients=False)
    if affected:
        raise NonFiniteError(
            f"after step {run.step} ({run.position()}) a parameter is NaN or infinite: {affected}"
        )


def _first_affected(run: Run, gradients: bool) -> str:
    """Name the first parameter that is not finite, else the first whose gradient is not."""
    parameters = _parameters(run)
    candidates = [(name, p.array) for name, p in parameters]
    if gradients:
        candidates += [
            (f"the gradient of {name}", p.grad.array)
            for name, p in parameters
            if p.grad is not None
        ]
    for name, array in candidates:
        finite = int(array_module(array).isfinite(array).sum())
        if finite < array.size:
            return f"{name} ({array.size - finite} of {array.size} entries)"
    return ""


def _parameters(run: Run) -> list[tuple[str, Parameter]]:
    """Return the parameters of the model, then those that only the optimizer has."""
    named = list(run.model.named_parameters())
    known = {id(p) for _, p in named}
    return named + [(name, p) for name, p in run.optimizer.params if id(p) not in known]


# ---- small things -----------------------------------------------------------------------------


def _line(record: dict[str, Any], epochs: int) -> str:
    """Format a record of the history for people."""
    parts = [f"epoch {record['epoch']:{len(str(epochs))}}/{epochs}"]
    for key, value in record.items():
        number = f"{value:.4g}" if isinstance(value, float) else f"{value}"
        if key == "seconds":
            parts.append(f"{value:.1f} s")
        elif key != "epoch":
            parts.append(f"{key.replace('_', ' ')} {number}" + " %" * key.endswith("error"))
    return "  ".join(parts)


__all__ = ["Evaluation", "NonFiniteError", "Run", "evaluate", "train"]
