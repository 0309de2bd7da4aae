"""The two networks of the literature on pruning MNIST classifiers, and two small ones of ours."""

from __future__ import annotations

import numpy as np

from ..autodiff import Tensor, flatten, max_pool2d, relu
from .batchnorm import BatchNorm1d, BatchNorm2d
from .init import Initializer
from .layers import Conv2d, Dropout, Linear
from .module import Module


class LeNet300(Module):
    """LeNet-300-100: 784-300-100-10 with relu; 266,610 parameters, 266,200 of them weights.

    LeCun et al. 1998 introduced the shape; biases start at 0.

    Parameters
    ----------
    rng : np.random.Generator
    init : str or Initializer
        Of the weights.
    widths : (int, int)
        Hidden units, 300 and 100 in the literature.
    """

    def __init__(
        self,
        *,
        rng: np.random.Generator,
        init: str | Initializer = "he_normal",
        widths: tuple[int, int] = (300, 100),
    ) -> None:
        first, second = widths
        self.fc1 = Linear(784, first, rng=rng, init=init)
        self.fc2 = Linear(first, second, rng=rng, init=init)
        self.fc3 = Linear(second, 10, rng=rng, init=init)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map images [n, 28, 28, 1] (or [n, 784]) to logits [n, 10]."""
        h = relu(self.fc1(flatten(x)))
        h = relu(self.fc2(h))
        return self.fc3(h)


class LeNet5(Module):
    """LeNet-5 as Caffe has it: 431,080 parameters, 2,293,000 multiply-adds for an image.

    conv 5x5 to 20 channels, max-pool 2, conv 5x5 to 50, max-pool 2, 800-500-10, without padding.
    A relu follows the hidden linear layer; `conv_relu` puts one after each pooling as well (Caffe's
    own definition has none there).  Max-pool and relu commute, so its place does not matter.

    Parameters
    ----------
    rng : np.random.Generator
    init : str or Initializer
        Of the weights; biases start at 0.
    conv_relu : bool
        Relu after the convolutions too, as the pruning papers have it.
    """

    def __init__(
        self,
        *,
        rng: np.random.Generator,
        init: str | Initializer = "he_normal",
        conv_relu: bool = True,
    ) -> None:
        self.conv1 = Conv2d(1, 20, 5, rng=rng, init=init)
        self.conv2 = Conv2d(20, 50, 5, rng=rng, init=init)
        self.fc1 = Linear(800, 500, rng=rng, init=init)
        self.fc2 = Linear(500, 10, rng=rng, init=init)
        self.conv_relu = conv_relu

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map images [n, 28, 28, 1] to logits [n, 10]."""
        for conv in (self.conv1, self.conv2):
            x = max_pool2d(conv(x), 2)
            if self.conv_relu:
                x = relu(x)
        h = relu(self.fc1(flatten(x)))
        return self.fc2(h)


class SmallCNN(Module):
    """Two convolutions and a wide linear layer that holds most of the parameters; ours.

    conv 3x3 to 32 channels, max-pool 2, conv 3x3 to 64, max-pool 2, linear to 128, linear to the
    classes; a relu after each but the last, padding 1.  For images of 28 x 28 x 1 and 10 classes
    421,642 parameters and 4,241,152 multiply-adds, for 32 x 32 x 3 545,098 and 6,128,896.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width, channels; 4 pixels or more each way.
    n_classes : int
    dropout : float
        Probability with which a hidden unit of the linear layer is dropped while training.
    batch_norm : bool
        Normalize each hidden layer, behind the pooling (a quarter of the values) and before relu.
    rng : np.random.Generator
    init : str or Initializer
        Of the weights; biases start at 0.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (28, 28, 1),
        n_classes: int = 10,
        *,
        dropout: float = 0.0,
        batch_norm: bool = False,
        rng: np.random.Generator,
        init: str | Initializer = "he_normal",
    ) -> None:
        height, width, channels = image_shape
        if min(height, width) < 4:
            raise ValueError(f"two poolings need images of 4 x 4 or more, got {height} x {width}")
        self.conv1 = Conv2d(channels, 32, 3, padding=1, rng=rng, init=init)
        self.conv2 = Conv2d(32, 64, 3, padding=1, rng=rng, init=init)
        self.fc1 = Linear((height // 4) * (width // 4) * 64, 128, rng=rng, init=init)
        self.drop = Dropout(dropout, rng=rng)
        self.fc2 = Linear(128, n_classes, rng=rng, init=init)
        self.norm1 = BatchNorm2d(32) if batch_norm else None
        self.norm2 = BatchNorm2d(64) if batch_norm else None
        self.norm3 = BatchNorm1d(128) if batch_norm else None

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map images [n, height, width, channels] to logits [n, n_classes]."""
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            y = max_pool2d(conv(x), 2)
            x = relu(norm(y) if norm else y)
        y = self.fc1(flatten(x))
        return self.fc2(self.drop(relu(self.norm3(y) if self.norm3 else y)))


class NormCNN(Module):
    """Three convolutions and a wide linear layer, each with batch norm; ours.

    Three times conv 3x3 (padding 1), max-pool 2, batch norm, relu; then linear, batch norm, relu,
    and linear to the classes.  The pooling comes first, so that the norm has a quarter of the values
    to do.  For images of 32 x 32 x 3 and 10 classes 753,226 parameters and 10,980,480 multiply-adds.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width, channels; 8 pixels or more each way.
    n_classes : int
    widths : (int, int, int, int)
        Filters of the convolutions, and hidden units of the linear layer.
    dropout : float
        Probability with which a hidden unit of the linear layer is dropped while training.
    rng : np.random.Generator
    init : str or Initializer
        Of the weights; biases start at 0.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (32, 32, 3),
        n_classes: int = 10,
        *,
        widths: tuple[int, int, int, int] = (32, 64, 128, 320),
        dropout: float = 0.0,
        rng: np.random.Generator,
        init: str | Initializer = "he_normal",
    ) -> None:
        height, width, channels = image_shape
        if min(height, width) < 8:
            raise ValueError(f"three poolings need images of 8 x 8 or more, got {height} x {width}")
        first, second, third, hidden = widths
        self.conv1 = Conv2d(channels, first, 3, padding=1, rng=rng, init=init)
        self.norm1 = BatchNorm2d(first)
        self.conv2 = Conv2d(first, second, 3, padding=1, rng=rng, init=init)
        self.norm2 = BatchNorm2d(second)
        self.conv3 = Conv2d(second, third, 3, padding=1, rng=rng, init=init)
        self.norm3 = BatchNorm2d(third)
        self.fc1 = Linear((height // 8) * (width // 8) * third, hidden, rng=rng, init=init)
        self.norm4 = BatchNorm1d(hidden)
        self.drop = Dropout(dropout, rng=rng)
        self.fc2 = Linear(hidden, n_classes, rng=rng, init=init)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map images [n, height, width, channels] to logits [n, n_classes]."""
        for conv, norm in (
            (self.conv1, self.norm1),
            (self.conv2, self.norm2),
            (self.conv3, self.norm3),
        ):
            x = relu(norm(max_pool2d(conv(x), 2)))
        return self.fc2(self.drop(relu(self.norm4(self.fc1(flatten(x))))))
