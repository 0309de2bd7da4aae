"""How much the result of one procedure differs between seeds: pooled over many rows.

    sd^2 = sum_r (n_r - 1) sd_r^2 / sum_r (n_r - 1)

over rows r of n_r seeds each.  A single row of five seeds knows its own sd to a third; all rows of a
network together know it well, and their sds agree as long as the errors do.  So rows count whose mean
error is at most `SIMILAR` times the lowest of the network; random masks do not.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import variance
from typing import Any, Self

FILE = Path(__file__).with_name("entries") / "noise.json"
# The experiments whose rows are pooled, all of them; other experiments are judged by these and add nothing.
POOLED = (
    "dense-lenet300",
    "dense-lenet5",
    "magnitude-lenet300",
    "sensitivity-table1",
    "sensitivity-table2",
    "sensitivity-table3",
    "l0-table1",
    "stochastic-nodes",
)
SIMILAR = 1.35


@dataclass(frozen=True)
class Noise:
    """Standard deviations over seeds.

    Parameters
    ----------
    error : float
        Of the test error, in points.
    ratio : float
        Of the logarithm of the compression.
    """

    error: float
    ratio: float

    @classmethod
    def known(cls, network: str) -> Self:
        """Return the noise of a network, "lenet300 on mnist", as it is written down.

        Raises
        ------
        ValueError
            It is not.
        """
        known = json.loads(FILE.read_text(encoding="utf-8"))
        if network not in known:
            raise ValueError(f"no noise of {network!r} is known, only of {[*known]}")
        return cls(known[network]["error"], known[network]["ratio"])


def pool(tables: Iterable[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Pool the noise of the tables, by network.

    Parameters
    ----------
    tables : iterable of dict
        Each as results.json holds it.

    Returns
    -------
    dict
        Network -> "error", "ratio", and "degrees_of_freedom" of the first.
    """
    rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
    for table in tables:
        for row in table["rows"]:
            settings = table["settings"]["rows"][row["name"]]
            if settings.get("choose") == "random":  # each seed draws a mask of its own: more differs
                continue
            if row["ours"]["n_seeds"] > 2 and not settings.get("hold_out"):
                network = f"{settings['model']} on {settings['dataset']}"
                which = (*row["ours"]["runs"], settings["point"])
                rows.setdefault(network, {})[which] = row["ours"]
    found = {}
    for network, own in rows.items():
        lowest = min(r["error_mean"] for r in own.values())
        near = [r for r in own.values() if r["error_mean"] <= SIMILAR * lowest]
        ratios = [[math.log(c) for c in r["compressions"]] for r in near]
        found[network] = {
            "error": _pooled([r["errors"] for r in near]),
            "ratio": _pooled([r for r in ratios if max(r) > min(r) + 1e-9]),
            "degrees_of_freedom": sum(r["n_seeds"] - 1 for r in near),
        }
    return found


def _pooled(samples: list[list[float]]) -> float:
    if not samples:
        return 0.0
    freedom = [len(s) - 1 for s in samples]
    weighted = sum(f * variance(s) for f, s in zip(freedom, samples, strict=True))
    return round(math.sqrt(weighted / sum(freedom)), 4)
