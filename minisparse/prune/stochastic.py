r"""Stochastic pruning (Ben-Guigui, Goldberger and Riklin-Raviv 2020; Ziv et al. 2021).

After EACH parameter update every weight is set to zero with a probability that is the larger the
smaller the weight is,

    w <- w - eta dL/dw,  the regularizer's step,  and then
    w <- w (1 - z),      z ~ Bernoulli(p(w)).

The abstracts of the two papers have it beside a weight decay regularizer, and study what L1 and L2
(penalties.py) have to do with the nodes that die; none at all is our control.  The formula of p is
not known to us: the forms here are ours.

Zeroing with probability p is comparing with a random threshold T that is drawn anew each time,

    z = 1  if |w| < T,      P(T > |w|) = p(w),

so p is the upper tail of T's law, and -dp/d|w| its density:

    ===========  ==============================  ======================================
    form         p(w)                            law of T
    ===========  ==============================  ======================================
    gaussian     exp(-w^2 / (2 sigma^2))         Rayleigh(sigma)
    exponential  exp(-|w| / sigma)               exponential with mean sigma
    erfc         erfc(|w| / (sigma sqrt(2)))     half-normal: |N(0, sigma^2)|
    hard         1 if |w| < sigma, else 0        sigma
    ===========  ==============================  ======================================

A weight that stays the same for n steps survives them with probability (1 - p)^n, so the rule acts
like a hard threshold that grows with the number of steps, about sigma sqrt(2 ln n) for the first
form.  A zeroed weight is moved by -eta dL/dw at the next step and is zeroed again almost surely,
unless eta |dL/dw| is at least about a quarter of sigma, with n of some ten thousand (chapter 9.4).

How nodes die: a node with one input and one output
---------------------------------------------------
    h = relu(w x + b),  y = v h,      dL/dv = (dL/dy) h,      dL/dw = (dL/dy) v relu'(w x + b) x

* v = 0 (all outgoing weights of a node): dL/dw = 0 and dL/db = 0.  Only the regularizer acts on w:

      none  w stays as it is            L2  w_t = (1 - eta lambda)^t w            (never exactly 0)
      L1    |w_t| = max(|w| - t eta lambda, 0): zero after |w| / (eta lambda) steps, rounded up

  so w sinks below sigma, where it is zeroed too; without a regularizer it is frozen and the node
  keeps its incoming weights.
* w = 0 (all incoming weights) and b <= 0: h = 0, hence dL/dv = 0: the same for v.  And as relu'(0)
  is 0 here, dL/dw = 0 and dL/db = 0 as well: w does not come back, whatever v is.
* w = 0 and b > 0: h = b is a constant, v goes on learning, the next layer has one bias more.  Not
  dead, to be folded (nodes.py).
* v = 0 and w = 0, b <= 0: no gradient, and nothing to shrink.  Both zero is absorbing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from ..arrays import array_module
from ..doors import door
from ..kernels.dispatch import kernel
from ..nn import Module, Parameter
from ..optim import Optimizer
from .about import About
from .mask import Mask, prunable
from .masked import MaskedTraining
from .method import Run
from .nodes import HiddenUnits, hidden_units, nodes_left

Probability = Callable[[Any, float], Any]
Sigma = float | Callable[[float], float]

ABOUT = (
    About(
        "stochastic",
        "Stochastic pruning",
        "stochastic",
        2020,
        "Ben-Guigui, Goldberger and Riklin-Raviv (arXiv 2012.03827)",
        formula="gaussian",
        code="StochasticPruning",
        removes="weights, and by them nodes",
        when="at random after each step",
        chapter="09",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def gaussian(w: Any, sigma: float) -> Any:
    """Return p(w) = exp(-w^2 / (2 sigma^2)), elementwise."""
    return array_module(w).exp(w * w * (-0.5 / sigma**2))


def exponential(w: Any, sigma: float) -> Any:
    """Return p(w) = exp(-|w| / sigma), elementwise."""
    return array_module(w).exp(abs(w) * (-1 / sigma))


def erfc(w: Any, sigma: float) -> Any:
    """Return p(w) = erfc(|w| / (sigma sqrt(2))), elementwise, to 1.5e-7.

    By the approximation 7.1.26 of Abramowitz and Stegun, since NumPy has no erfc and this is
    wanted for every weight at every step:
    erfc(x) = (a_1 t + ... + a_5 t^5) exp(-x^2) with t = 1 / (1 + 0.3275911 x), x >= 0.
    """
    x = abs(w) * (1 / (sigma * math.sqrt(2)))
    t = 1 / (1 + 0.3275911 * x)
    series = 1.061405429
    for a in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + a
    return series * t * array_module(w).exp(-x * x)


def hard(w: Any, sigma: float) -> Any:
    """Return p(w) = 1 where |w| < sigma, else 0."""
    return (abs(w) < sigma) * array_module(w).ones_like(w)


@dataclass(frozen=True)
class Form:
    """A zeroing probability and the law of the equivalent random threshold T.

    Attributes
    ----------
    probability : function of (w, sigma)
        p, elementwise.
    density : function of (t, sigma), or None
        The density of T at t >= 0; None if T is a constant.
    draw : function of (rng, size, sigma)
        Samples of T.
    inverse : function of (p, sigma)
        The |w| at which p(w) = p, for a number 0 < p < 1.
    """

    probability: Probability
    density: Callable[[Any, float], Any] | None
    draw: Callable[[np.random.Generator, int, float], np.ndarray]
    inverse: Callable[[float, float], float]


FORMS: dict[str, Form] = {
    "gaussian": Form(
        gaussian,
        lambda t, sigma: t / sigma**2 * np.exp(-0.5 * (t / sigma) ** 2),
        lambda rng, size, sigma: rng.rayleigh(sigma, size),
        lambda p, sigma: sigma * math.sqrt(-2 * math.log(p)),
    ),
    "exponential": Form(
        exponential,
        lambda t, sigma: np.exp(-t / sigma) / sigma,
        lambda rng, size, sigma: rng.exponential(sigma, size),
        lambda p, sigma: -sigma * math.log(p),
    ),
    "erfc": Form(
        erfc,
        lambda t, sigma: math.sqrt(2 / math.pi) / sigma * np.exp(-0.5 * (t / sigma) ** 2),
        lambda rng, size, sigma: np.abs(rng.normal(0, sigma, size)),
        lambda p, sigma: -sigma * NormalDist().inv_cdf(p / 2),
    ),
    "hard": Form(
        hard,
        None,
        lambda rng, size, sigma: np.full(size, sigma),  # noqa: ARG005
        lambda p, sigma: sigma,  # noqa: ARG005
    ),
}


@door
def zeroed(p: Any, u: Any) -> Any:
    """Return z ~ Bernoulli(p) as bools, from uniform numbers u in [0, 1).

    Parameters
    ----------
    p : array
        Probabilities.
    u : array of the same shape
        Multiples of 2^-24, as float32 has them, will do.

    Returns
    -------
    bool array
        True where u >= 1 - p.  The comparison u < p would be wrong: u is exactly 0 once in
        2^24 draws, and would then zero a weight of any size, however small its p.
    """
    return u >= 1 - p


def survival(p: Any, n: int) -> Any:
    """Return (1 - p)^n, the probability that a constant weight is not zeroed in n steps."""
    return (1 - p) ** n


@door
def effective_threshold(sigma: float, n: int, form: str = "gaussian", chance: float = 0.5) -> float:
    """Return the |w| of a constant weight that survives n steps with probability `chance`.

    From (1 - p)^n = chance follows p = 1 - chance^(1/n), and the form gives |w|.  For many steps
    p is about ln(1 / chance) / n, and for the gaussian form |w| is about sigma sqrt(2 ln n).

    Raises
    ------
    ValueError
        If n < 1, `chance` does not lie strictly between 0 and 1, or the form is not one of `FORMS`.

    Examples
    --------
    >>> [round(effective_threshold(1.0, n), 2) for n in (1, 600, 36_000)]
    [1.18, 3.68, 4.66]
    """
    if n < 1 or not 0 < chance < 1 or form not in FORMS:
        raise ValueError(
            f"expected n >= 1 steps, a chance in (0, 1) and one of {', '.join(FORMS)}; got {n}, "
            f"{chance} and {form!r}"
        )
    return FORMS[form].inverse(-math.expm1(math.log(chance) / n), sigma)


# ---- in training --------------------------------------------------------------------------------


class StochasticPruning(MaskedTraining):
    """Zero weights at random after every step; the module's docstring has the rule.

    Stands after the regularizer in the list of methods, ``[L2(1e-3), StochasticPruning(0.02)]``.

    Every epoch leaves its counts in the history: ``weights_left`` (of the treated parameters) and
    ``nodes_left_LAYER`` for each hidden layer (see nodes.py).

    Each step takes one key of 64 bits for each parameter from the run's rng; the uniform numbers u
    of `zeroed` are computed from it where they are compared (`minisparse.definitions.philox`), the
    same with and without a compiler, on any number of threads, and on a GPU.  p may round otherwise
    there, which changes a draw in millions.

    What is zeroed loses its optimizer state.  With momentum a weight otherwise gathers speed below
    the threshold.  With Adam a fresh state makes the first step about 3 eta, whatever the gradient.

    Parameters
    ----------
    sigma : float, function, or dict of these by parameter name
        The scale of p; as a function, of the time in epochs, from 0.  0 is no zeroing.
    form : {"gaussian", "exponential", "erfc", "hard"} or function of (w, sigma)
        p.
    stop : float
        The time in epochs from which nothing is zeroed any more.  What is zero then stays zero
        (the mask), the rest trains on undisturbed.
    count_nodes : bool
        Needs a model whose nodes `minisparse.prune.nodes.hidden_units` can follow.
    names : list of str, optional
        Parameters to treat; if left out those of `sigma` or, that being the same for all, all
        weights (no biases).

    Raises
    ------
    ValueError
        A sigma that is negative or not finite, an unknown form, a stop that is not > 0, names that
        do not agree with those of sigma.
    """

    def __init__(
        self,
        sigma: Sigma | Mapping[str, Sigma],
        form: str | Probability = "gaussian",
        *,
        stop: float = math.inf,
        count_nodes: bool = True,
        names: list[str] | None = None,
    ) -> None:
        if isinstance(sigma, Mapping):
            sigma = dict(sigma)
            if not sigma or (names is not None and set(names) != set(sigma)):
                raise ValueError(f"sigma is given for {list(sigma)}, the names are {names}")
            names = list(sigma)
        for value in sigma.values() if isinstance(sigma, dict) else [sigma]:
            if not callable(value):
                _check_sigma(value, "")
        if not callable(form) and form not in FORMS:
            raise ValueError(f"form is one of {', '.join(FORMS)} or a function, got {form!r}")
        if not stop > 0:
            raise ValueError(f"stop, the time at which zeroing ends, is > 0, got {stop}")
        super().__init__(names)
        self.sigma, self.form, self.stop, self.count_nodes = sigma, form, stop, count_nodes
        self._probability = form if callable(form) else FORMS[form].probability
        self._parameters: dict[str, Parameter] = {}
        self._hidden: list[HiddenUnits] | None = None

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the parameters to treat."""
        super().attach(model, optimizer, rng)
        self._parameters = prunable(model, self.names)
        self._hidden = None

    def sigma_at(self, t: float, name: str) -> float:
        """Return the sigma of a parameter at time `t`, in epochs."""
        value = self.sigma[name] if isinstance(self.sigma, dict) else self.sigma
        return _check_sigma(value(t), f" at time {t}") if callable(value) else value

    def after_step(self, run: Run) -> None:
        """Zero at random; from `stop` on hold what is zero."""
        if run.time >= self.stop:
            super().after_step(run)
            return
        for name, p in self._parameters.items():
            self._zero(run, p, self.sigma_at(run.time, name))
        if run.finished >= self.stop:
            self.tighten(self.mask())

    def _zero(self, run: Run, p: Parameter, sigma: float) -> None:
        if sigma == 0:
            return
        key = int(run.rng.integers(1 << 64, dtype=np.uint64))
        with p.writing() as w:
            state = run.optimizer.state_of(p) if run.optimizer.slots else []
            if self.form == "gaussian":  # p and `zeroed` in one pass
                kernel("zero_gaussian", w)(sigma, key, w, *state)
            else:
                kernel("zero_at_random", w)(self._probability(w, sigma), key, w, *state)

    def after_epoch(self, run: Run) -> None:
        """Count what is left."""
        run.metrics["weights_left"] = self.mask().kept
        if self.count_nodes:
            if self._hidden is None:
                self._hidden = hidden_units(run.model, run.x.array[:1])
            for layer, left in nodes_left(run.model, self._hidden).items():
                run.metrics[f"nodes_left_{layer}"] = left

    def mask(self) -> Mask:
        """Return what is not zero now, within what was kept when zeroing ended."""
        held = self._held()
        return held & Mask.of_nonzeros(self.model, list(held))


def _check_sigma(sigma: float, when: str) -> float:
    if not (math.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma is a finite number >= 0, got {sigma}{when}")
    return sigma


__no_gradient__ = (
    "effective_threshold",
    "erfc",
    "exponential",
    "gaussian",
    "hard",
    "survival",
    "zeroed",
)
__all__ = [
    "FORMS",
    "Form",
    "StochasticPruning",
    "effective_threshold",
    "erfc",
    "exponential",
    "gaussian",
    "hard",
    "survival",
    "zeroed",
]
