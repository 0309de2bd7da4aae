"""Reverse-mode automatic differentiation: the chain rule on one screen (`chain_rule.py`).

| file | what is in it |
| --- | --- |
| `tape.py` | tensors, and the operations that make them |
| `chain_rule.py` | the way back |
| `ops/` | the operations, a family in each file, formula above code |
| `functional.py` | derivatives of functions: grad, vjp, jacobian, hvp |
| `saved.py` | who must not write to what the tape will read again |
| `fusing.py` | operations that follow one another become one |
| `numpy_functions.py` | NumPy's functions, applied to tensors |
"""

from ..doors import door
from ..threads import free_in_forks
from . import numpy_functions as numpy_functions  # gives Tensor NumPy's protocol
from .chain_rule import gradients as _gradients
from .functional import grad as _grad
from .functional import hvp as _hvp
from .functional import jacobian as _jacobian
from .functional import vjp as _vjp
from .ops import OPS as OPS
from .ops.table import *
from .saved import WriteError as WriteError
from .saved import _one_book
from .saved import detect_writes as detect_writes
from .tape import GraphError as GraphError
from .tape import Op as Op
from .tape import Tensor as Tensor
from .tape import as_tensor as as_tensor
from .tape import enable_grad as enable_grad
from .tape import is_recording as is_recording
from .tape import no_grad as no_grad
from .tape import record_branches as record_branches

gradients, grad, vjp = door(_gradients), door(_grad), door(_vjp)
jacobian, hvp = door(_jacobian), door(_hvp)
free_in_forks(_one_book)  # here, since the engine that students get knows nothing of processes
