"""Hot loops on plain arrays: each a Numba function and, in the same file, a twin that specifies it.

``kernels.conv2d`` is fast and takes NumPy arrays. Its twin ``kernels.conv2d_reference`` is the
readable definition, written with the array module of its arguments, so it serves NumPy, CuPy and
any registered array type. Ask for kernels by attribute (``kernels.conv2d(...)``): Numba is imported
at the first such access, and :func:`select` takes effect at the next one.

Images are ``[N, H, W, C]``, convolution weights ``[kh, kw, C, O]``, matrices ``[rows, columns]``;
float32 or float64.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from minisparse.kernels.shapes import conv_output_shape, pool_output_shape, window_output_shape

if TYPE_CHECKING:
    from minisparse.kernels.conv import (
        conv2d,
        conv2d_backward,
        conv2d_backward_reference,
        conv2d_input_grad,
        conv2d_input_grad_reference,
        conv2d_reference,
        conv2d_weight_grad,
        conv2d_weight_grad_reference,
    )
    from minisparse.kernels.conv_per_image import (
        conv2d_weight_grad_magnitude,
        conv2d_weight_grad_magnitude_reference,
    )
    from minisparse.kernels.conv_pool import (
        conv2d_pool,
        conv2d_pool_backward,
        conv2d_pool_backward_reference,
        conv2d_pool_reference,
    )
    from minisparse.kernels.csr import (
        sparse_chain,
        sparse_chain_reference,
        sparse_linear,
        sparse_linear_reference,
        sparse_values_grad,
        sparse_values_grad_reference,
    )
    from minisparse.kernels.csr_conv import (
        sparse_conv2d,
        sparse_conv2d_reference,
    )
    from minisparse.kernels.linear import (
        linear_backward,
        linear_backward_reference,
        matmul,
        matmul_reference,
    )
    from minisparse.kernels.loss import (
        cross_entropy,
        cross_entropy_reference,
    )
    from minisparse.kernels.pool import (
        avg_pool2d,
        avg_pool2d_backward,
        avg_pool2d_backward_reference,
        avg_pool2d_reference,
        max_pool2d,
        max_pool2d_backward,
        max_pool2d_backward_reference,
        max_pool2d_gather,
        max_pool2d_gather_reference,
        max_pool2d_reference,
    )
    from minisparse.kernels.program import (
        run_program,
        run_program_reference,
    )
    from minisparse.kernels.program_step import (
        run_step,
        run_step_reference,
    )
    from minisparse.kernels.steps import (
        adam_step,
        adam_step_reference,
        sgd_step,
        sgd_step_reference,
    )

__all__ = [
    "adam_step",
    "adam_step_reference",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool2d_backward_reference",
    "avg_pool2d_reference",
    "conv2d",
    "conv2d_backward",
    "conv2d_backward_reference",
    "conv2d_input_grad",
    "conv2d_input_grad_reference",
    "conv2d_pool",
    "conv2d_pool_backward",
    "conv2d_pool_backward_reference",
    "conv2d_pool_reference",
    "conv2d_reference",
    "conv2d_weight_grad",
    "conv2d_weight_grad_magnitude",
    "conv2d_weight_grad_magnitude_reference",
    "conv2d_weight_grad_reference",
    "conv_output_shape",
    "cross_entropy",
    "cross_entropy_reference",
    "linear_backward",
    "linear_backward_reference",
    "matmul",
    "matmul_reference",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool2d_backward_reference",
    "max_pool2d_gather",
    "max_pool2d_gather_reference",
    "max_pool2d_reference",
    "pool_output_shape",
    "run_program",
    "run_program_reference",
    "run_step",
    "run_step_reference",
    "select",
    "selected",
    "sgd_step",
    "sgd_step_reference",
    "sparse_chain",
    "sparse_chain_reference",
    "sparse_conv2d",
    "sparse_conv2d_reference",
    "sparse_linear",
    "sparse_linear_reference",
    "sparse_values_grad",
    "sparse_values_grad_reference",
    "window_output_shape",
]

_FILES = {
    "conv": (
        "conv2d",
        "conv2d_backward",
        "conv2d_input_grad",
        "conv2d_weight_grad",
    ),
    "conv_per_image": ("conv2d_weight_grad_magnitude",),
    "conv_pool": (
        "conv2d_pool",
        "conv2d_pool_backward",
    ),
    "csr": (
        "sparse_chain",
        "sparse_linear",
        "sparse_values_grad",
    ),
    "csr_conv": ("sparse_conv2d",),
    "linear": (
        "linear_backward",
        "matmul",
    ),
    "loss": ("cross_entropy",),
    "pool": (
        "avg_pool2d",
        "avg_pool2d_backward",
        "max_pool2d",
        "max_pool2d_backward",
        "max_pool2d_gather",
    ),
    "program": ("run_program",),
    "program_step": ("run_step",),
    "steps": (
        "adam_step",
        "sgd_step",
    ),
}
_HOME = {kernel: file for file, kernels in _FILES.items() for kernel in kernels}


def select(kind: str) -> None:
    """Run every kernel in its Numba version (``"numba"``) or on its twin (``"numpy"``).

    The environment variable ``MINISPARSE_KERNELS`` chooses at the start; Numba is the default.

    Raises
    ------
    ValueError
        For any other word.
    """
    if kind not in ("numba", "numpy"):
        raise ValueError(f'kernels are "numba" or "numpy", got {kind!r} (MINISPARSE_KERNELS?)')
    global _selected
    _selected = kind
    for kernel in _HOME:
        globals().pop(kernel, None)


def selected() -> str:
    """Return what `select` chose."""
    return _selected


_selected = "numba"
select(os.environ.get("MINISPARSE_KERNELS") or "numba")


def __getattr__(name: str) -> Any:
    """Import a kernel's file at its first use and remember the function here (PEP 562)."""
    kernel = name.removesuffix("_reference")
    if kernel not in _HOME:
        raise AttributeError(f"module {__name__!r} has no kernel {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOME[kernel]}")
    function = getattr(module, name if _selected == "numba" else f"{kernel}_reference")
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return sorted(__all__)
