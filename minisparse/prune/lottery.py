r"""Lottery tickets (Frankle and Carbin, ICLR 2019): train, prune, go back to the start, repeat.

Iterative magnitude pruning, with theta_0 the first weights and m = 1:

    train m theta_k to the end:  theta_T           k = 0: the first weights; k > 0: "rewinding"
    of each layer's kept weights the smallest |theta_T| go, a share p (p / 2 of the output layer's)
    go back to theta_k, under the new m            and so on

20 % a round of what is left: after n rounds about 0.8^n.  The winning ticket is (m, theta_0):
trained alone it is as good as the dense network, and as fast.  Its controls say what of this is
due to the first weights and what to the mask:

    re-initialised     the same m, other first weights          `reinitialised`
    random             as many weights in each layer, anywhere  `random_like`

Rewinding to an early epoch, not to the start, is what larger networks need (Frankle, Dziugaite,
Roy and Carbin 2020).  One-shot is a single round with a large p.

    for ticket in find_tickets(model, fit, rounds=15):
        print(ticket.mask.density, evaluate(model, validation).error_percent)

The paper's protocol: LeNet-300-100, Adam 1.2e-3, batch 60, 50,000 steps, 5,000 images for
validation, early stopping by the validation loss; biases are not pruned.  The authors' released
code removes one weight more than p asks for (`<=` at the threshold); here it is exactly round(p
n), halves up for what stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..doors import door
from ..nn import Module
from ..optim import Optimizer
from .about import About
from .mask import Mask, prunable
from .masked import FixedMask, rewind
from .method import Method, Run
from .scope import count_for, top_k

ABOUT = (
    About(
        "lottery-ticket",
        "Lottery tickets, iterative magnitude pruning with rewinding",
        "magnitude",
        2018,
        "Frankle and Carbin, ICLR 2019 (arXiv 1803.03635)",
        formula="next_mask",
        code="find_tickets",
        removes="weights",
        when="after each of many trainings from the same start",
        chapter="13",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def next_mask(weights: Mapping[str, Any], mask: Mask, rates: Mapping[str, float]) -> Mask:
    """Return the mask of the next round: of each layer's kept weights the smallest go.

    Parameters
    ----------
    weights : mapping from parameter name to array
        theta_T.
    mask : Mask
        m.
    rates : mapping from parameter name to float
        p of each layer.
    """
    entries = {}
    for name, kept in mask.items():
        size = np.where(kept, np.abs(to_numpy(weights[name])), -np.inf)
        count = count_for(1 - rates[name], int(np.count_nonzero(kept)))
        entries[name] = top_k(size, count)
    return Mask(entries)


@door
def random_like(mask: Mask, rng: np.random.Generator) -> Mask:
    """Return a control: a random mask that keeps as many weights of each layer."""
    return Mask({n: top_k(rng.random(m.shape), int(np.count_nonzero(m))) for n, m in mask.items()})


# ---- in training --------------------------------------------------------------------------------


class Remember(Method):
    """Keep a copy of all weights as they are at a time of the run: theta_k.

    Parameters
    ----------
    at : int
        After how many finished epochs; 0 is before the first step.

    Attributes
    ----------
    state : dict
        What ``model.state_dict()`` returned then; empty before.
    """

    def __init__(self, at: int = 0) -> None:
        if not (at >= 0 and at == int(at)):
            raise ValueError(f"remembering follows whole epochs, 0 or more of them; got {at}")
        self.at = at
        self.state: dict[str, Any] = {}

    def planned_until(self) -> float:
        """Return the time."""
        return self.at

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Begin with nothing."""
        self.state = {}

    def begin(self, run: Run) -> None:
        """Remember the first weights, if it is these."""
        self.after_epoch(run)

    def after_epoch(self, run: Run) -> None:
        """Remember the weights, if it is time."""
        if run.finished == self.at:
            self.state = run.model.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """Return the weights."""
        return dict(self.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.state = dict(state)


@dataclass(frozen=True)
class Ticket:
    """A round's mask, and the weights it starts from.

    Attributes
    ----------
    round : int
        0 is the dense network.
    mask : Mask
    start : dict
        theta_k, a model's state: ``rewind(model, ticket.start, ticket.mask)``.
    """

    round: int
    mask: Mask
    start: Mapping[str, Any]


def find_tickets(
    model: Module,
    fit: Callable[[Module, list[Method]], object],
    rounds: int,
    rate: float = 0.2,
    output_rate: float | None = None,
    rewind_to: int = 0,
    names: Sequence[str] | None = None,
) -> Iterator[Ticket]:
    """Train, prune and rewind in turns; yield each round when it is trained.

    Parameters
    ----------
    model : Module
        At its first weights.  When a round is yielded, it is trained: look at it then.
    fit : function of (model, methods)
        Trains the model to the end, with a new optimizer, and these methods.
    rounds : int
        Of pruning; ``rounds + 1`` trainings.
    rate : float
        p.
    output_rate : float, optional
        p of the last layer; half of `rate` if left out.
    rewind_to : int
        Go back to the weights after so many epochs of the first training; 0 for the first weights.
    names : sequence of str, optional
        Parameters to prune; all weights (no biases) if left out.

    Raises
    ------
    ValueError
        A rate outside of [0, 1), or the first training ended before `rewind_to`.

    Examples
    --------
    >>> from minisparse import data, nn, optim
    >>> from minisparse.train import train
    >>> rng = np.random.default_rng(0)
    >>> split = data.Split(rng.integers(0, 256, (200, 28, 28, 1), np.uint8), np.arange(200) % 10)
    >>> def fit(model, methods):
    ...     train(model, split, optim.Adam(model, 1.2e-3), epochs=1, rng=rng, methods=methods,
    ...           progress=False)
    >>> model = nn.LeNet300(rng=rng)
    >>> [round(100 * ticket.mask.density, 2) for ticket in find_tickets(model, fit, rounds=3)]
    [100.0, 80.04, 64.06, 51.28]
    """
    weights = list(prunable(model, None if names is None else list(names)))
    rates = dict.fromkeys(weights, rate)
    rates[weights[-1]] = rate / 2 if output_rate is None else output_rate
    if not all(0 <= p < 1 for p in rates.values()):
        raise ValueError(f"rates of pruning lie in [0, 1), got {rate} and {output_rate}")
    remember = Remember(rewind_to)
    mask = Mask.full(model, weights)
    fit(model, [remember])
    if not remember.state:
        raise ValueError(f"the training ended before epoch {rewind_to}, which is to be rewound to")
    yield Ticket(0, mask, remember.state)
    for i in range(1, rounds + 1):
        mask = next_mask({n: p.array for n, p, _ in mask.parameters(model)}, mask, rates)
        rewind(model, remember.state, mask)
        fit(model, [FixedMask(mask)])
        yield Ticket(i, mask, remember.state)


def reinitialised(ticket: Ticket, make: Callable[[], Module]) -> Module:
    """Return a control: a new network, with first weights of its own, under the ticket's mask.

    Parameters
    ----------
    ticket : Ticket
    make : function without arguments
        Returns a new model of the same architecture, from a generator that has gone on.
    """
    model = make()
    ticket.mask.apply(model)
    return model


__no_gradient__ = ("find_tickets", "next_mask", "random_like", "reinitialised")
__all__ = ["Remember", "Ticket", "find_tickets", "next_mask", "random_like", "reinitialised"]
