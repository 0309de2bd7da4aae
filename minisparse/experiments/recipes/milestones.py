"""What a training would have given had it ended earlier, without training it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minisparse.experiments.recipe import Outcome
from minisparse.prune.method import Method

Measure = Callable[[Any], Outcome]


class Milestones(Method):
    """Measures the network after certain epochs; it changes nothing.

    Stands last in the list of methods, so that it sees what the others leave.  The epochs are set
    before the run: several of them are several results, and none is chosen.

    Parameters
    ----------
    epochs : sequence of int
        After how many epochs of the training, increasing.
    measure : function of the `minisparse.prune.method.Run`
        Returns what the present network is worth; without `Outcome.history` and `Outcome.points`.
    """

    def __init__(self, epochs: Sequence[int], measure: Measure) -> None:
        self.epochs = tuple(epochs)
        self._measure = measure
        self._found: dict[str, dict[str, Any]] = {}

    def after_epoch(self, run: Any) -> None:
        """Measure, if this epoch is one of those."""
        if run.epoch + 1 in self.epochs:
            found = self._measure(run)
            self._found[str(run.epoch + 1)] = {
                "error": found.error,
                "loss": found.loss,
                "kept": dict(found.kept),
                "total": dict(found.total),
                "extra": {**found.extra, "train_error": run.totals.wrong / run.totals.images * 100},
            }

    def points(self) -> dict[str, Outcome]:
        """Return the outcomes by their names, "milestone 1", ..., in a quick run as in a full one."""
        return {
            f"milestone {i}": Outcome(**self._found[str(epoch)])
            for i, epoch in enumerate(self.epochs, 1)
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what was found."""
        return {"found": self._found}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._found = dict(state["found"])
