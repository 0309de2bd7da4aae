"""The self-test's list, and broken verifiers, which it has to find out."""

import numpy as np
import pytest

from minisparse.gradcheck import gradcheck
from minisparse.gradcheck.mutants import specimens
from minisparse.gradcheck.report import Report
from minisparse.gradcheck.selftest import judge, run_selftest

SPECIMENS = {specimen.name: specimen for specimen in specimens()}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", SPECIMENS)
def test_the_verdict_is_right(name, seed):
    right, said = judge(SPECIMENS[name], seed)
    assert right, f"{said}, should be {SPECIMENS[name].cause or 'holds'}"


def test_the_list_is_complete():
    """Thirteen published mutants, five innocents, and the building blocks of pruning."""
    assert len(SPECIMENS) == len(specimens())
    named = " ".join(SPECIMENS)
    for word in ("mul", "matmul", "bias", "sigmoid", "relu", "softmax", "transpose", "reshape"):
        assert word in named
    for word in ("soft threshold", "hard-concrete", "|w|", "top-3", "straight-through", "masked"):
        assert any(s.cause is None for n, s in SPECIMENS.items() if word in n), word
        assert any(s.cause is not None for n, s in SPECIMENS.items() if word in n), word


def test_the_self_test_says_a_line_for_each():
    lines = []
    assert run_selftest(lines.append)
    assert len(lines) == len(SPECIMENS) + 1
    assert all(line.startswith("ok ") for line in lines[:-1])


# ---- broken verifiers ---------------------------------------------------------------------------
def verdict(cause):
    return Report(
        name="", ok=cause is None, cause=cause, message="", seed=0, dtype="float64"
    )  # fmt: skip


def always_passes(f, *inputs, backward=None, seed=0, stored=None):
    return verdict(None)


def always_fails(f, *inputs, backward=None, seed=0, stored=None):
    return verdict("unknown")


def difference(f, inputs, backward, cotangent_of, direction_of, h=1e-6):
    """Compare one projection of every argument by central differences."""
    arrays = [np.asarray(x) for x in inputs]
    y = np.asarray(f(*arrays))
    g = cotangent_of(y)
    gradients = backward(g.copy() if y.ndim else g[()], *arrays)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for i, (x, d) in enumerate(zip(arrays, gradients, strict=False)):
        if x.dtype.kind != "f" or d is None:
            continue
        for u in direction_of(x):

            def at(t, i=i, x=x, u=u):
                return f(*arrays[:i], x + t * u, *arrays[i + 1 :])

            numeric = np.sum(g * (at(h) - at(-h))) / (2 * h)
            if not np.isclose(np.sum(d * u), numeric, rtol=1e-4, atol=1e-7):
                return False
    return True


def textbook(cotangent_of, direction_of):
    """Return a checker that compares projections, and knows neither kinks nor causes."""

    def checker(f, *inputs, backward=None, seed=0, stored=None):
        if backward is None:
            return verdict(None)
        good = difference(f, inputs, backward, cotangent_of, direction_of)
        return verdict(None if good else "unknown")

    return checker


def ones(y):
    return np.ones(y.shape)


def normal(y):
    return np.random.default_rng(5).standard_normal(y.shape)


def one_direction(x):
    yield np.random.default_rng(6).standard_normal(x.shape)


def each_element(x):
    for k in range(min(x.size, 50)):
        u = np.zeros(x.size)
        u[k] = 1.0
        yield u.reshape(x.shape)


def without(stage, monkeypatch):
    """Return the verifier with one of its functions replaced by nothing."""
    from minisparse.gradcheck import causes, contract, directions, kinks, localise, precision

    module, name, replacement = {
        "contract": (contract, "check_contract", keeps_outputs),
        "linearity": (contract, "check_linearity", lambda exam: None),
        "precision": (precision, "check_precision", lambda exam: None),
        "projections": (directions, "compare", lambda exam: []),
        "kinks": (kinks, "legal", lambda exam, i, u, s, claimed: ~(s.kink | s.lost)),
        "kinks, generous": (
            kinks,
            "legal",
            lambda exam, i, u, s, claimed: np.ones(s.kink.shape, bool),
        ),
        "elements": (directions, "_chosen_elements", lambda exam, i: np.arange(0)),
        "localising": (localise, "localise", lambda exam, found: found.table),
        "explanations": (causes, "EXPLANATIONS", ()),
    }[stage]
    monkeypatch.setattr(module, name, replacement)
    return gradcheck


def keeps_outputs(exam):
    exam.outputs = exam.problem.forward(exam.values)


def mistakes(checker):
    for name, specimen in SPECIMENS.items():
        try:
            right, _ = judge(specimen, 0, checker)
        except Exception:  # noqa: BLE001  (a broken verifier may break)
            right = False
        if not right:
            yield name


@pytest.mark.parametrize(
    ("checker", "at_least"),
    [
        (always_passes, 20),
        (always_fails, 30),
        (textbook(ones, each_element), 20),
        (textbook(normal, one_direction), 20),
        (textbook(normal, each_element), 20),
    ],
    ids=["always passes", "always fails", "ones", "one projection", "elements"],
)
def test_a_broken_verifier_fails_the_self_test(checker, at_least):
    assert len([*mistakes(checker)]) >= at_least


def test_a_broken_verifier_is_reported():
    lines = []
    assert not run_selftest(lines.append, checker=always_passes)
    assert any(line.startswith("WRONG") and "should be" in line for line in lines)


@pytest.mark.parametrize(
    "name",
    [
        "sigmoid: upstream gradient ignored",
        "softmax: backward returns zeros",
        "reshape: wrong order (F)",
        "transpose: same permutation, not the inverse",
    ],
)
def test_a_cotangent_of_ones_hides_what_a_random_one_shows(name):
    s = SPECIMENS[name]
    assert textbook(ones, each_element)(s.f, *s.inputs, backward=s.backward)
    assert not textbook(normal, each_element)(s.f, *s.inputs, backward=s.backward)
    assert not gradcheck(s.f, *s.inputs, backward=s.backward)


@pytest.mark.parametrize(
    "stage",
    [
        "contract",
        "linearity",
        "projections",
        "kinks",
        "kinks, generous",
        "localising",
        "explanations",
    ],
)
def test_the_self_test_misses_every_stage(stage, monkeypatch):
    assert any(mistakes(without(stage, monkeypatch)))
