"""The constructors of all pruning methods, and the functions that prepare a model for one.

The good arguments are those of tests/prune/every_method.py, seen on their way into the constructor.
"""

import functools
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import numpy as np

from minisparse import prune
from minisparse.prune.method import Method
from minisparse.train import train

sys.path.append(str(Path(__file__).parents[1] / "prune"))
import every_method


def constructors():
    """Yield for each case its name, the case, the class, and the arguments of its constructor."""
    for name, case in every_method.METHODS.items():
        kind, arguments = _arguments_of(case.make)
        if arguments:
            yield name, case, kind, arguments


def use(case, kind, net, /, **arguments):
    """Construct a method, and train with it for two epochs."""
    rng = np.random.default_rng(0)
    model = every_method.NETS[net](rng)
    case.prepare(model, rng)
    return train(
        model, every_method.data(), case.optimizer(model), epochs=2, rng=rng, batch_size=20,
        methods=[kind(**arguments)], progress=False,
    )  # fmt: skip


def preparations():
    """Yield the name of each ``add_...``, the function, and what makes good arguments for it."""
    for info in pkgutil.iter_modules(prune.__path__):
        module = importlib.import_module(f"{prune.__name__}.{info.name}")
        for name, function in vars(module).items():
            if name.startswith("add_") and function.__module__ == module.__name__:
                yield f"{info.name}.{name}", function, functools.partial(_good, function)


def _good(function):
    rng = np.random.default_rng(0)
    model = every_method.mlp(rng)
    values = {"model": model, "rng": rng, "names": every_method.layers_of(model)}
    values["alpha"] = 1.0
    values |= dict.fromkeys(("gates", "densities"), dict.fromkeys(values["names"], 0.5))
    good = {}
    for name, parameter in inspect.signature(function).parameters.items():
        default = parameter.default
        good[name] = values.get(name, 0.5 if default is parameter.empty else default)
    return good


def _arguments_of(make):
    """Return the class of the method that a function makes, and what its constructor got."""
    seen = []

    def watched(init):
        @functools.wraps(init)
        def call(self, *args, **kwargs):
            if not seen:
                bound = inspect.signature(init).bind(self, *args, **kwargs)
                bound.apply_defaults()
                seen.append((type(self), dict(list(bound.arguments.items())[1:])))
            return init(self, *args, **kwargs)

        return call

    kept = {c: c.__init__ for c in _below(Method) if "__init__" in vars(c)}
    kept = {c: init for c, init in kept.items() if c.__module__.startswith("minisparse")}
    try:
        for c, init in kept.items():
            c.__init__ = watched(init)
        made = make()
    finally:
        for c, init in kept.items():
            c.__init__ = init
    return seen[0] if seen else (type(made), {})


def _below(kind):
    for c in kind.__subclasses__():
        yield c
        yield from _below(c)
