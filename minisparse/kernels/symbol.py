# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ARG001 (an intrinsic's arguments are read by the code it generates)
"""Functions behind a symbol: compiled once, not with every caller.

Numba copies the machine code of a function into each function that calls it, and LLVM then works
through all of it again.  Where much is called from several places, or from a parallel loop (which is
compiled as three functions), that is most of the time that compilation takes.  So such a function is
compiled by itself; the compiler is told its address under a name, and its callers contain the name
alone::

    loop = Symbol(_loop)                  # a Python function as for numba.njit
    call = loop.call                      # a global name, for compiled functions
    loop.publish(types.int64, ...)        # before a caller is compiled or read from disk
    call((i, x, y))                       # in a compiled function: the arguments as one tuple

Integers must have 64 bits.  It makes no difference whether an array may be written to.
"""

from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import TypingError
from numba.extending import intrinsic

from minisparse.kernels.cache import keep_on_disk
from minisparse.kernels.jit import OPTIONS, overlook_late_changes

_config: Any = numba.config


class Symbol:
    """A function that compiled functions call by a name.

    Parameters
    ----------
    function : callable
        Of numbers, arrays, tuples of these, and None.
    returns : Numba type

    Attributes
    ----------
    call : intrinsic
        Takes a tuple of the function's arguments.
    """

    def __init__(self, function: Any, returns: Any = types.void) -> None:
        self.function, self.returns = function, returns
        self.call = _make_call(function, returns)
        self._compiled: dict[tuple[Any, ...], Any] = {}  # the code lives as long as these

    def publish(self, *arguments: Any) -> None:
        """Compile it for arguments of these types, unless that has been done, and tell its name."""
        if arguments in self._compiled or _config.DISABLE_JIT:
            return
        with global_compiler_lock:  # one name, one code: two threads may come at once
            if arguments in self._compiled:
                return
            overlook_late_changes()
            compiled: Any = CFunc(self.function, (arguments, self.returns), {}, dict(OPTIONS))
            keep_on_disk(compiled, self.function)
            compiled.compile()
            llvmlite.binding.add_symbol(_symbol(self.function, arguments), compiled.address)
            self._compiled[arguments] = compiled


def _make_call(function: Any, returns: Any) -> Any:
    if _config.DISABLE_JIT:
        return lambda arguments: function(*arguments)

    @intrinsic
    def call(typing_context, arguments):
        name = _symbol(function, arguments)
        if llvmlite.binding.address_of_symbol(name) is None:
            raise TypingError(f"'{name}' is called before it was published")

        def generate(context, builder, signature, values):
            values = cgutils.unpack_tuple(builder, values[0])
            result = ir.VoidType() if returns is types.void else context.get_value_type(returns)
            kind = ir.FunctionType(result, [value.type for value in values])
            found = builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)
            return context.get_dummy_value() if returns is types.void else found

        return returns(arguments), generate

    return call


def _symbol(function: Any, arguments: Any) -> str:
    """Return the name of a function for arguments of these types, as the compiler sees it."""
    kinds = ", ".join(str(_plain(kind)) for kind in arguments)
    return f"{function.__module__}.{function.__name__}({kinds})"


def _plain(kind: Any) -> Any:
    """Return the type of what is represented in the same way."""
    kind = types.unliteral(kind)
    if isinstance(kind, types.Array):
        return kind.copy(readonly=False)
    return types.int64 if kind == types.uint64 else kind
