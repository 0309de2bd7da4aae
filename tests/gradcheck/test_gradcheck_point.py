"""What the point of a check may hide, and what rounding may hide at it."""

import numpy as np
import pytest

from minisparse import gradcheck
from minisparse.autodiff import relu
from minisparse.gradcheck import GradcheckError

# ---- points at which wrong gradients look right -------------------------------------------------

HIDING = {
    "all zeros, and a factor of x": (np.zeros(3), lambda x: x * x, lambda g, x: 3 * g * x),
    "a single zero": (np.zeros(()), lambda x: x**3 / 3, lambda g, x: 2 * g * x * x),
    "a dead unit": (np.zeros((2, 3)), lambda x: np.sin(x) ** 2, lambda g, x: g * np.sin(x)),
    "all ones, and a power": (np.ones(4), lambda x: x**3, lambda g, x: 3 * g * x),
    "signs, and an absolute value": (
        np.array([1.0, -1.0]), lambda x: x**4 / 4, lambda g, x: g * x,
    ),
    "equal elements, and another one's slope": (
        np.full(4, 0.3), np.sin, lambda g, x: g * np.cos(x[::-1]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HIDING)
def test_a_point_that_hides_mistakes_is_not_trusted(what):
    x, forward, backward = HIDING[what]
    report = gradcheck(forward, x, backward=backward)
    said = report.message + " ".join(report.notes)
    assert not report or "beside that point it is WRONG" in said
    if report:
        assert "x is " in said


@pytest.mark.parametrize("x", [np.zeros(3), np.ones(3), np.full(4, 2.5)])
def test_a_right_gradient_holds_there_and_the_note_says_what_was_done(x):
    report = gradcheck(lambda x: x * x, x, backward=lambda g, x: 2 * g * x)
    assert report
    assert any("checked beside that point as well" in note for note in report.notes)


def test_a_function_that_stands_still_is_told():
    report = gradcheck(
        lambda x: np.round(x) * 0 + 4, np.linspace(0.1, 1, 4), backward=lambda g, x: 0 * x
    )
    assert report
    assert report.still == ["x"]
    assert "only zeros were compared" in report.notes[0]


def test_beside_a_point_the_domain_is_kept():
    """A root is not asked for at numbers below zero."""
    report = gradcheck(np.sqrt, np.ones(3), backward=lambda g, x: g / (2 * np.sqrt(x)))
    assert report
    assert any("checked beside" in note for note in report.notes)


def test_an_ordinary_point_needs_no_note():
    report = gradcheck(
        np.tanh, np.linspace(-1, 1, 4), backward=lambda g, x: g * (1 - np.tanh(x) ** 2)
    )
    assert report.notes == []


# ---- kinks that meet ----------------------------------------------------------------------------


def both_ways(x):
    return np.maximum(x, 0) - np.maximum(-x, 0)


POINT = np.array([-1.0, 0.0, 2.0])


def test_the_tape_and_a_hand_written_gradient_are_judged_by_one_rule():
    """relu(x) - relu(-x) is x: its derivative is 1, and the tape's choices add up to 0."""
    tape = gradcheck(lambda t: relu(t) - relu(-t), POINT)
    zero = gradcheck(both_ways, POINT, backward=lambda g, x: g * (x != 0))
    one = gradcheck(both_ways, POINT, backward=lambda g, x: g)
    assert tape
    assert zero
    assert one
    assert tape.notes == zero.notes
    assert "what every operation may choose, the whole may give" in tape.notes[0]
    assert one.notes == []


@pytest.mark.parametrize("value", [-1.0, 2.5, 5.0])
def test_what_no_choice_gives_is_wrong_where_kinks_meet(value):
    report = gradcheck(both_ways, POINT, backward=lambda g, x: g * np.where(x == 0, value, 1.0))
    assert not report


def test_without_kinks_nothing_may_be_chosen():
    report = gradcheck(lambda x: 1.0 * x, POINT, backward=lambda g, x: g * (x != 0))
    assert report.cause == "wrong-region"


def test_where_kinks_meet_it_has_to_be_right_beside_them():
    report = gradcheck(both_ways, POINT, backward=lambda g, x: g * np.where(x > 0, 2.0, x != 0))
    assert not report


# ---- (out, cache) -------------------------------------------------------------------------------

rng = np.random.default_rng(5)
AFFINE = rng.standard_normal((4, 3)), rng.standard_normal((3, 2)), rng.standard_normal(2)


def affine_forward(x, w, b):
    return x @ w + b, (x, w, b)


def affine_backward(dout, cache):
    x, w, _ = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def relu_forward(x):
    return np.maximum(x, 0), x


def relu_backward(dout, cache):
    return dout * (cache > 0)


def dropout_forward(x, settings):
    keep = np.random.default_rng(settings["seed"]).random(x.shape) < settings["p"]
    return x * keep / settings["p"], (settings, keep)


def dropout_backward(dout, cache):
    settings, keep = cache
    return dout * keep / settings["p"]


PAIRS = {
    "affine": (affine_forward, AFFINE, affine_backward),
    "one input": (relu_forward, (AFFINE[0],), relu_backward),
    "settings": (dropout_forward, (AFFINE[0], {"p": 0.5, "seed": 3}), dropout_backward),
    "a dict": (
        lambda x: (np.tanh(x), {"y": np.tanh(x)}), (AFFINE[0],), lambda dout, kept: dout * (1 - kept["y"] ** 2),
    ),
    "nothing kept": (lambda x: (2 * x, None), (AFFINE[0],), lambda dout, cache: 2 * dout),
}  # fmt: skip


@pytest.mark.parametrize("what", PAIRS)
def test_pairs_that_keep_a_cache(what):
    forward, inputs, backward = PAIRS[what]
    assert gradcheck(forward, *inputs, backward=backward)
    wrong = gradcheck(
        forward, *inputs, backward=lambda dout, cache: _doubled(backward(dout, cache))
    )
    assert wrong.cause == "constant-factor"


def _doubled(gradients):
    several = isinstance(gradients, tuple)
    return tuple(2 * g for g in gradients) if several else 2 * gradients


def test_two_outputs_are_not_taken_for_a_cache():
    report = gradcheck(
        lambda x: (np.sin(x), np.cos(x)),
        AFFINE[0],
        backward=lambda g, x: g[0] * np.cos(x) - g[1] * np.sin(x),
    )
    assert report


def test_what_is_neither_is_refused_with_both_forms():
    with pytest.raises(
        GradcheckError, match=r"\(out, cache\) for a backward with the two parameters"
    ):
        gradcheck(lambda x: (x, [x, (x, 1)]), AFFINE[0], backward=lambda g, x, y: g)


# ---- below the rounding of the rest -------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(x, labels):
    top = x.max(-1)
    return top + np.log(np.exp(x - top[:, None]).sum(-1)) - x[np.arange(len(x)), labels]


def cross_entropy_backward(g, x, labels):
    s = softmax(x)
    s[np.arange(len(x)), labels] -= 1
    return g[:, None] * s


@pytest.mark.parametrize("far", [10, 22, 30, 40, 300])
def test_a_confident_classifier_is_not_accused(far):
    x = np.random.default_rng(far).standard_normal((3, 5))
    x[np.arange(3), [0, 1, 2]] += far
    labels = np.array([0, 1, 2])
    assert gradcheck(cross_entropy, x, labels, backward=cross_entropy_backward)
    assert gradcheck(
        softmax, x, backward=lambda g, x: softmax(x) * (g - (g * softmax(x)).sum(-1, keepdims=True))
    )


def through(w, act, derivative):
    """Return a pair: a layer whose inputs are tiny beside its bias."""
    return (
        lambda x, b: act(x @ w + b),
        lambda g, x, b: ((g * derivative(x @ w + b)) @ w.T, (g * derivative(x @ w + b)).sum(0)),
    )


@pytest.mark.parametrize("size", [1.0, 1e-9, 1e-14, 1e-22])
def test_tiny_elements_beside_others(size):
    w = np.random.default_rng(1).standard_normal((3, 2))
    x = np.random.default_rng(2).standard_normal((4, 3)) * np.array([1.0, size, 1.0])
    b = np.array([0.3, size])
    for act, derivative in (
        (np.tanh, lambda h: 1 - np.tanh(h) ** 2),
        (lambda h: np.logaddexp(0, h), lambda h: 1 / (1 + np.exp(-h))),
    ):
        forward, backward = through(w, act, derivative)
        assert gradcheck(forward, x, b, backward=backward)


@pytest.mark.parametrize("seed", range(20))
def test_what_cancels_to_rounding_is_no_gradient(seed):
    """The variance does not move with a bias: its gradient is 0, and computed a rest of rounding."""
    draw = np.random.default_rng(seed)
    x, b = draw.standard_normal((6, 3)) * 10.0 ** draw.uniform(-6, 2, 3), draw.standard_normal(3)

    def backward(g, x, b):
        d = g * 2 * (x + b - (x + b).mean(0)) / len(x)
        return d, d.sum(0)

    assert gradcheck(lambda x, b: (x + b).var(0), x, b, backward=backward)


@pytest.mark.parametrize("seed", range(40))
def test_complex_numbers_that_lose_their_imaginary_part_are_noticed(seed):
    """abs drops it: half of the slopes are missing, and may cancel along a direction of equal steps."""
    draw = np.random.default_rng(seed)
    w = np.concatenate([draw.uniform(1, 2, 3), -draw.uniform(1, 2, 3), draw.uniform(0.01, 0.1, 4)])

    def huber(w):
        size = np.abs(w)
        return np.where(size < 0.5, w * w, size - 0.25).sum()

    right = gradcheck(huber, w, backward=lambda g, w: g * np.clip(2 * w, -1, 1), seed=seed)
    wrong = gradcheck(
        huber, w, backward=lambda g, w: g * np.where(np.abs(w) < 0.5, 2 * w, 0), seed=seed
    )
    assert right
    assert not wrong
