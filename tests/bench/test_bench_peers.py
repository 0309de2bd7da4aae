"""Networks of peers, built here; what a peer that does something else looks like."""

import importlib.util

import numpy as np
import pytest

from minisparse.bench import jobs, peers, workload
from minisparse.bench.agreement import disagreement
from minisparse.bench.cases import CASES, Task
from minisparse.bench.peers import numpy as by_hand
from minisparse.bench.peers import ours

BATCH = 4


def task_of(net, training):
    return Task("any", BATCH, net, training)


@pytest.fixture(scope="module")
def digests():
    return {
        (net, training): ours.build(task_of(net, training)).digest()
        for net in ("lenet300", "lenet5")
        for training in (True, False)
    }


def dense_forward(w, x):
    """Compute LeNet-300-100 in float64."""
    h = x.reshape(len(x), 784).astype(float)
    for layer in ("fc1", "fc2", "fc3"):
        h = h @ w[f"{layer}.weight"] + w[f"{layer}.bias"]
        h = h if layer == "fc3" else np.maximum(h, 0)
    return h


@pytest.mark.parametrize("net", ["lenet300", "lenet5"])
@pytest.mark.parametrize("training", [True, False])
def test_numpy_by_hand_computes_the_same(net, training, digests):
    found = by_hand.build(task_of(net, training)).digest()
    assert disagreement(digests[net, training], found) is None
    assert found.keys() == ({"loss", "logits"} if training else {"logits"})
    assert len(set(found["logits"])) > 1


def test_the_digest_is_that_of_the_definition(digests):
    x, y = workload.batches(BATCH)
    z = dense_forward(workload.weights("lenet300"), x[0])
    loss = np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(BATCH), y[0]])
    assert digests["lenet300", True]["loss"][0] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize(
    ("attribute", "value"), [("_LR", np.float32(0.011)), ("_MOMENTUM", np.float32(0.8))]
)
@pytest.mark.parametrize("net", ["lenet300", "lenet5"])
def test_another_learning_rate_or_momentum_is_caught(net, attribute, value, digests, monkeypatch):
    monkeypatch.setattr(by_hand, attribute, value)
    found = by_hand.build(task_of(net, True)).digest()
    assert disagreement(digests[net, True], found) is not None


def test_a_net_that_does_not_reset_is_caught(digests):
    job = by_hand.build(task_of("lenet300", True))
    job.call()
    assert disagreement(digests["lenet300", True], job.digest()) is None  # digest starts anew
    job.reset()
    assert disagreement(digests["lenet300", True], job.digest()) is None


def test_the_batches_are_taken_in_turn():
    seen = []

    class Net:
        def load(self, weights): ...

        def images(self, x):
            return float(x[0, 0, 0, 0])

        def labels(self, y):
            return int(y[0])

        def logits(self, x):
            seen.append(x)

    job = jobs.net_job(Net(), task_of("lenet300", False))
    for _ in range(10):
        job.call()
    x, _ = workload.batches(BATCH)
    firsts = [float(a) for a in x[:, 0, 0, 0, 0]]
    assert seen == firsts + firsts[:2]


@pytest.mark.parametrize("case", ["sparse-csr", "shrunk"])
def test_sparse_forms_compute_what_the_dense_model_does(case):
    task = Task(case, BATCH, "lenet300", sparsity=0.95)
    found = ours.build(task).digest()
    assert disagreement(ours.dense(task).digest(), found) is None
    choose = workload.scattered if case == "sparse-csr" else workload.whole_units
    w = workload.masked(workload.weights("lenet300"), choose(0.95))
    expected = dense_forward(w, workload.batches(BATCH)[0][-1])
    np.testing.assert_allclose(np.reshape(found["logits"], (BATCH, 10)), expected, atol=1e-5)


@pytest.mark.parametrize("sparsity", [0.9, 0.95, 0.99])
def test_masks_have_the_sparsity_that_is_asked_for(sparsity):
    for choose, slack in ((workload.scattered, 0.002), (workload.whole_units, 0.012)):
        masks = choose(sparsity)
        kept = sum(int(mask.sum()) for mask in masks.values())
        assert 1 - kept / 266_200 == pytest.approx(sparsity, abs=slack)
        assert choose(sparsity)["fc1.weight"].tolist() == masks["fc1.weight"].tolist()


def test_units_are_dropped_whole():
    masks = workload.whole_units(0.9)
    first, second = masks["fc1.weight"].any(0), masks["fc2.weight"].any(0)
    assert (masks["fc1.weight"] == first).all()
    assert (masks["fc2.weight"] == np.outer(first, second)).all()
    assert (masks["fc3.weight"] == second[:, None]).all()


@pytest.mark.parametrize("chain", [1, 3])
def test_the_addition_is_what_it_says(chain):
    found = ours.build(Task("op-overhead", 1, chain=chain)).digest()
    _, _, g = jobs.operands()
    assert found["gradient of a"] == pytest.approx(g.tolist())
    assert found["gradient of b"] == pytest.approx((chain * g).tolist())
    assert ours.build(Task("op-overhead", 1, chain=chain)).scale == chain


def test_channels_first_weights_compute_the_same():
    """Follow a one-hot image of activations through fc1, in both orders of flattening."""
    w = workload.weights("lenet5")
    new = workload.channels_first(w)
    h = np.random.default_rng(0).standard_normal((4, 4, 50))
    np.testing.assert_allclose(
        h.reshape(-1) @ w["fc1.weight"], h.transpose(2, 0, 1).reshape(-1) @ new["fc1.weight"]
    )
    assert new["conv2.weight"][7, 3, 1, 2] == w["conv2.weight"][1, 2, 3, 7]


def test_multiply_adds_of_a_training_step():
    # forward, gradient of the weights; of the inputs, except those of the first layer
    mlp = [784 * 300, 300 * 100, 100 * 10]
    assert workload.multiply_adds("lenet300", training=True) == 3 * sum(mlp) - mlp[0]
    conv = [24 * 24 * 25 * 20, 8 * 8 * 500 * 50, 800 * 500, 500 * 10]
    assert workload.multiply_adds("lenet5", training=True) == 3 * sum(conv) - conv[0]


PARTS = [
    (peer, case.name, next(case.tasks()))
    for case in CASES.values()
    if case.kind == "net"  # those that grow: small ones in test_bench_growth.py
    for peer in case.peers
]


@pytest.mark.filterwarnings("default")  # a framework of others may warn
@pytest.mark.parametrize(("peer", "case", "task"), PARTS, ids=[f"{p}-{c}" for p, c, _ in PARTS])
def test_an_installed_peer_agrees(peer, case, task):
    if importlib.util.find_spec(peers.PEERS[peer].needs) is None:
        pytest.skip(f"{peer} is not installed")
    if peer == "torch-compile":
        pytest.skip("compiles for half a minute; `minisparse bench` itself checks it")
    task = Task(**{**task.as_json(), "batch": 1 if case == "op-overhead" else BATCH})
    assert disagreement(ours.build(task).digest(), peers.builder(peer)(task).digest()) is None
