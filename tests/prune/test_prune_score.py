import numpy as np
import pytest
from every_method import NETS, data
from hooks import after_epoch, after_step, begin

from minisparse.optim import SGD
from minisparse.prune.granularity import group_scores
from minisparse.prune.mask import Mask
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.scope import keep_largest
from minisparse.prune.score import ScorePruning
from minisparse.train import train


class Given(ScorePruning):
    """Scores that a test gives."""

    seen = 0

    def score(self, weights, batch):
        self.seen += 1
        return self.table(weights, batch)


def given(table, sparsity, **settings):
    method = Given(sparsity, **settings)
    method.table = table
    return method


def by_position(weights, _):
    return {n: np.arange(w.size, dtype=float).reshape(w.shape) for n, w in weights.items()}


def model_and_optimizer():
    model = NETS["mlp"](np.random.default_rng(0))
    return model, SGD(model, 0.1, momentum=0.9)


def test_the_lowest_scores_go_whatever_the_weights_are():
    model, optimizer = model_and_optimizer()
    method = given(by_position, one_shot(0.5), scope="layer")
    begin(method, model, optimizer)
    for _, kept in method.mask().items():  # noqa: PERF102
        flat = kept.ravel()
        assert not flat[: flat.size // 2].any()
        assert flat[flat.size // 2 :].all()


def test_negative_scores_of_what_is_left_rank_above_what_is_gone():
    model, optimizer = model_and_optimizer()
    sparsity = [0.25, 0.5, 0.75]
    method = given(lambda w, b: {n: s - 1e6 for n, s in by_position(w, b).items()},
                   lambda t: sparsity[t], scope="layer")  # fmt: skip
    run = begin(method, model, optimizer)
    for left in (0.5, 0.25):
        before = method.mask()
        after_epoch(run)
        assert method.mask().density == pytest.approx(left)
        assert (before & method.mask()) == method.mask()


def test_a_group_ranks_by_what_is_left_of_it():
    scores = {"w": np.array([[5.0, 1.0, -9.0], [5.0, 1.0, -9.0], [5.0, 1.0, -9.0]])}
    left = Mask({"w": [[0, 1, 0], [0, 1, 0], [1, 1, 0]]})  # 5, 3, nothing
    kept = keep_largest(scores, 1 / 3, granularity="unit", within=left)
    assert kept["w"].any(axis=0).tolist() == [True, False, False]
    scores["w"][:, 0] = 2.0
    kept = keep_largest(scores, 2 / 3, granularity="unit", within=left)  # 2, 3, nothing
    assert kept["w"].any(axis=0).tolist() == [True, True, False]
    scores["w"][:] = -np.abs(scores["w"])
    kept = keep_largest(scores, 2 / 3, granularity="unit", within=left)
    assert kept["w"].any(axis=0).tolist() == [True, True, False], "nothing left is below -3"


def test_the_schedule_is_asked_at_the_start_at_epochs_and_every_so_many_steps():
    model, optimizer = model_and_optimizer()
    asked = []

    def sparsity(t):
        asked.append(t)
        return 0.1

    run = begin(given(by_position, sparsity, every=2), model, optimizer, batch_size=5)
    for _ in range(4):
        after_step(run)
    after_epoch(run)
    assert asked == [0, 0.5, 1, 1]


def test_images_are_drawn_only_by_scores_that_look_at_them():
    def run_with(table, **settings):
        model, optimizer = model_and_optimizer()
        rng = np.random.default_rng(4)
        train(
            model, data(), optimizer, epochs=1, rng=rng, batch_size=10,
            methods=[given(table, one_shot(0.5), **settings)], progress=False,
        )  # fmt: skip
        return rng.bit_generator.state["state"], model.state_dict()

    blind, weights = run_with(by_position)
    sizes = []

    def looking(w, batch):
        sizes.append(len(batch))
        return by_position(w, batch)

    seeing, _ = run_with(looking)
    assert blind != seeing
    run_with(looking, images=23)
    assert sizes == [10, 10, 23, 23]
    again, weights_2 = run_with(by_position, images=23)
    assert again == blind
    for name in weights:
        np.testing.assert_array_equal(weights[name], weights_2[name])


def test_sparsity_0_asks_for_no_score():
    model, optimizer = model_and_optimizer()
    method = given(by_position, gradual(0.9, 1, 3))
    run = begin(method, model, optimizer)
    after_epoch(run)
    assert method.seen == 0
    after_epoch(run)
    assert method.seen == 1


def test_units_are_scored_by_the_sum_over_their_weights():
    model, optimizer = model_and_optimizer()
    rng = np.random.default_rng(2)
    table = {n: rng.random(p.shape) for n, p in model.named_parameters() if p.ndim > 1}
    method = given(lambda *_: table, one_shot(0.5), scope="layer", granularity="unit")
    begin(method, model, optimizer)
    for name, kept in method.mask().items():
        units = group_scores(table[name], "unit")
        alive = kept.any(axis=0)
        assert kept.all(axis=0)[alive].all()
        assert units[alive].min() > units[~alive].max()


def test_errors():
    model, optimizer = model_and_optimizer()
    with pytest.raises(NotImplementedError, match="says no score"):
        begin(ScorePruning(one_shot(0.5)), model, optimizer)
    for name in ("every", "images"):
        with pytest.raises(ValueError, match=f"{name} is a number of"):
            ScorePruning(one_shot(0.5), **{name: 0})
    with pytest.raises(ValueError, match="are NaN"):
        begin(given(lambda w, _: {n: a * np.nan for n, a in w.items()}, one_shot(0.5)),
              model, optimizer)  # fmt: skip
