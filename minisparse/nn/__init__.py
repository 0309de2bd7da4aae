"""Modules, layers, initializers and the networks of the experiments."""

from .batchnorm import BatchNorm1d, BatchNorm2d
from .hardening import harden, kept, parametrize, parametrized
from .layers import (
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    num_parameters,
)
from .models import LeNet5, LeNet300, NormCNN, SmallCNN
from .module import Module, Parameter, Sequential
from .record import LayerRecord, record_layers
from .selected import Selected
from .weighted import Parametrization

__all__ = [
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "LayerRecord",
    "LeNet5",
    "LeNet300",
    "Linear",
    "MaxPool2d",
    "Module",
    "NormCNN",
    "Parameter",
    "Parametrization",
    "ReLU",
    "Selected",
    "Sequential",
    "SmallCNN",
    "harden",
    "kept",
    "num_parameters",
    "parametrize",
    "parametrized",
    "record_layers",
]
