"""The published figures of an experiment, and the verdict on ours.

The file beside an experiment's module, ``<id>.json``::

    {"rows": {"sensitivity, unspecific": {
        "published": {"error": 1.65, "compression": 27.87,
                      "source": "Tartaglione et al. 2018, Table 1", "status": "recalled"},
        "convention": "weights",
        "tolerance": {"error": 0.25, "compression": 0.05, "why": "..."},
        "bar": {"error": 1.9, "compression": 20},
        "reason": ""}},
     "others": [{"name": "L0", "error": 1.8, "compression": 9.99, "source": "...",
                 "status": "recalled"}]}

Errors are in percent. "published" may be null, and each of its two figures may be left out.
"convention" is how the paper counts: "weights" leaves the biases out, "all" is the default; beside
"rows" it stands for all rows, also for those that are not mentioned. The tolerance adds to the error, in points, and takes a share of the compression. "bar" is what this
project must reach (at most that error, at least that compression); "reason" says why ours differs,
where that is known. "others" are published results that are not reproduced here, for the figure.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from minisparse.experiments.recipe import Convention

Verdict = Literal["within", "differs", "FAILS", "no published figure", "quick run: not compared"]

RECALLED = "as recalled; not checked against the PDF"
_ROUNDING = 1e-9  # 1.65 + 0.25 must admit 1.9


class ComparisonError(ValueError):
    """A file of published figures that cannot be used."""


@dataclass(frozen=True)
class Published:
    """A published result: `error` in percent, `compression` = parameters / nonzero ones."""

    error: float | None
    compression: float | None
    source: str
    status: Literal["verified", "recalled"]
    rest: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return it as results.json shows it."""
        return {
            "error": self.error,
            "compression": self.compression,
            **self.rest,
            "source": self.source,
            "status": self.status,
        }


@dataclass(frozen=True)
class Level:
    """An error (percent) and a compression; None where nothing is asked."""

    error: float | None = None
    compression: float | None = None


@dataclass(frozen=True)
class RowComparison:
    """What is known beforehand of one row; see the top of this file."""

    published: Published | None = None
    convention: Convention = "all"
    tolerance: Level = Level(0.0, 0.0)
    tolerance_why: str = ""
    bar: Level = Level()
    reason: str = ""

    def verdict(self, error: float, compression: float) -> tuple[Verdict, str]:
        """Compare our mean error (percent) and compression with the published ones.

        A result that is better than the published one is within. Outside, or where nothing is
        published, the bar decides; without a bar, a difference needs a recorded reason.

        Returns
        -------
        verdict, reason : str
            The reason is empty for "within".
        """
        outside = _missed(error, compression, self._limit())
        if self.published is not None and not outside:
            return "within", ""
        missed = _missed(error, compression, self.bar)
        if missed:
            return "FAILS", "our own bar is missed: " + " and ".join(missed)
        if self.published is None:
            return "no published figure", self.reason
        if self.reason:
            return "differs", self.reason
        difference = "published, with its tolerance: " + " and ".join(outside)
        if self.bar != Level():
            return "differs", f"{difference}; our own bar is met"
        return "FAILS", f"{difference}; neither a bar nor a reason is recorded"

    def _limit(self) -> Level:
        if self.published is None:
            return Level()
        error, compression = self.published.error, self.published.compression
        more, share = self.tolerance.error or 0.0, self.tolerance.compression or 0.0
        return Level(
            None if error is None else error + more,
            None if compression is None else compression * (1 - share),
        )


@dataclass(frozen=True)
class Comparison:
    """The file of one experiment."""

    rows: Mapping[str, RowComparison]
    others: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, path: Path, rows: Collection[str]) -> "Comparison":
        """Read and check a file; `rows` are the names that it may speak of."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            _only(data, {"rows", "others", "convention"}, "the file")
            default = _convention("the file", data)
            unknown = sorted(data["rows"].keys() - set(rows))
            if unknown:
                raise ValueError(f"rows {unknown} are not in the experiment, which has {[*rows]}")
            known = {name: _row(name, entry, default) for name, entry in data["rows"].items()}
            others = tuple(
                {"name": str(other["name"]), **_published(str(other["name"]), other).record()}
                for other in data.get("others", [])
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ComparisonError(f"{path}: {reason}") from error
        unknown_row = RowComparison(convention=default)
        return cls({name: known.get(name, unknown_row) for name in rows}, others)


def _missed(error: float, compression: float, limit: Level) -> list[str]:
    missed = []
    if limit.error is not None and error > limit.error + _ROUNDING:
        missed.append(f"error {error:.2f} % where at most {limit.error:.2f} % is asked")
    if limit.compression is not None and compression < limit.compression * (1 - _ROUNDING):
        missed.append(
            f"compression {compression:.4g}x where at least {limit.compression:.4g}x is asked"
        )
    return missed


def _only(entry: Mapping[str, Any], allowed: set[str], what: str) -> None:
    unknown = sorted(entry.keys() - allowed)
    if unknown:
        raise ValueError(f"{what} holds {unknown}, expected some of {sorted(allowed)}")


def _convention(name: str, entry: Mapping[str, Any], default: Convention = "all") -> Convention:
    convention: Convention = entry.get("convention", default)
    if convention not in ("weights", "all"):
        raise ValueError(f'{name}: convention is "weights" or "all", got {convention!r}')
    return convention


def _row(name: str, entry: Mapping[str, Any], default: Convention) -> RowComparison:
    _only(entry, {"published", "convention", "tolerance", "bar", "reason"}, name)
    tolerance, bar = entry.get("tolerance", {}), entry.get("bar", {})
    _only(tolerance, {"error", "compression", "why"}, f"{name}: tolerance")
    _only(bar, {"error", "compression"}, f"{name}: bar")
    if tolerance and not tolerance.get("why"):
        raise ValueError(f'{name}: a tolerance needs its "why"')
    published = entry.get("published")
    return RowComparison(
        published=published and _published(name, published),
        convention=_convention(name, entry, default),
        tolerance=Level(
            _number(name, tolerance, "error") or 0.0,
            _number(name, tolerance, "compression") or 0.0,
        ),
        tolerance_why=tolerance.get("why", ""),
        bar=Level(_number(name, bar, "error"), _number(name, bar, "compression")),
        reason=entry.get("reason", ""),
    )


def _published(name: str, entry: Mapping[str, Any]) -> Published:
    if entry["status"] not in ("verified", "recalled"):
        raise ValueError(f'{name}: status is "verified" or "recalled", got {entry["status"]!r}')
    if not entry["source"]:
        raise ValueError(f"{name}: a published figure needs its source")
    error, compression = (_number(name, entry, key) for key in ("error", "compression"))
    if error is None and compression is None:
        raise ValueError(f"{name}: neither an error nor a compression; write null for nothing")
    rest = entry.keys() - {"name", "error", "compression", "source", "status"}
    return Published(
        error,
        compression,
        source=str(entry["source"]),
        status=entry["status"],
        rest={key: entry[key] for key in entry if key in rest},
    )


def _number(name: str, entry: Mapping[str, Any], key: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ValueError(f"{name}: {key} must be a number, at least 0, got {value!r}")
    return float(value)
