"""What sensitivity, LOBSTER and SeReNe share: the factor, the shrinkage, settings, state."""

import numpy as np

from minisparse.prune import insensitivity as ins


def rng(seed=0):
    return np.random.default_rng(seed)


def test_insensitivity_lies_between_0_and_1():
    s = np.array([0.0, 0.25, 1.0, 1.5, 1e9, np.inf])
    assert ins.insensitivity(s).tolist() == [1, 0.75, 0, 0, 0, 0]


def test_shrinkage_is_the_gradient_of_the_regularizer_with_s_held_fixed():
    # R(w) = lambda (w^2 / 2) max(0, 1 - S)
    generator = rng()
    w, s = generator.standard_normal(50), generator.uniform(0, 2, 50)
    h = 1e-5

    def regularizer(w):
        return [0.3 * v * v / 2 * max(0.0, 1 - t) for v, t in zip(w, s, strict=True)]

    slope = (np.array(regularizer(w + h)) - regularizer(w - h)) / (2 * h)
    np.testing.assert_allclose(ins.shrinkage(w, s, 0.3), slope, rtol=1e-9, atol=1e-12)
    assert (ins.shrinkage(w, s, 0.3)[s > 1] == 0).all()
    np.testing.assert_allclose(ins.shrinkage(w, 0 * s, 0.3), 0.3 * w)
