r"""Soft weight sharing: a mixture of Gaussians as a prior that learns (Nowlan and Hinton 1992).

    L + (tau / N) C(w),       C(w) = -sum_i log sum_j pi_j N(w_i | mu_j, sigma_j^2)

over all weights, with J components of learned mean, variance and share, and one more, j = 0, at mu_0 = 0
with the share pi_0 = 0.999 (Ullrich, Meeds and Welling, ICLR 2017).  N is the number of training images.
With the responsibilities r_ij = pi_j N_j(w_i) / sum_k pi_k N_k(w_i),

    dC/dw_i = sum_j r_ij (w_i - mu_j) / sigma_j^2

pulls each weight towards the means that claim it, most of them to 0.  Then components that are nearly
the same are merged,

    KL(N_j || N_k) small:   pi <- pi_j + pi_k,   mu and sigma^2 <- means weighted by pi,

and each weight becomes the mean of its most responsible component: what belongs to component 0 is
removed, and the rest has J values or fewer.  Meant for weights that are trained already.

A component pulls with tau / (N sigma^2): where it has become so narrow that this times the step is 2 or
more, plain descent overshoots; the paper trains with Adam.

Ours: component 0 keeps its mean when it takes in others; the hyper-priors on variances and pi_0, which the
paper uses in its search only, are left out; weights that stay may train on after `at`, apart from
each other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import autodiff as ad
from ..arrays import array_module, to_numpy
from ..autodiff import Op, Tensor, as_tensor, is_recording
from ..nn import Module, Parameter
from ..optim import Adam, Optimizer
from .about import About, Figure
from .mask import Mask
from .method import Run
from .parametrized import require_number_of_images
from .penalized import PenalizedTraining

ABOUT = (
    About(
        "soft-weight-sharing",
        "Soft weight sharing",
        "regularizer",
        1992,
        "Nowlan and Hinton 1992; Ullrich, Meeds and Welling, ICLR 2017 (arXiv 1702.04008)",
        formula="complexity",
        code="SoftWeightSharing",
        removes="weights, and quantizes the others",
        when="a penalty in the loss, then each weight takes the mean of its component",
        published=(
            Figure("LeNet-300-100", 1.94, 4.3, "read", "Ullrich et al. 2017, Table 1"),
            Figure("LeNet-5", 0.97, 0.5, "read", "Ullrich et al. 2017, Table 1"),
        ),
    ),
)

BLOCK = 8192  # weights at a time

# ---- formulas -----------------------------------------------------------------------------------


def log_densities(w: Any, means: Any, log_variances: Any, log_shares: Any) -> Tensor:
    """Return log pi_j + log N(w_i | mu_j, sigma_j^2), [n, J + 1].

    Parameters
    ----------
    w : Tensor or array, [n]
    means, log_variances, log_shares : Tensors or arrays, [J + 1]
    """
    gap = as_tensor(w).reshape(-1, 1) - as_tensor(means)
    precision = ad.exp(-as_tensor(log_variances))
    constant = as_tensor(log_shares) - 0.5 * as_tensor(log_variances) - 0.5 * math.log(2 * math.pi)
    densities: Tensor = constant - 0.5 * (gap * gap * precision)
    return densities


class Complexity(Op):
    """C(w) of weights [n] and a mixture of J + 1 components; see `complexity`.

    With the responsibilities r_ij, as d_ij = w_i - mu_j,

        dC/dw_i           =  sum_j r_ij d_ij / sigma_j^2
        dC/dmu_j          = -sum_i r_ij d_ij / sigma_j^2
        dC/dlog sigma_j^2 = -sum_i r_ij (d_ij^2 / sigma_j^2 - 1) / 2
        dC/dlog pi_j      = -sum_i r_ij

    There are n (J + 1) of the r_ij: the forward goes through them once, in blocks that stay in the
    cache, and adds up the slopes, too.
    """

    saves = (0, 1, 2, 3)

    def forward(self, w: Any, means: Any, log_variances: Any, log_shares: Any) -> Any:
        """Return C, and keep the slopes."""
        xp = array_module(w)
        precision = xp.exp(-log_variances)[:, None]
        constant = (log_shares - 0.5 * log_variances - 0.5 * math.log(2 * math.pi))[:, None]
        mu, pulls = means[:, None], []
        total = xp.zeros((), dtype=w.dtype)
        sums = [xp.zeros(means.shape, dtype=w.dtype) for _ in range(3)]
        for start in range(0, w.shape[0], BLOCK):
            gap = w[None, start : start + BLOCK] - mu
            pull = gap * precision
            gap *= pull
            r = constant - 0.5 * gap
            top = r.max(axis=0)
            r -= top
            r = xp.exp(r)
            norm = r.sum(axis=0)
            r /= norm
            total -= (top + xp.log(norm)).sum()
            pull *= r
            gap *= r
            pulls.append(pull.sum(axis=0))
            for own, part in zip(sums, (pull, gap, r), strict=True):
                own += part.sum(axis=1)
        pulled, spread, claimed = sums
        self.slopes = xp.concatenate(pulls), -pulled, -0.5 * (spread - claimed), -claimed
        return total

    def backward(self, grad: Tensor, y: Tensor, *inputs: Tensor) -> Any:
        """Return the slopes; where they are to be differentiated again, of operations."""
        grad = grad.reshape(*grad.shape, 1)
        if not is_recording():
            return tuple(grad * Tensor(slope) for slope in self.slopes)
        w, means, log_variances, _ = inputs
        r = ad.softmax(log_densities(*inputs))
        gap = w.reshape(-1, 1) - means
        pull = r * gap * ad.exp(-log_variances)
        return (
            grad * pull.sum(axis=-1),
            -grad * pull.sum(axis=0),
            -0.5 * grad * (pull * gap - r).sum(axis=0),
            -grad * r.sum(axis=0),
        )


def complexity(w: Any, means: Any, log_variances: Any, log_shares: Any) -> Tensor:
    """Return C(w) = -sum_i log sum_j pi_j N(w_i | mu_j, sigma_j^2).

    Parameters
    ----------
    w : Tensor or array, [n]
    means, log_variances, log_shares : Tensors or arrays, [J + 1]
    """
    return Complexity()(*map(as_tensor, (w, means, log_variances, log_shares)))


def gaussian_divergence(mean: float, variance: float, mean_2: float, variance_2: float) -> float:
    """Return KL(N(mean, variance) || N(mean_2, variance_2))."""
    ratio = variance / variance_2
    return 0.5 * (ratio - 1 - math.log(ratio) + (mean - mean_2) ** 2 / variance_2)


def merge(
    means: np.ndarray, variances: np.ndarray, shares: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge components, the nearest pair first, while a pair has KL < threshold.

    Parameters
    ----------
    means, variances, shares : arrays, [J + 1]
        Component 0 keeps its mean.
    threshold : float
        Of the smaller one of KL(j || k) and KL(k || j).

    Returns
    -------
    means, variances, shares : arrays
        The shares have the same sum as before.
    """
    mu, var, pi = (list(map(float, a)) for a in (means, variances, shares))
    while len(mu) > 1:
        pairs = [(j, k) for j in range(len(mu)) for k in range(j + 1, len(mu))]
        apart = [
            min(
                gaussian_divergence(mu[j], var[j], mu[k], var[k]),
                gaussian_divergence(mu[k], var[k], mu[j], var[j]),
            )
            for j, k in pairs
        ]
        if not min(apart) < threshold:
            break
        j, k = pairs[int(np.argmin(apart))]
        together = pi[j] + pi[k]
        if j:
            mu[j] = (pi[j] * mu[j] + pi[k] * mu[k]) / together
        var[j] = (pi[j] * var[j] + pi[k] * var[k]) / together
        pi[j] = together
        del mu[k], var[k], pi[k]
    return np.array(mu), np.array(var), np.array(pi)


# ---- the prior ----------------------------------------------------------------------------------


class Mixture(Module):
    """The mixture and its parameters.

    Parameters
    ----------
    low, high : float
        The means of the components 1 to J are spread evenly from the one to the other.
    components : int
        J.
    spread : float
        sigma of all components at first.
    zero_share : float
        pi_0, which stays; the others begin with equal shares of the rest.

    Attributes
    ----------
    means, logits : Parameter, [J]
    log_variances : Parameter, [J + 1]
    """

    def __init__(
        self, low: float, high: float, components: int, spread: float, zero_share: float
    ) -> None:
        self.zero_share = zero_share
        even = np.linspace(low, high, components, dtype=np.float32)
        variances = np.full(components + 1, 2 * math.log(spread), np.float32)
        self.means = Parameter(even, name="means")
        self.log_variances = Parameter(variances, name="log_variances")
        self.logits = Parameter(np.zeros(components, np.float32), name="logits")

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return mu, log sigma^2 and log pi of the components 0 to J."""
        xp = array_module(self.means.array)
        at_zero = Tensor(xp.zeros(1, dtype=self.means.dtype))
        shares = ad.log_softmax(self.logits) + math.log(1 - self.zero_share)
        return (
            ad.concatenate([at_zero, self.means]),
            self.log_variances,
            ad.concatenate([at_zero + math.log(self.zero_share), shares]),
        )

    def forward(self, w: Tensor) -> Tensor:  # type: ignore[override]
        """Return C(w) of weights of any shape."""
        return complexity(w.reshape(-1), *self.parts())

    def merged(self, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return means, variances and shares after `merge`, component 0 first."""
        mu, log_var, log_pi = (to_numpy(p.array).astype(np.float64) for p in self.parts())
        return merge(mu, np.exp(log_var), np.exp(log_pi), threshold)


# ---- in training --------------------------------------------------------------------------------


class SoftWeightSharing(PenalizedTraining):
    """Fit weights and mixture to each other until `at`, then let the weights take the means.

    The history gets "components", how many are left after merging, in the epoch of the cut.

    Parameters
    ----------
    strength : float
        tau.
    at : int
        After how many finished epochs the weights become means.
    n : int
        N, the number of training images: ``len(split)``.
    components : int
        J.
    spread : float, optional
        sigma of all components at first; if left out, a quarter of the root mean square of the weights
        (ours).  Where it is not small beside the weights, component 0 claims them all.
    zero_share : float
        pi_0.
    lr : float
        Learning rate of the mixture's parameters, for Adam ("very sensitive", the paper says).
    threshold : float
        Components nearer than this (KL) are merged.
    names : list of str, optional

    Raises
    ------
    ValueError
        A setting that makes no mixture, and as `minisparse.prune.penalized.PenalizedTraining`.
    """

    def __init__(
        self,
        strength: float,
        at: int,
        n: int,
        components: int = 16,
        spread: float | None = None,
        zero_share: float = 0.999,
        lr: float = 5e-4,
        threshold: float = 1e-10,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(strength, at, names)
        narrow = spread is not None and not spread > 0
        if n < 1 or components < 1 or narrow or not (0 < zero_share < 1 and threshold >= 0):
            raise ValueError(
                "expected a number of images, of components, a spread > 0, a share between 0 and 1 "
                f"and a threshold >= 0; got {n}, {components}, {spread}, {zero_share}, {threshold}"
            )
        self.n, self.components, self.spread = n, components, spread
        self.zero_share, self.lr, self.threshold = zero_share, lr, threshold

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Make the mixture, its means over the range of the weights."""
        super().attach(model, optimizer, rng)
        weights = [p.array for p in self.parameters().values()]
        low, high = min(float(w.min()) for w in weights), max(float(w.max()) for w in weights)
        squares = sum(float((w * w).sum()) for w in weights)
        spread = self.spread or 0.25 * math.sqrt(squares / sum(w.size for w in weights))
        self.mixture = Mixture(low, high, self.components, spread, self.zero_share)
        self.mixture.to(weights[0].dtype, array_module=array_module(weights[0]))
        self.own_optimizer = Adam(self.mixture, self.lr)

    def penalty(self) -> Tensor:
        """Return (tau / N) C(w)."""
        parts = [self.mixture(p) for p in self.parameters().values()]
        return self.strength / self.n * sum(parts[1:], parts[0])

    def before_loss(self, run: Run) -> Tensor | None:
        """Return the penalty, until `at`."""
        require_number_of_images(self.n, run)
        self.own_optimizer.zero_grad()
        return super().before_loss(run)

    def after_step(self, run: Run) -> None:
        """Move the mixture, too."""
        super().after_step(run)
        self.own_optimizer.step()

    def after_epoch(self, run: Run) -> None:
        """Let each weight take the mean of its component, if it is time."""
        if run.finished == self.at:
            run.metrics["components"] = self._quantize()
        super().after_epoch(run)

    def _quantize(self) -> int:
        means, variances, shares = self.mixture.merged(self.threshold)
        for p in self.parameters().values():
            with p.writing() as w:
                flat = to_numpy(w).reshape(-1)
                best = np.concatenate([  # in parts: a row of numbers for each weight
                    log_densities(part, means, np.log(variances), np.log(shares)).numpy().argmax(1)
                    for part in np.array_split(flat.astype(np.float64), 1 + flat.size // 100_000)
                ])  # fmt: skip
                new = np.where(best > 0, means[best], 0.0).astype(flat.dtype).reshape(w.shape)
                w[...] = array_module(w).asarray(new)
        return len(means)

    def choose(self) -> Mask:
        """Keep what does not belong to component 0."""
        return Mask.of_nonzeros(self.model, list(self.mask()))

    def state_dict(self) -> dict[str, Any]:
        """Return mask, mixture, and its optimizer."""
        return {
            "mask": super().state_dict(),
            "mixture": self.mixture.state_dict(),
            "optimizer": self.own_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        super().load_state_dict(state["mask"])
        self.mixture.load_state_dict(state["mixture"])
        self.own_optimizer.load_state_dict(state["optimizer"])


__no_gradient__ = ("gaussian_divergence", "merge")
__all__ = [
    "BLOCK",
    "Complexity",
    "Mixture",
    "SoftWeightSharing",
    "complexity",
    "gaussian_divergence",
    "log_densities",
    "merge",
]
