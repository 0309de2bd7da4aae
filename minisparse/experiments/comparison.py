"""The published figures of an experiment, and the verdict on ours.

The file beside an experiment's module, ``<id>.json``::

    {"noise": "lenet300 on mnist",
     "convention": "weights",
     "rows": {"sensitivity, unspecific": {
        "published": {"error": 1.65, "compression": 27.87, "kept_percent": [2.25, 11.93, 69.3],
                      "source": "Tartaglione et al. 2018, Table 1", "status": "recalled"},
        "bar": {"error": 1.9, "compression": 20},
        "note": ""}},
     "others": [{"name": "L0", "error": 1.8, "compression": 9.99, "source": "...",
                 "status": "recalled"}]}

Errors are in percent.  "published" may be null, and its error or its compression may be left out.
"status" says in a word how we know: "read" in the paper, "quoted" by somebody else whom "quoted_by"
names, or "recalled".  "prescribed" lists those of "error" and "compression" that our run was given, or
that its settings were chosen for, and so cannot miss; they are not compared, but for a control.
"decimals" is how many the paper prints of the error, 2 if it is left out.  "kept_percent", the share of
the weights that each layer keeps, or "architecture", the units that are left, is the profile of the
published network.

"convention" is how the paper counts: "weights" leaves the biases out, "all" is the default; "noise" is
how much results differ between seeds, by the name that it has in noise.json, or as the numbers.
Both may stand beside "rows", for all of them, or in a row.

"bar" is what this project must reach (at most that error, at least that compression); "note" is what is
known about a difference, and has no say in the verdict.  "others" are published results that are not
reproduced here, for the figure.

How a verdict is made
---------------------
The published figure is taken as one run of the same procedure, ours is a mean of n.  Were they the same
procedure, they would differ by no more than

    d = 1.96 sd sqrt(1 + 1/n)                                                          95 % of the time

with the pooled sd over seeds (`noise`): the test images are the same for both, so that the interval of
an error on 10,000 new images is not what counts.  To this comes half a unit of the last decimal printed.

    error    same | better | worse      beyond d
    ratio    same | sparser | denser    log(ours / published) beyond d, and beyond log 1.1 in any case:
                                        compression follows a knob that nobody sets as finely
    profile  same | other               every layer within 25 %

"reproduced" is same in all that was published, "reached" not worse and not denser, "not reached" is the
rest, and "FAILS" is only what misses our own bar.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from minisparse.experiments.noise import Noise
from minisparse.experiments.recipe import Convention

Verdict = Literal[
    "reproduced",
    "reached",
    "not reached",
    "no published figure",
    "prescribed",
    "quick run: not compared",
    "FAILS",
]
Status = Literal["read", "quoted", "recalled"]

RECALLED = "as recalled; not checked against the PDF"
QUANTILE = 1.96
AT_LEAST = math.log(1.1)  # what a ratio must differ by in any case
PROFILE = 0.25
_ROUNDING = 1e-9  # 1.65 + 0.25 must admit 1.9


class ComparisonError(ValueError):
    """A file of published figures that cannot be used."""


@dataclass(frozen=True)
class Published:
    """A published result: `error` in percent, `compression` = parameters / nonzero ones."""

    error: float | None
    compression: float | None
    source: str
    status: Status
    quoted_by: str = ""
    prescribed: tuple[str, ...] = ()
    decimals: int = 2
    profile: tuple[float, ...] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return it as results.json shows it."""
        quoted = {"quoted_by": self.quoted_by} if self.quoted_by else {}
        prescribed = {"prescribed": [*self.prescribed]} if self.prescribed else {}
        return {
            "error": self.error,
            "compression": self.compression,
            **self.rest,
            "source": self.source,
            "status": self.status,
            **quoted,
            **prescribed,
        }

    def compared(self, what: str) -> float | None:
        """Return the published "error" or "compression"; None if there is nothing to compare."""
        return None if what in self.prescribed else getattr(self, what)


@dataclass(frozen=True)
class Level:
    """An error (percent) and a compression; None where nothing is asked."""

    error: float | None = None
    compression: float | None = None


@dataclass(frozen=True)
class Words:
    """How ours stands to the published result, in a word each; None where nothing is compared."""

    error: Literal["same", "better", "worse"] | None = None
    ratio: Literal["same", "sparser", "denser"] | None = None
    profile: Literal["same", "other"] | None = None

    def verdict(self) -> Verdict:
        """Return "reproduced", "reached" or "not reached"; "prescribed" if nothing is compared."""
        if self.error is None and self.ratio is None:
            return "prescribed"
        if {self.error, self.ratio, self.profile} <= {"same", None}:
            return "reproduced"
        if self.error == "worse" or self.ratio == "denser":
            return "not reached"
        return "reached"


@dataclass(frozen=True)
class RowComparison:
    """What is known beforehand of one row; see the top of this file."""

    published: Published | None = None
    convention: Convention = "all"
    noise: Noise | None = None
    bar: Level = Level()
    note: str = ""

    def for_controls(self) -> "RowComparison":
        """Return what a control of this row must reach: what was chosen for the row, it may miss."""
        if self.published is None:
            return self
        return replace(self, published=replace(self.published, prescribed=()))

    def limits(self, n: int) -> Level:
        """Return by how much the error (points) and the log of the ratio of n seeds may differ."""
        if self.published is None or self.noise is None:
            return Level()
        spread = QUANTILE * math.sqrt(1 + 1 / n)
        error = spread * self.noise.error + 0.5 * 10.0**-self.published.decimals
        return Level(error, max(AT_LEAST, spread * self.noise.ratio))

    def words(
        self, error: float, compression: float, n: int, profile: Sequence[float] = ()
    ) -> Words:
        """Compare the means of n seeds, and their profile, with the published figures."""
        published, limits = self.published, self.limits(n)
        if published is None:
            return Words()
        by_error = by_ratio = by_profile = None
        theirs = published.compared("error")
        if theirs is not None and limits.error is not None:
            by_error = _word(error - theirs, limits.error, "better", "worse")
        theirs = published.compared("compression")
        if theirs is not None and limits.compression is not None:
            by_ratio = _word(
                math.log(compression / theirs), limits.compression, "denser", "sparser"
            )
        if published.profile and len(profile) == len(published.profile):
            pairs = zip(profile, published.profile, strict=True)
            near = all(abs(a / b - 1) <= PROFILE + _ROUNDING for a, b in pairs)
            by_profile = "same" if near else "other"
        return Words(by_error, by_ratio, by_profile)  # type: ignore[arg-type]

    def verdict(
        self, error: float, compression: float, n: int = 1, profile: Sequence[float] = ()
    ) -> tuple[Verdict, str]:
        """Judge the means of n seeds.

        Returns
        -------
        verdict, reason : str
            What differs and the note; empty for what is the same without a note.
        """
        missed = _missed(error, compression, self.bar)
        if missed:
            return "FAILS", "our own bar is missed: " + " and ".join(missed)
        if self.published is None:
            return "no published figure", self.note
        words = self.words(error, compression, n, profile)
        found = [
            f"error {words.error}" if words.error not in ("same", None) else "",
            f"{words.ratio}" if words.ratio not in ("same", None) else "",
            "other layers" if words.profile == "other" else "",
        ]
        said = ", ".join(filter(None, found))
        return words.verdict(), "; ".join(filter(None, (said, self.note)))


def _word(difference: float, limit: float, below: str, above: str) -> str:
    if abs(difference) <= limit + _ROUNDING:
        return "same"
    return below if difference < 0 else above


def _missed(error: float, compression: float, limit: Level) -> list[str]:
    missed = []
    if limit.error is not None and error > limit.error + _ROUNDING:
        missed.append(f"error {error:.2f} % where at most {limit.error:.2f} % is asked")
    if limit.compression is not None and compression < limit.compression * (1 - _ROUNDING):
        missed.append(
            f"compression {compression:.4g}x where at least {limit.compression:.4g}x is asked"
        )
    return missed


# ---- the file -----------------------------------------------------------------------------------


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
            _only(data, {"rows", "others", "convention", "noise"}, "the file")
            default = RowComparison(
                convention=_convention("the file", data), noise=_noise("the file", data)
            )
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
        return cls({name: known.get(name, default) for name in rows}, others)


def _only(entry: Mapping[str, Any], allowed: set[str], what: str) -> None:
    unknown = sorted(entry.keys() - allowed)
    if unknown:
        raise ValueError(f"{what} holds {unknown}, expected some of {sorted(allowed)}")


def _convention(name: str, entry: Mapping[str, Any], default: Convention = "all") -> Convention:
    convention: Convention = entry.get("convention", default)
    if convention not in ("weights", "all"):
        raise ValueError(f'{name}: convention is "weights" or "all", got {convention!r}')
    return convention


def _noise(name: str, entry: Mapping[str, Any], default: Noise | None = None) -> Noise | None:
    given = entry.get("noise")
    if given is None:
        return default
    if isinstance(given, str):
        return Noise.known(given)
    _only(given, {"error", "ratio"}, f"{name}: noise")
    error, ratio = (_number(f"{name}: noise", given, key) for key in ("error", "ratio"))
    return Noise(error or 0.0, ratio or 0.0)


def _row(name: str, entry: Mapping[str, Any], default: RowComparison) -> RowComparison:
    _only(entry, {"published", "convention", "noise", "bar", "note"}, name)
    bar = entry.get("bar", {})
    _only(bar, {"error", "compression"}, f"{name}: bar")
    published = entry.get("published")
    row = RowComparison(
        published=published and _published(name, published),
        convention=_convention(name, entry, default.convention),
        noise=_noise(name, entry, default.noise),
        bar=Level(_number(name, bar, "error"), _number(name, bar, "compression")),
        note=entry.get("note", ""),
    )
    whats = ("error", "compression")
    compared = row.published and any(row.published.compared(w) is not None for w in whats)
    if compared and row.noise is None:
        raise ValueError(
            f'{name}: what is published is compared with ours by the "noise" between seeds, and '
            "there is none, neither of this row nor of the file"
        )
    return row


def _published(name: str, entry: Mapping[str, Any]) -> Published:
    if entry["status"] not in ("read", "quoted", "recalled"):
        raise ValueError(
            f'{name}: status is "read" (in the paper), "quoted" or "recalled", '
            f"got {entry['status']!r}"
        )
    if (entry["status"] == "quoted") != bool(entry.get("quoted_by")):
        raise ValueError(
            f'{name}: "quoted_by" says who quotes, if and only if the status is "quoted"'
        )
    if not entry["source"]:
        raise ValueError(f"{name}: a published figure needs its source")
    error, compression = (_number(name, entry, key) for key in ("error", "compression"))
    if error is None and compression is None:
        raise ValueError(f"{name}: neither an error nor a compression; write null for nothing")
    prescribed = tuple(entry.get("prescribed", ()))
    if unknown := set(prescribed) - {"error", "compression"}:
        raise ValueError(f'{name}: prescribed are "error" or "compression", got {sorted(unknown)}')
    decimals = entry.get("decimals", 2)
    if type(decimals) is not int or decimals < 0:
        raise ValueError(f"{name}: decimals is a whole number, got {decimals!r}")
    own = {"name", "error", "compression", "source", "status", "quoted_by", "prescribed"}
    return Published(
        error,
        compression,
        source=str(entry["source"]),
        status=entry["status"],
        quoted_by=str(entry.get("quoted_by", "")),
        prescribed=prescribed,
        decimals=decimals,
        profile=_profile(name, entry),
        rest={key: entry[key] for key in entry if key not in own},
    )


def _profile(name: str, entry: Mapping[str, Any]) -> tuple[float, ...]:
    shares, architecture = entry.get("kept_percent"), entry.get("architecture")
    if shares is not None and architecture is not None:
        raise ValueError(f'{name}: the profile is "kept_percent" or "architecture", not both')
    if architecture is not None:
        shares = [int(units) for units in str(architecture).split("-")]
    if shares is None:
        return ()
    if not all(isinstance(s, (int, float)) and s > 0 for s in shares):
        raise ValueError(f"{name}: a profile is made of numbers above 0, got {shares}")
    return tuple(map(float, shares))


def _number(name: str, entry: Mapping[str, Any], key: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ValueError(f"{name}: {key} must be a number, at least 0, got {value!r}")
    return float(value)
