"""The search for a threshold against an exhaustive one; plateaus of losses that are written down."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import no_grad, relu
from minisparse.data import Split
from minisparse.evaluation import measure
from minisparse.prune import plateau as pl
from minisparse.prune.mask import Mask
from minisparse.prune.plateau import Plateau, PlateauThreshold, largest_threshold


def rng(seed=0):
    return np.random.default_rng(seed)


def mean_loss(*args, **settings):
    return measure(*args, **settings).loss


# ---- the search -------------------------------------------------------------------------------


def exhaustive(loss_of, v, limit):
    """Return the number of the smallest values that may go, trying every one of them."""
    different = sorted(set(v[v > 0].tolist()))
    best = 0
    for t in [*different[1:], math.inf]:
        if loss_of(t) <= limit:
            best = max(best, int(((v > 0) & (v < t)).sum()))
    return best


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 30, 31])
def test_largest_threshold_is_that_of_an_exhaustive_search(n, dtype):
    for seed in range(20):
        generator = rng(seed)
        v = generator.random(n).astype(dtype)
        if seed % 3 == 0:
            v = np.round(v, 1)  # ties, zeros
        calls = []

        def loss_of(t, v=v, calls=calls):
            calls.append(t)
            return float((v[v < t].astype(float) ** 2).sum())

        total = float((v.astype(float) ** 2).sum())
        for limit in (-1.0, 0.0, 0.5 * total, generator.random() * total, total, 2 * total):
            expected = exhaustive(loss_of, v, limit)
            calls.clear()
            found = largest_threshold(loss_of, v, limit)
            different = np.unique(v[v > 0]).size
            assert found.removed == ((v > 0) & (v < found.threshold)).sum() == expected
            assert found.evaluations == len(calls) <= math.ceil(math.log2(different + 1))
            assert len(set(calls)) == len(calls)
            if found.removed:
                assert found.loss == loss_of(found.threshold) <= limit
            else:
                assert found.loss is None
            if found.removed < (v > 0).sum():  # one float up, and one more goes
                assert found.threshold in v
                assert loss_of(np.nextafter(dtype(found.threshold), dtype(2))) > limit


def test_a_loss_that_is_not_monotone():
    for seed in range(200):
        generator = rng(seed)
        v = generator.random(12)
        values = {float(t): generator.random() for t in np.sort(v)[1:]}

        def loss_of(t, values=values):
            return values.get(t, 0.7)  # 0.7: everything removed

        found = largest_threshold(loss_of, v, 0.5)
        losses = [0.0, *values.values(), 0.7]  # by the number of removed values
        assert losses[found.removed] <= 0.5, "never above the limit"
        assert losses[found.removed + 1] > 0.5, "and the next one is"
    # two stretches of good thresholds: bisection ends in the lower one
    good = {0.2, 0.6}
    found = largest_threshold(lambda t: t not in good, np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), 0)
    assert (found.threshold, found.removed) == (0.2, 1)


def test_a_loss_that_is_not_a_number_is_too_large():
    v = np.array([1.0, 2.0, 3.0, 4.0])
    for bad in (math.nan, math.inf):
        found = largest_threshold(lambda t, bad=bad: 0.0 if t <= 2 else bad, v, 1.0)
        assert (found.threshold, found.removed, found.loss) == (2.0, 1, 0.0)


def test_nothing_and_everything():
    v = np.array([[0.5, 0.0], [0.25, 0.5]])
    assert largest_threshold(lambda _: 9.0, v, 1.0) == pl.Found(0.25, 0, None, 1)
    found = largest_threshold(lambda _: 0.5, v, 1.0)
    assert found == pl.Found(np.nextafter(0.5, 1), 3, 0.5, 2)
    single = largest_threshold(lambda _: 0.5, v.astype(np.float32), 1.0)
    assert single.threshold == np.nextafter(np.float32(0.5), np.float32(1)) > 0.5
    for nothing in (np.zeros(3), np.zeros(0)):
        assert largest_threshold(lambda _: 0.0, nothing, 1.0) == pl.Found(0.0, 0, None, 0)


def test_what_is_no_magnitude():
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="magnitudes are finite numbers >= 0"):
            largest_threshold(lambda _: 0.0, np.array([0.5, bad]), 1.0)
    with pytest.raises(ValueError, match="the limit of the loss is NaN"):
        largest_threshold(lambda _: 0.0, np.array([0.5]), math.nan)


# ---- plateaus ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patience", "losses", "reached"),
    [
        (2, [3, 2, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1]),
        (2, [3, 4, 2, 4, 1, 4, 4], [0, 0, 0, 0, 0, 0, 1]),  # in a row
        (3, [1, 2, 1.5, 1.25, 0.5], [0, 0, 0, 1, 0]),  # better than the last is not enough
        (1, [1, 1, 0.999], [0, 1, 0]),
        (0, [1, 2, 0.5], [1, 1, 1]),
        (2, [math.nan, math.nan], [0, 1]),
    ],
)
def test_plateau(patience, losses, reached):
    plateau = Plateau(patience)
    for _ in range(2):
        for i, (loss, expected) in enumerate(zip(losses, reached, strict=True)):
            assert plateau.improves(loss) == (loss < min(losses[:i], default=math.inf))
            assert plateau.reached == expected
        assert math.isinf(plateau.best) or plateau.best == min(losses)
        plateau.reset()
        assert (plateau.best, plateau.waited) == (math.inf, 0)


@pytest.mark.parametrize("patience", [-1, 2.0, math.nan, None, True])
def test_a_patience_that_is_no_number_of_epochs(patience):
    with pytest.raises(ValueError, match="patience is a number of epochs >= 0"):
        Plateau(patience)


# ---- of a model -------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        generator = rng(0)
        self.conv = nn.Conv2d(1, 2, 2, rng=generator)
        self.drop = nn.Dropout(0.5, rng=generator)
        self.fc = nn.Linear(8, 3, rng=generator)
        self.to(np.float64)

    def forward(self, x):
        return self.fc(self.drop(relu(self.conv(x))).reshape((x.shape[0], 8)))


WEIGHTS = ["conv.weight", "fc.weight"]
VALIDATION = Split(rng(1).integers(0, 256, (20, 3, 3, 1), np.uint8), rng(2).integers(0, 3, 20))


def loss_by_hand(model, normalize=(0.0, 1.0)):
    mode = model.training
    model.eval()
    with no_grad():
        z = model((VALIDATION.images / 255.0 - normalize[0]) / normalize[1]).numpy()
    model.train(mode)
    rows = np.arange(20)
    return float((np.log(np.exp(z).sum(axis=1)) - z[rows, VALIDATION.labels]).mean())


@pytest.mark.parametrize("batch_size", [1, 7, 20, 1000])
def test_mean_loss(batch_size):
    model = Net()
    assert mean_loss(model, VALIDATION, batch_size) == pytest.approx(loss_by_hand(model))
    found = mean_loss(model, VALIDATION, batch_size, (0.5, 0.25))
    assert found == pytest.approx(loss_by_hand(model, (0.5, 0.25)))
    assert model.training
    assert model.drop.training
    squares = mean_loss(model, VALIDATION, batch_size, loss=lambda z, _: (z * z).mean())
    model.eval()
    z = model(VALIDATION.images / 255.0).numpy()
    assert squares == pytest.approx((z**2).mean())


def test_thresholded_loss():
    model = Net()
    before = model.state_dict()
    mask = Mask.full(model)
    loss_at, v = pl.thresholded_loss(model, mask, lambda: loss_by_hand(model))
    np.testing.assert_array_equal(v, np.concatenate([np.abs(before[n]).ravel() for n in WEIGHTS]))
    losses = []
    for t in (0.0, *np.sort(v)[::3], 10.0):
        other = Net()
        other.load_state_dict(
            {n: np.where((np.abs(w) < t) & (n in WEIGHTS), 0, w) for n, w in before.items()}
        )
        losses.append(loss_at(t))
        assert losses[-1] == loss_by_hand(other)
        for name, w in model.state_dict().items():
            assert w.tobytes() == before[name].tobytes()
    assert losses[0] == loss_by_hand(model)
    assert len(set(losses)) > 5


def test_the_weights_are_back_after_a_failure():
    model = Net()
    before = model.state_dict()

    def fail():
        assert (model.fc.weight.numpy() == 0).any()
        raise InterruptedError

    loss_at, v = pl.thresholded_loss(model, Mask.full(model), fail)
    with pytest.raises(InterruptedError):
        loss_at(v.max())
    for name, w in model.state_dict().items():
        assert w.tobytes() == before[name].tobytes()


def test_other_array_libraries(device):
    model = Net()
    expected = mean_loss(model, VALIDATION, 7)
    at_numpy, v = pl.thresholded_loss(model, Mask.full(model), lambda: loss_by_hand(model))
    expected_at = at_numpy(0.3)
    model.to(array_module=device)
    assert mean_loss(model, VALIDATION, 7) == pytest.approx(expected, rel=1e-12)
    loss_at, there = pl.thresholded_loss(
        model, Mask.full(model), lambda: mean_loss(model, VALIDATION)
    )
    np.testing.assert_array_equal(there, v)
    assert loss_at(0.3) == pytest.approx(expected_at, rel=1e-12)
    assert loss_at(0.3) != expected


# ---- the object, with losses that are written down --------------------------------------------


class Scripted(PlateauThreshold):
    """A loss for each epoch, and `slope` more for each weight that is zero.

    The model says in a bias which epoch its weights are from.
    """

    def __init__(self, losses, slope=0.01, **settings):
        super().__init__(VALIDATION, **{"tolerance": 0.05, "patience": 2, **settings})
        self.losses, self.slope = losses, slope
        self.evaluations = 0

    def _loss_of(self, model):
        self.evaluations += 1
        state = model.state_dict()
        lost = sum(int((state[n] == 0).sum()) for n in WEIGHTS)
        return self.losses[int(state["fc.bias"][0])] + lost * self.slope

    def go(self, model):
        """Go through all epochs; return thresholds and metrics, and the states before and after."""
        found, metrics, before, after = [], [], [], []
        for epoch in range(len(self.losses)):
            with model.fc.bias.writing() as b:
                b[0] = epoch
            with model.fc.weight.writing() as w:
                w *= 1.1
            before.append(model.state_dict())
            run = SimpleNamespace(model=model, epoch=epoch, metrics={})
            t = self.after_epoch(run, Mask.full(model))
            if t is not None:
                keep = {n: np.abs(w) >= t for n, w in model.state_dict().items() if n in WEIGHTS}
                Mask(keep).apply(model)
            found.append(t)
            metrics.append(run.metrics)
            after.append(model.state_dict())
        return found, metrics, before, after


def sizes_of(state):
    return np.sort(np.concatenate([np.abs(state[n]).ravel() for n in WEIGHTS]))


def same(a, b):
    return all(np.array_equal(a[n], b[n]) for n in a)


def test_a_search_at_each_plateau_from_the_present_weights():
    losses = [2, 1, 1.1, 1.05, 2, 1.5, 1.6, 1.7]
    search = Scripted(losses, restore=False)
    found, metrics, before, after = search.go(Net())
    assert [t is not None for t in found] == [False] * 3 + [True] + [False] * 3 + [True]
    # 1.05 + 0.01 n <= 1.05 * 1.05 = 1.1025: n = 5, and T is the sixth smallest weight
    assert found[3] == sizes_of(before[3])[5]
    assert (sizes_of(after[3]) == 0).sum() == 5
    # the five count: 1.75 + 0.01 n <= 1.75 * 1.05 = 1.8375: n = 8
    assert found[7] == sizes_of(before[7])[5 + 8]
    assert (sizes_of(after[7]) == 0).sum() == 13
    shown = [m["loss_before_threshold"] for m in metrics]
    assert shown == pytest.approx([*losses[:4], *(v + 0.05 for v in losses[4:])])
    assert [m.get("threshold") for m in metrics] == found
    assert not search.finished


def test_a_search_from_the_best_weights_of_the_plateau():
    losses = [2, 1, 1.1, 1.05, 2, 1.5, 1.6, 1.7]
    found, _, before, after = Scripted(losses).go(Net())
    assert [t is not None for t in found] == [False] * 3 + [True] + [False] * 3 + [True]
    # 1 + 0.01 n <= 1.05, of the weights of epoch 1
    assert found[3] == pytest.approx(sizes_of(before[1])[5])
    for name, w in before[1].items():
        kept = np.abs(w) >= found[3] if name in WEIGHTS else True
        np.testing.assert_array_equal(after[3][name], np.where(kept, w, 0))
    # the weights before the last search are forgotten: 1.55 + 0.01 n <= 1.6275, n = 7
    assert found[7] == sizes_of(before[5])[5 + 7]
    assert after[7]["fc.bias"][0] == 5
    for epoch in (0, 1, 2, 4, 5, 6):
        assert same(before[epoch], after[epoch])


def test_it_takes_a_logarithm_of_the_number_of_weights():
    search = Scripted([1, 1])
    search.go(Net())  # 32 weights
    assert search.evaluations == 1 + 1
    search = Scripted([1, 1, 1])
    found, *_ = search.go(Net())
    assert found[2] is not None
    assert search.evaluations - 3 <= math.ceil(math.log2(33))


@pytest.mark.parametrize("restore", [False, True])
def test_it_is_over_when_nothing_can_be_removed(restore):
    search = Scripted([1, 2, 3, 1, 1, 1, 1], slope=1.0, restore=restore)
    found, metrics, before, after = search.go(Net())
    assert found == [None] * 7
    assert search.finished
    assert [list(m) for m in metrics] == [["loss_before_threshold"]] * 3 + [[]] * 4
    assert same(after[2], before[0 if restore else 2]), "the best weights stay"
    assert search.evaluations < 3 + 7, "no more is computed"
    search.reset()
    assert not search.finished


def test_tolerance():
    for tolerance, n in ((0.0, 0), (0.01, 1), (0.1, 10), (1e9, 32)):
        search = Scripted([1, 1, 1], tolerance=tolerance + 1e-9, restore=False)
        *_, after = search.go(Net())
        assert (sizes_of(after[-1]) == 0).sum() == n
    # the tolerance is relative to the size of a loss that is negative
    search = Scripted([-1, -1, -1], tolerance=0.1 + 1e-9, restore=False)
    *_, after = search.go(Net())
    assert (sizes_of(after[-1]) == 0).sum() == 10


def test_without_patience_there_is_a_search_after_every_epoch():
    found, *_ = Scripted([1, 1, 1], patience=0).go(Net())
    assert [t is None for t in found] == [False] * 3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_not_waited_for(bad):
    with pytest.raises(FloatingPointError, match=f"validation images is {bad} after epoch 2"):
        Scripted([1, bad]).go(Net())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tolerance": -0.01}, "tolerance is a finite number >= 0, got -0.01"),
        ({"tolerance": math.nan}, "tolerance is a finite number >= 0"),
        ({"tolerance": math.inf}, "tolerance is a finite number >= 0"),
        ({"patience": -1}, "patience is a number of epochs >= 0"),
        ({"patience": math.nan}, "patience is a number of epochs >= 0"),
        ({"patience": math.inf}, "patience is a number of epochs >= 0"),
        ({"batch_size": 0}, "the batch size must be at least 1"),
        ({"normalize": (0.5, 0.0)}, "positive deviations"),
        ({"normalize": ((0.5, 0.5), 1.0)}, "one for each of 1 channels"),
    ],
    ids=str,
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        PlateauThreshold(VALIDATION, **settings)


@pytest.mark.parametrize("bad", [VALIDATION.images, None, 0.1])
def test_images_that_are_no_split(bad):
    with pytest.raises(TypeError, match="validation must be a Split"):
        PlateauThreshold(bad)


def test_the_state_goes_on_where_it_was():
    losses = [2, 1, 1.1, 1.05, 2, 1.5, 1.6, 1.7]
    whole = Scripted(losses).go(Net())[0]
    for stop in range(1, 8):
        first, model = Scripted(losses[:stop]), Net()
        begun = first.go(model)[0]
        second = Scripted(losses)
        second.load_state_dict(first.state_dict())
        rest = []
        for epoch in range(stop, 8):
            model.fc.bias.data[0] = epoch
            with model.fc.weight.writing() as w:
                w *= 1.1
            run = SimpleNamespace(model=model, epoch=epoch, metrics={})
            rest.append(second.after_epoch(run, Mask.full(model)))
            if rest[-1] is not None:
                Mask({n: np.abs(model.state_dict()[n]) >= rest[-1] for n in WEIGHTS}).apply(model)
        assert begun + rest == whole


def test_a_state_of_another_search_is_refused():
    state = PlateauThreshold(VALIDATION).state_dict()
    PlateauThreshold(VALIDATION).load_state_dict(state)
    other_labels = Split(VALIDATION.images, (VALIDATION.labels + 1) % 3)
    other_images = Split(VALIDATION.images[::-1], VALIDATION.labels)
    for other in (
        PlateauThreshold(other_labels),
        PlateauThreshold(other_images),
        PlateauThreshold(VALIDATION, tolerance=0.1),
        PlateauThreshold(VALIDATION, patience=3),
        PlateauThreshold(VALIDATION, restore=False),
        PlateauThreshold(VALIDATION, batch_size=10),
        PlateauThreshold(VALIDATION, normalize=(0.5, 0.5)),
    ):
        with pytest.raises(ValueError, match=r"the search had tolerance 0\.05, patience 20"):
            other.load_state_dict(state)
