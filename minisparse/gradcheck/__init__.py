"""The gradient verifier: gradients against difference quotients, and the reason if they differ.

The module can be called: ``minisparse.gradcheck(f, x)`` is `gradcheck`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .check import gradcheck
from .problem import CAUSES, GradcheckError
from .report import ArgumentReport, Report, Worst

__all__ = ["CAUSES", "ArgumentReport", "GradcheckError", "Report", "Worst", "gradcheck"]


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Report:
        return gradcheck(*args, **kwargs)


_CallableModule.__call__.__doc__ = gradcheck.__doc__
sys.modules[__name__].__class__ = _CallableModule
