"""Optimizers, learning-rate schedules, weight averaging."""

from . import schedules
from .averaging import EMA
from .optimizers import SGD, Adam, AdamW, Optimizer
from .schedules import Schedule

__all__ = ["EMA", "SGD", "Adam", "AdamW", "Optimizer", "Schedule", "schedules"]
