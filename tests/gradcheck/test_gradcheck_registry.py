"""Every gradient of the package: operations, layers, models, losses, gates, penalties, formulas."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest

from minisparse import Tensor, autodiff, nn, prune
from minisparse.autodiff.ops import OPS
from minisparse.gradcheck import GradcheckError, gradcheck, registry, samples

ENTRIES = {f"{entry.kind} {entry.name}": entry for entry in registry.entries()}


@pytest.mark.parametrize("name", ENTRIES)
def test_the_gradient_holds(name):
    for report in registry.check_entry(ENTRIES[name]):
        assert report, str(report)


def test_every_operation_and_module_has_a_sample():
    assert all(entry.samples for entry in ENTRIES.values())
    assert {e.name for e in ENTRIES.values() if e.kind == "operation"} == set(OPS)
    assert {e.name for e in ENTRIES.values() if e.kind == "module"} >= {"LeNet300", "LeNet5"}
    rng = np.random.default_rng(0)
    assert samples.operations(rng).keys() == OPS.keys()  # and none is left from an earlier name


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(prune.__path__)])
def test_every_formula_is_checked_or_has_no_gradient(module):
    """What has no gradient that could be wrong is named beside the code, in ``__no_gradient__``.

    Such functions select, count, draw and keep books, or they apply formulas that are checked under
    their own names.
    """
    found = importlib.import_module(f"minisparse.prune.{module}")
    public = {
        name
        for name, thing in vars(found).items()
        if inspect.isfunction(thing) and thing.__module__ == found.__name__ and name[0] != "_"
    }
    formulas = [e.name for e in ENTRIES.values() if e.kind == "formula"]
    checked = {name.split(".")[1] for name in formulas if name.startswith(f"{module}.")}
    without = set(getattr(found, "__no_gradient__", ()))
    assert public - checked - without == set(), "add a sample, or name it in __no_gradient__"
    assert without <= public - checked


def test_every_change_of_a_layer_is_checked_as_it_runs():
    """``add_gates`` and its like: the forward of the layer, noise and divergence included."""
    found = {
        f"{module.name}.{name}"
        for module in pkgutil.iter_modules(prune.__path__)
        for name, thing in vars(importlib.import_module(f"minisparse.prune.{module.name}")).items()
        if name.startswith("add_") and thing.__module__ == f"minisparse.prune.{module.name}"
    }
    assert found <= {e.name for e in ENTRIES.values() if e.kind == "formula"}
    assert len(found) > 20


def test_every_stochastic_form_with_a_density_is_checked():
    from minisparse.prune import stochastic

    # erfc is a polynomial that is right to 1.5e-7: its derivative is not the density's
    densities = {name for name, form in stochastic.FORMS.items() if form.density is not None}
    for name in densities - {"erfc"}:
        assert f"formula stochastic.FORMS[{name!r}]" in ENTRIES


def test_a_new_operation_without_a_sample_fails(monkeypatch):
    def new(x):
        return x

    monkeypatch.setitem(OPS, "new", new)
    lines = []
    monkeypatch.setattr(registry, "entries", lambda seed: [registry.find("new", seed)])
    monkeypatch.setattr(registry, "find", lambda name, seed: registry.Entry("operation", name, []))
    assert not registry.run_all(lines.append)
    assert lines[0].startswith("FAILS")
    assert "no sample inputs for new" in lines[0]


def test_a_new_operation_and_a_new_module_are_entries(monkeypatch):
    class Layer(nn.Module):
        pass

    monkeypatch.setitem(OPS, "new", autodiff.exp)
    monkeypatch.setattr(nn, "Layer", Layer, raising=False)
    monkeypatch.setattr(nn, "__all__", [*nn.__all__, "Layer"])
    for name in ("new", "Layer"):
        with pytest.raises(GradcheckError, match="no sample inputs"):
            registry.check_entry(registry.find(name))


def test_a_wrong_operation_is_found(monkeypatch):
    from minisparse.autodiff.ops.activations import tanh

    op = type(tanh(Tensor(np.ones(2), requires_grad=True)).op)
    monkeypatch.setattr(op, "backward", lambda self, grad, y, *x: grad * (1.0 - y))
    lines = []
    monkeypatch.setattr(registry, "entries", lambda seed: [ENTRIES["operation tanh"]])
    assert not registry.run_all(lines.append)
    assert lines[0].startswith("FAILS")
    assert "THE GRADIENT IS WRONG" in lines[1]


@pytest.mark.parametrize(
    "name",
    [
        "deep_r.walk",
        "eigendamage.kronecker_saliency",
        "force.foresight",
        "grasp.flow_without",
        "l0_arm.arm_gradient",
        "n_of_m.sr_ste",
        "obd.curvatures",
        "obd.recursion_curvatures",
        "skeletonization.relevance",
        "snip.connection_sensitivity",
        "synflow.synaptic_flow",
        "taylor.activation_form",
        "taylor.gate_form",
        "taylor.products",
    ],
)
def test_a_score_with_a_wrong_factor_is_found(monkeypatch, name):
    module = importlib.import_module(f"minisparse.prune.{name.split('.')[0]}")
    right = getattr(module, name.split(".")[1])

    def wrong(*given):
        found = right(*given)
        if isinstance(found, tuple):
            return found[0], {key: 1.1 * value for key, value in found[1].items()}
        if isinstance(found, dict):
            return {key: 1.1 * value for key, value in found.items()}
        return 1.1 * found

    monkeypatch.setattr(module, name.split(".")[1], wrong)
    entry = registry.find(name)  # a sample may hold the formula itself
    assert not all(registry.check_entry(entry))


def test_a_backward_that_mixes_cotangents_is_found(monkeypatch):
    """One cotangent at a time it is right, several at once are summed up."""
    from minisparse.autodiff.ops.activations import tanh

    op = type(tanh(Tensor(np.ones(2), requires_grad=True)).op)

    def backward(self, grad, y, *x):
        if grad.ndim > y.ndim:
            grad = grad + autodiff.sum_(grad, axis=0, keepdims=True) * 0.1
        return grad * (1.0 - y * y)

    monkeypatch.setattr(op, "backward", backward)
    reports = registry.check_entry(ENTRIES["operation tanh"])
    assert not all(reports)
    assert "Several cotangents in one pass" in reports[-1].message


@pytest.mark.parametrize("name", ["softmax", "autodiff.softmax", "minisparse.autodiff.ops.softmax"])
def test_entries_are_found_by_name(name):
    assert registry.find(name).name == "softmax"


def test_names_that_do_not_exist():
    assert registry.find("softmacks") is None


def test_a_surrogate_of_a_declared_operation_is_noted():
    """The registry's own operations declare none; the note is for those that do."""

    class Rounded(autodiff.Op):
        def forward(self, x):
            return np.round(x)

        def backward(self, grad, y, x):
            return grad

        def surrogate(self, x):
            return x

    report = gradcheck(Rounded(), np.linspace(-2, 2, 7))
    assert report
    assert "true derivative is another one" in str(report)
