"""What each kernel computes, in a few readable lines of NumPy.

Every definition is written with the array module of its arguments, so it serves NumPy, CuPy and any
registered array type.  `minisparse.kernels` has a compiled twin of each, in a file of the same
name, tested against the definition; nothing in this folder needs it, or a compiler.

Images are ``[N, H, W, C]``, convolution weights ``[kh, kw, C, O]``, matrices ``[rows, columns]``;
float32 or float64.
"""

from importlib import import_module
from typing import Any

_FILES = {
    "augment": ("move_images",),
    "conv": ("conv2d", "conv2d_backward", "conv2d_input_grad", "conv2d_weight_grad"),
    "conv_per_image": (
        "conv2d_pool_weight_grad_magnitude",
        "conv2d_weight_grad_magnitude",
        "conv2d_weight_grad_squares",
    ),
    "conv_pool": ("conv2d_pool", "conv2d_pool_backward"),
    "csr": ("sparse_chain", "sparse_linear", "sparse_values_grad"),
    "csr_conv": ("sparse_conv2d",),
    "elementwise": ("add", "keep", "relu"),
    "linear": ("linear_backward", "matmul"),
    "loss": ("cross_entropy",),
    "norm": ("batch_moments", "batch_norm", "batch_norm_backward"),
    "philox": ("uniform",),
    "pool": (
        *("avg_pool2d", "avg_pool2d_backward"),
        *("max_pool2d", "max_pool2d_backward", "max_pool2d_gather"),
    ),
    "program": ("run_program",),
    "program_step": ("run_step",),
    "sensitivity": ("gated_magnitudes", "insensitivity_pull", "magnitude_product"),
    "steps": ("adam_step", "average_step", "sgd_step"),
    "zeroing": ("zero_at_random", "zero_gaussian"),
}
FILE_OF = {kernel: file for file, kernels in _FILES.items() for kernel in kernels}
"""For each kernel the file of its definition here, and of its compiled twin in `kernels`."""


def __getattr__(name: str) -> Any:
    """Import a definition's file at its first use and remember the function here (PEP 562)."""
    if name not in FILE_OF:
        raise AttributeError(f"module {__name__!r} has no definition {name!r}")
    globals()[name] = found = getattr(import_module(f"{__name__}.{FILE_OF[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *FILE_OF})
