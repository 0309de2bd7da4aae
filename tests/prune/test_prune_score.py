import numpy as np
import pytest
from every_method import NETS, data
from hooks import after_epoch, after_step, begin

from minisparse.data import batches
from minisparse.optim import SGD
from minisparse.prune.apoz import APoZPruning
from minisparse.prune.batch import Batch
from minisparse.prune.fisher import FisherPruning
from minisparse.prune.fpgm import FPGM
from minisparse.prune.granularity import group_scores
from minisparse.prune.grasp import GraSP
from minisparse.prune.lamp import LAMPPruning
from minisparse.prune.layerwise_obs import LayerwiseOBSPruning
from minisparse.prune.lookahead import LookaheadPruning
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.mask import Mask
from minisparse.prune.obc import OBCPruning
from minisparse.prune.obd import OBDPruning
from minisparse.prune.obs import OBSPruning
from minisparse.prune.random_pruning import RandomPruning
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.scope import keep_largest, top_k
from minisparse.prune.score import ScorePruning
from minisparse.prune.skeletonization import Skeletonization
from minisparse.prune.snip import SNIP
from minisparse.prune.sparsegpt import SparseGPTPruning
from minisparse.prune.synflow import SynFlow
from minisparse.prune.taylor import TaylorPruning
from minisparse.prune.units import best_units
from minisparse.prune.wanda import WandaPruning, keep_of_each_output
from minisparse.prune.woodfisher import WoodFisherPruning, WoodTaylorPruning
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


SCORES = {
    "magnitude": MagnitudePruning,
    "LAMP": LAMPPruning,
    "lookahead": LookaheadPruning,
    "SNIP": SNIP,
    "GraSP": GraSP,
    "skeletonization": Skeletonization,
    "OBD": OBDPruning,
    "Fisher": FisherPruning,
    "WoodFisher": WoodFisherPruning,
    "WoodTaylor": WoodTaylorPruning,
    "L-OBS": LayerwiseOBSPruning,
    "SynFlow": lambda sparsity, images: SynFlow(sparsity, rounds=1),  # noqa: ARG005
}


def asked_and_trained(method, net):
    """Return what a method says of a network outside of a training, and its mask in one."""
    model = NETS[net](np.random.default_rng(3)).to(np.float64)
    split = data(n=40)
    x, y = next(batches(split, 40, dtype=np.float64))
    scores = method.ask(Batch(model, (x, y)))
    begin(method, model, SGD(model, 0.1), split)  # on the same images, in another order
    return scores, method


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", SCORES)
def test_what_a_model_is_asked_outside_of_a_training_is_what_training_goes_by(name, net):
    scores, method = asked_and_trained(SCORES[name](one_shot(0.5), images=40), net)
    names = list(method.mask())  # the order in which ties are broken
    expected = keep_largest({n: scores[n] for n in names}, 0.5, method.scope, method.granularity)
    assert method.mask() == expected


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("kind", [WandaPruning, SparseGPTPruning])
def test_where_layers_are_treated_in_turn_the_first_goes_by_what_it_is_asked(kind, net):
    scores, method = asked_and_trained(kind(one_shot(0.5), images=40), net)
    name, m = next(iter(method.mask().items()))
    s = scores[name].reshape(-1, m.shape[-1])
    half = (s.size + 1) // 2
    if kind is WandaPruning:
        expected = keep_of_each_output(s, np.ones(s.shape, bool), half)
    else:
        expected = top_k(s, half)
    np.testing.assert_array_equal(m.reshape(s.shape), expected)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("kind", [OBSPruning, OBCPruning])
def test_the_first_weight_that_a_surgeon_removes_has_the_least_score(kind, net):
    size = sum(
        p.size for _, p in NETS[net](np.random.default_rng(3)).named_parameters() if p.ndim > 1
    )
    scores, method = asked_and_trained(kind(one_shot(1 / size), images=40), net)
    gone = {n: np.flatnonzero(~m) for n, m in method.mask().items()}
    for name, at in gone.items():
        assert set(at) <= {scores[name].argmin()}
    assert sum(map(len, gone.values())) == 1


def test_units_are_asked_for_as_training_does():
    for kind in (APoZPruning, FPGM, TaylorPruning):
        scores, method = asked_and_trained(kind(one_shot(0.5), images=40), "cnn")
        alive = {n: np.ones(s.shape, bool) for n, s in scores.items()}
        kept = best_units(scores, 0.5, method.scope, alive)
        for name, units in method.alive().items():
            np.testing.assert_array_equal(units, kept[name])


def test_a_model_that_is_asked_stays_as_it_is():
    model = NETS["mlp"](np.random.default_rng(0))
    before = model.state_dict()
    batch = Batch(model, next(batches(data(), 10)))
    for kind in (OBSPruning, SynFlow, SNIP, APoZPruning):
        kind(one_shot(0.9)).ask(batch)
    assert all(np.array_equal(w, before[n]) for n, w in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    drawn = [RandomPruning(one_shot(0.9)).ask(batch)["1.weight"] for _ in range(2)]
    np.testing.assert_array_equal(*drawn)


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
