r"""Network slimming: an L1 penalty on the factors of batch norms (Liu et al., ICCV 2017).

A batch norm has a factor gamma for each channel, y_j = gamma_j (x_j - mean_j)/sigma_j + beta_j.  Training
with

    L + lambda sum_j |gamma_j|

spreads the factors; then the channels with the smallest |gamma_j| of ALL layers go, and the rest is
trained on.  Factors of different layers can be compared, since what they multiply has variance 1.

A channel with gamma = 0 is the constant beta_j.  With relu and an unpadded (or linear) reader that is a
bias of the reader, b <- b + relu(beta_j) sum of the reader's weights on j, exactly: `sparse.shrink` folds
it.  At the border of a padded convolution it is another constant, and the channel stays.  (The authors'
code drops beta with the channel, and the output jumps.)  Here gamma_j and the channel's own weights are
removed, and beta_j goes on learning until it is folded.

The penalty is not one on the function: (c gamma, w/c) computes the same and pays otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import autodiff as ad
from ..arrays import to_numpy
from ..autodiff import Tensor, as_tensor
from ..nn import BatchNorm1d, BatchNorm2d, Module
from ..nn.names import joined
from ..nn.weighted import Weighted
from .about import About, Figure
from .granularity import ungroup
from .mask import Mask
from .penalized import PenalizedTraining
from .scope import keep_largest

ABOUT = (
    About(
        "network-slimming",
        "Network slimming",
        "regularizer",
        2017,
        "Liu, Li, Shen, Huang, Yan and Zhang, ICCV 2017 (arXiv 1708.06519)",
        formula="factor_penalty",
        code="NetworkSlimming",
        removes="channels of batch norms",
        when="a penalty in the loss, then a cut over all layers",
        published=(Figure("784-500-300-10", 1.49, 15.6, "recalled", "Liu et al. 2017, Table 3"),),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def factor_penalty(gamma: Any) -> Tensor:
    """Return sum |gamma|; its derivative at 0 is taken as 0."""
    total: Tensor = ad.absolute(as_tensor(gamma)).sum()
    return total


# ---- in training --------------------------------------------------------------------------------


class NetworkSlimming(PenalizedTraining):
    """Penalize the factors of batch norms until `at`, then remove the smallest, and train on.

    Parameters
    ----------
    strength : float
        lambda.
    at : int
        After how many finished epochs to cut.
    sparsity : float
        The share of the channels that goes, of all batch norms together.
    norms : mapping from the name of a batch norm to that of the layer it normalizes, optional
        If left out, each normalizes the layer that stands before it in the model, as in a
        `minisparse.nn.Sequential`.

    Raises
    ------
    ValueError
        A sparsity outside of [0, 1], and as `minisparse.prune.penalized.PenalizedTraining`.
    """

    def __init__(
        self, strength: float, at: int, sparsity: float, norms: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(strength, at)
        if not 0 <= sparsity <= 1:
            raise ValueError(f"a sparsity lies in [0, 1], got {sparsity}")
        self.sparsity = sparsity
        self.norms = None if norms is None else dict(norms)

    def treated(self) -> list[str]:
        """Return the factors, and the weights of the layers that are normalized.

        Raises
        ------
        ValueError
            There is no batch norm, or one has other channels than its layer.
        """
        modules = dict(self.model.named_modules())
        self.pairs = self.norms or _layers_before(modules)
        if not self.pairs:
            raise ValueError(f"{type(self.model).__name__} has no batch norm to slim")
        for norm, layer in self.pairs.items():
            channels, units = _size(modules, norm, "weight"), _size(modules, layer, "weight")
            if channels != units:
                raise ValueError(f"'{norm}' has {channels} channels, but '{layer}' {units} units")
        return [joined(name, "weight") for pair in self.pairs.items() for name in pair]

    def factors(self) -> dict[str, Any]:
        """Return gamma of each batch norm, by the name of the norm."""
        parameters = self.parameters()
        return {norm: parameters[joined(norm, "weight")] for norm in self.pairs}

    def penalty(self) -> Tensor:
        """Return lambda sum |gamma|."""
        parts = [factor_penalty(gamma) for gamma in self.factors().values()]
        return self.strength * sum(parts[1:], parts[0])

    def choose(self) -> Mask:
        """Keep the channels with the largest |gamma|."""
        size = {norm: np.abs(to_numpy(gamma.array)) for norm, gamma in self.factors().items()}
        channels, entries = keep_largest(size, 1 - self.sparsity), {}
        for norm, layer in self.pairs.items():
            name, stays = joined(layer, "weight"), channels[norm]
            entries[joined(norm, "weight")] = stays
            entries[name] = ungroup(stays, self.mask()[name].shape, "unit")
        return Mask(entries)


def _layers_before(modules: Mapping[str, Module]) -> dict[str, str]:
    pairs, last = {}, ""
    for name, module in modules.items():
        if isinstance(module, Weighted):
            last = name
        elif isinstance(module, BatchNorm1d | BatchNorm2d):
            pairs[name] = last
    return pairs


def _size(modules: Mapping[str, Any], name: str, part: str) -> int:
    if name not in modules or not hasattr(modules[name], part):
        raise ValueError(f"the model has no layer '{name}' with a {part}: name it in `norms`")
    return int(getattr(modules[name], part).shape[-1])


__all__ = ["NetworkSlimming", "factor_penalty"]
