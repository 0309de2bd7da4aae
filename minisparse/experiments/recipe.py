"""What a run is asked and what it answers: a recipe and a seed go in, an outcome comes out."""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Self

Convention = Literal["weights", "all"]
Progress = Callable[[float, str], None]  # fraction done in [0, 1], what to show beside it


@dataclass(frozen=True)
class Outcome:
    """What one network is worth.

    Parameters
    ----------
    error : float
        Percent of the test images that are misclassified, after the last epoch.
    loss : float
        Mean test loss.
    kept, total : mapping of parameter name to int
        Nonzero and all entries of each parameter, biases included.
    history : sequence of dict
        One per epoch.
    extra : mapping
        Anything else worth keeping; a "train_error" here is that of the network itself, where the
        history has another.
    points : mapping of name to Outcome
        Other operating points that the same run went through, such as those of an iterative
        pruning. A row of an experiment names the one it shows.

    Raises
    ------
    ValueError
        Not a percentage, not finite, or counts that cannot be.
    """

    error: float
    loss: float
    kept: Mapping[str, int]
    total: Mapping[str, int]
    history: Sequence[Mapping[str, Any]] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    points: Mapping[str, "Outcome"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.error <= 100:
            raise ValueError(f"error must be a percentage, 0 to 100, got {self.error}")
        if not math.isfinite(self.loss):
            raise ValueError(f"the loss is {self.loss}: training diverged")
        if not self.total or self.kept.keys() != self.total.keys():
            raise ValueError(
                "kept and total must count the same parameters, "
                f"got {sorted(self.kept)} and {sorted(self.total)}"
            )
        for name, total in self.total.items():
            if not 0 <= self.kept[name] <= total:
                raise ValueError(f"{name}: {self.kept[name]} entries kept of {total}")
        if not any(kept for name, kept in self.kept.items() if is_weight(name)):
            raise ValueError("no weight is left: the network is pruned away")

    @classmethod
    def of(cls, model: Any, *, error: float, loss: float, **rest: Any) -> Self:
        """Build an outcome with the counts taken from a model.

        Parameters
        ----------
        model : minisparse.nn.Module
            Pruned entries are exact zeros.
        error, loss, rest
            As for `Outcome`.
        """
        import numpy as np

        arrays = {name: p.numpy() for name, p in model.named_parameters()}
        kept = {name: int(np.count_nonzero(a)) for name, a in arrays.items()}
        total = {name: a.size for name, a in arrays.items()}
        return cls(error=error, loss=loss, kept=kept, total=total, **rest)

    def compression(self, convention: Convention = "all") -> float:
        """Return parameters / nonzero parameters.

        Parameters
        ----------
        convention : "all" or "weights"
            Count all parameters, or leave out the biases.
        """
        names = [n for n in self.total if convention == "all" or is_weight(n)]
        return sum(self.total[n] for n in names) / sum(self.kept[n] for n in names)


def is_weight(name: str) -> bool:
    """Tell a weight from a bias by the name of the parameter: ``fc1.weight``."""
    return name.rpartition(".")[2] == "weight"


@dataclass(frozen=True)
class Work:
    """A kind of training step, as far as its time depends on it.

    Attributes
    ----------
    model : str
    method : str
        What is done besides: "unspecific" or "specific" sensitivity, "gates", "zeroing", a method of
        `minisparse.experiments.recipes.bayesian`; "dense" for nothing that takes time.
    image : tuple of int
        Height, width and channels.
    optimizer : {"sgd", "adam"}
    form : str
    examples : int, optional
        Of the sensitivity; see `minisparse.prune.sensitivity.SensitivityPruning`.
    widths : tuple of int
        Of the network; its usual ones if empty.
    """

    model: str
    method: str
    image: tuple[int, int, int] = (28, 28, 1)
    optimizer: str = "sgd"
    form: str = "per-sample"
    examples: int | None = None
    widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("image", "widths"):  # lists, if it was read from a file
            object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True)
class Recipe(ABC):
    """A kind of training; a subclass is a frozen dataclass whose fields are the settings.

    Settings are numbers, strings, booleans, None, tuples of them, or other recipes. A run is known
    by the settings that differ from their defaults, so a new setting with a default keeps the
    runs that exist; a default that changes does not go unnoticed, since a run stores them all.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Guess(Recipe):
    ...     classes: int = 10
    ...     epochs: int = 0
    ...     def run(self, seed, *, checkpoint, progress):
    ...         return Outcome(100 - 100 / self.classes, 0.0, {"weight": 1}, {"weight": 1})
    ...     def quick(self):
    ...         return Guess(classes=2)
    >>> Guess(classes=4).changed()
    {'classes': 4}
    >>> Guess(epochs=0).key(seed=0) == Guess().key(seed=0) != Guess().key(seed=1)
    True
    """

    @abstractmethod
    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure.

        Parameters
        ----------
        seed : int
            Of the one generator of this run: ``np.random.default_rng(seed)``.
        checkpoint : Path
            Where to keep the state of an unfinished run, ``KEY.ckpt.npz``; more files may stand
            beside it if their names begin like its own. If there is one, go on from it. Whoever
            called `run` removes them all.
        progress : callable
            Call ``progress(fraction, note)`` now and then: how much is done, in [0, 1], and what
            to show beside it, such as "epoch 3/20, error 2.1 %".
        """

    @abstractmethod
    def quick(self) -> "Recipe":
        """Return a reduced version that takes seconds; it differs in its settings."""

    def work(self) -> Mapping[Work, float]:
        """Return how many steps of each kind a run takes, each on 100 examples.

        Empty if that is not known, or much time goes into something else.
        """
        return {}

    def epoch_of(self, point: str | None) -> int | None:  # noqa: ARG002
        """Return after which epoch of the history a point of the outcome was measured.

        None is the last one; a recipe that measures in between says so.
        """
        return None

    def settings(self) -> dict[str, Any]:
        """Return every setting, and the recipe's name as "recipe"."""
        values = {f.name: _plain_setting(getattr(self, f.name)) for f in fields(self)}
        return {"recipe": type(self).__name__, **values}

    def changed(self) -> dict[str, Any]:
        """Return the settings that differ from their defaults."""
        return {
            f.name: _plain_setting(getattr(self, f.name), changed=True)
            for f in fields(self)
            if getattr(self, f.name) != _default(f)
        }

    def key(self, seed: int) -> str:
        """Return the name of a run: 16 hex digits of a SHA-256."""
        what = {"recipe": type(self).__name__, "settings": self.changed(), "seed": seed}
        canonical = json.dumps(what, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _default(setting: "Field[Any]") -> Any:
    if setting.default_factory is not MISSING:
        return setting.default_factory()
    return setting.default  # MISSING, which equals nothing else, where there is none


def _plain_setting(value: Any, *, changed: bool = False) -> Any:
    """Turn a setting into what JSON can hold; 1.0 and 1 are the same setting."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a setting must be finite, got {value}")
        return int(value) if value.is_integer() else value
    if isinstance(value, tuple):
        return [_plain_setting(item, changed=changed) for item in value]
    if isinstance(value, Recipe) and is_dataclass(value):
        return {"recipe": type(value).__name__, **value.changed()} if changed else value.settings()
    raise TypeError(
        "a setting must be a number, a string, a boolean, None, a tuple of them or a recipe, "
        f"got {type(value).__name__}"
    )
