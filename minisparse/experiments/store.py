"""A run as a file: ``<key>.json``, written whole or not at all."""

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minisparse.experiments.recipe import Outcome, Recipe

FORMAT = 1


class ResultsError(OSError):
    """A result could not be written."""


@dataclass(frozen=True)
class StoredRun:
    """A finished run, as it stands in its file."""

    key: str
    outcome: Outcome
    environment: Mapping[str, Any]
    wall_time_s: float
    resumed: bool


class Store:
    """The runs of one folder.

    Parameters
    ----------
    folder : Path
        Made, if need be, when the first run is written.
    tell : callable
        Called with a warning when a file is not what it should be.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self.folder = folder
        self.tell = tell

    def path(self, key: str) -> Path:
        """Return the file of a finished run."""
        return self.folder / f"{key}.json"

    def checkpoint(self, key: str) -> Path:
        """Return the file of an unfinished run; it may keep others beside it, see `Recipe.run`."""
        return self.folder / f"{key}.ckpt.npz"

    def checkpoints(self, key: str) -> list[Path]:
        """Return the files that an unfinished run has left."""
        return sorted(self.folder.glob(f"{key}.ckpt*"))

    def load(self, recipe: Recipe, seed: int) -> StoredRun | None:
        """Return a run if it is finished; None, and a warning, if its file cannot be used."""
        path = self.path(recipe.key(seed))
        try:
            return _parse(path.read_text(encoding="utf-8"), recipe, seed)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            self.tell(f"{path}: not the result of this run ({reason}). The run is done again.")
            return None

    def save(
        self,
        recipe: Recipe,
        seed: int,
        outcome: Outcome,
        environment: Mapping[str, Any],
        wall_time_s: float,
        resumed: bool,
    ) -> StoredRun:
        """Write a run and return it as it was written."""
        record = {
            "format": FORMAT,
            "key": recipe.key(seed),
            "settings": recipe.settings(),
            "seed": seed,
            **_outcome_record(outcome),
            "wall_time_s": round(wall_time_s, 2),
            "resumed": resumed,
            "environment": environment,
        }
        text = to_json(record)
        write_atomically(self.path(recipe.key(seed)), text)
        return _parse(text, recipe, seed)

    def receive(
        self, recipe: Recipe, seed: int, text: str, wall_time_s: float, resumed: bool
    ) -> StoredRun:
        """Write a run that was done elsewhere, in pieces; `text` is the file of the last one."""
        run = _parse(text, recipe, seed)
        return self.save(recipe, seed, run.outcome, run.environment, wall_time_s, resumed)


def to_json(value: Any) -> str:
    """Write standard JSON: NumPy values as plain ones, what is not finite as null."""
    return json.dumps(_plain(value), indent=1, allow_nan=False) + "\n"


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that `path` holds the old or the new content at any moment.

    Raises
    ------
    ResultsError
        It cannot be written; what was there before is unchanged.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name to write to; at the end, and only then, what was written becomes `path`.

    Raises
    ------
    ResultsError
        As for `write_atomically`.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # the content is on the disk before the name is
        temporary.replace(path)
    except OSError as error:
        raise ResultsError(
            f"cannot write {path}: {error.strerror or error}. What was finished before is "
            "unchanged: make room, or name another folder with --out, and start again."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _outcome_record(outcome: Outcome) -> dict[str, Any]:
    return {
        "error": outcome.error,
        "loss": outcome.loss,
        "compression_all": outcome.compression("all"),
        "compression_weights": outcome.compression("weights"),
        "kept": outcome.kept,
        "total": outcome.total,
        "extra": outcome.extra,
        "points": {name: _outcome_record(point) for name, point in outcome.points.items()},
        "history": outcome.history,
    }


def _parse(text: str, recipe: Recipe, seed: int) -> StoredRun:
    record = json.loads(text)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f'no "format": {FORMAT}')
    # A setting that is younger than the run had its default then.
    settings = {**recipe.settings(), **record["settings"]}
    different = [name for name, value in recipe.settings().items() if settings[name] != value]
    if different or settings.keys() != recipe.settings().keys():
        raise ValueError(f"it has other settings: {', '.join(different) or 'one that is no more'}")
    if (record["key"], record["seed"]) != (recipe.key(seed), seed):
        raise ValueError("it has another key or seed")
    return StoredRun(
        key=record["key"],
        outcome=_parse_outcome(record),
        environment=dict(record["environment"]),
        wall_time_s=float(record["wall_time_s"]),
        resumed=bool(record["resumed"]),
    )


def _parse_outcome(record: Mapping[str, Any]) -> Outcome:
    return Outcome(
        error=record["error"],
        loss=record["loss"],
        kept=record["kept"],
        total=record["total"],
        history=record["history"],
        extra=record["extra"],
        points={name: _parse_outcome(point) for name, point in record["points"].items()},
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
