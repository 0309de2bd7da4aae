import copy
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from minisparse import sparse
from minisparse.autodiff import no_grad
from minisparse.nn import BatchNorm2d, Conv2d, Flatten, LeNet5, LeNet300, Linear, ReLU, Sequential
from minisparse.prune.mask import Mask
from minisparse.sparse import break_even, choose, report, shrink, sparsify
from minisparse.sparse.choosing import _crossing
from minisparse.sparse.storage import size_on_disk
from minisparse.sparse.timing import interleaved


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_masks(model, rng, density):
    return Mask(
        {n: rng.random(p.shape) < density for n, p in model.named_parameters() if p.ndim > 1}
    )


# ---- sizes --------------------------------------------------------------------------------------


def count_multiply_adds(conv, x, nonzero_only):
    """Slide the window over the padded image, and count."""
    (h, w), (kh, kw, *_), n = x.shape[1:3], conv.weight.shape, 0
    weights = np.count_nonzero(conv.weight.numpy()) if nonzero_only else conv.weight.size
    for i in range(0, h + 2 * conv.padding[0] - kh + 1, conv.stride[0]):
        for j in range(0, w + 2 * conv.padding[1] - kw + 1, conv.stride[1]):
            assert i + kh <= h + 2 * conv.padding[0]
            assert j + kw <= w + 2 * conv.padding[1]
            n += weights
    return n


def test_lenet5_as_the_literature_counts_it(rng):
    found = report(LeNet5(rng=rng), measure_latency=False)
    assert found.latency is None
    rows = {row["name"]: row for row in found.layers}
    assert [rows[n]["multiply_adds"] for n in rows] == [288_000, 1_600_000, 400_000, 5_000]
    assert found.total["parameters"] == 431_080
    assert found.total["dense_bytes"] == 4 * 431_080
    assert found.total["density"] == 1


def test_sizes_against_counting(rng):
    model = Sequential(
        Conv2d(2, 4, (3, 2), (2, 1), (1, 2), rng=rng), ReLU(), Conv2d(4, 3, 2, rng=rng), Flatten(),
        Linear(3 * 3 * 7, 5, bias=False, rng=rng),
    )  # fmt: skip
    masks = random_masks(model, rng, 0.3)
    masked = copy.deepcopy(model)
    masks.apply(masked)
    x = rng.standard_normal((1, 7, 5, 2)).astype(np.float32)
    found = report(model, masks, input_shape=(7, 5, 2), measure_latency=False)
    seen = x
    for name, row in zip("024", found.layers, strict=False):
        layer = getattr(masked, name)
        w = layer.weight.numpy()
        nonzero = np.count_nonzero(w)
        biases = 0 if layer.bias is None else layer.bias.size
        assert row["name"] == name
        assert row["parameters"] == w.size + biases
        assert row["nonzeros"] == nonzero  # biases are zero here
        assert row["density"] == nonzero / w.size
        if isinstance(layer, Conv2d):
            assert row["multiply_adds"] == count_multiply_adds(layer, seen, False)
            assert row["sparse_multiply_adds"] == count_multiply_adds(layer, seen, True)
            with no_grad():
                seen = layer(seen).numpy()
        else:
            assert (row["multiply_adds"], row["sparse_multiply_adds"]) == (w.size, nonzero)
        assert row["dense_bytes"] == 4 * (w.size + biases)
        assert row["csr_bytes"] == nonzero * 8 + 8 * (w.shape[-1] + 1) + 4 * biases
        assert row["bitmap_bytes"] == nonzero * 4 + -(-w.size // 8) + 4 * biases
        assert row["npz_bytes"] <= row["bitmap_bytes"]
    for key in ("parameters", "nonzeros", "multiply_adds", "csr_bytes", "effective"):
        assert found.total[key] == sum(row[key] for row in found.layers)
    assert found.total["npz_bytes"] == size_on_disk(masked)


def test_effective_parameters_are_those_of_the_small_model(rng):
    model = LeNet300(rng=rng, widths=(40, 20))
    for p in model.parameters():
        p.data = rng.standard_normal(p.shape).astype(np.float32)
    masks = random_masks(model, rng, 0.01)
    small, _ = shrink(model, masks)
    left = sum(np.count_nonzero(p.numpy()) for p in small.parameters())
    found = report(model, masks, measure_latency=False)
    assert found.total["effective"] == left < found.total["nonzeros"]
    sparse_model = sparsify(model, masks, "csr")
    again = report(sparse_model, measure_latency=False)
    assert again.total["effective"] == left
    for key in ("parameters", "nonzeros", "multiply_adds", "sparse_multiply_adds", "csr_bytes"):
        assert again.total[key] == found.total[key]


def test_the_text_is_a_table_and_the_data_are_plain(rng):
    model = LeNet300(rng=rng, widths=(40, 20))
    found = report(model, random_masks(model, rng, 0.1), batch=4, rounds=2)
    lines = str(found).splitlines()
    assert lines[0].split()[:3] == ["layer", "shape", "parameters"]
    assert [line.split()[0] for line in lines[1:5]] == ["fc1", "fc2", "fc3", "total"]
    assert len({len(line) for line in lines[:5]}) == 1
    assert "median of 2 interleaved rounds" in lines[-1]
    data = json.loads(json.dumps(found.as_dict()))
    assert data["layers"][0]["shape"] == "784x40"
    assert data["latency"]["rows"][0]["candidate"] == "dense"
    sparse_model = sparsify(model, random_masks(model, rng, 0.1), "csr")
    rows = report(sparse_model, batch=4, rounds=2).latency.rows
    assert [row["candidate"] for row in rows] == ["dense", "this"]


# ---- times --------------------------------------------------------------------------------------


def test_candidates_take_turns():
    calls = []
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: time.sleep(0.002)}, rounds=4)
    assert times["b"].us > 1900 > times["a"].us
    for t in times.values():
        assert 0 < t.low <= t.us <= t.high
    order = []
    slow = {name: lambda name=name: order.append(name) or time.sleep(0.001) for name in "ab"}
    interleaved(slow, rounds=3)
    assert order == [*"aabb", *3 * "aabb"]
    with pytest.raises(ValueError, match="at least 2 rounds"):
        interleaved({}, rounds=1)


def test_choosing_for_a_layer(rng):
    layer = Linear(300, 200, rng=rng)
    mask = rng.random((300, 200)) < 0.02
    choice = choose(layer, 64, Mask({"weight": mask}), rounds=5)
    assert list(choice.times) == ["dense", "csr", "blocked"]
    assert choice.best == min(choice.times, key=lambda n: choice.times[n].us)
    assert choice.model is choice.models[choice.best]
    x = rng.standard_normal((3, 300)).astype(np.float32)
    with no_grad():
        results = [m(x).numpy() for m in choice.models.values()]
    for y in results:
        np.testing.assert_allclose(y, x @ (layer.weight.numpy() * mask), rtol=1e-4, atol=1e-4)
    lines = str(choice).splitlines()
    assert lines[0].startswith("Linear")
    assert sum("<- fastest" in line for line in lines) == 1
    assert lines[-1].startswith("batch 64, no gradients, median of 5 interleaved rounds")
    for row in choice.rows:
        assert row["speedup"] == pytest.approx(choice.times["dense"].us / row["us"])


def test_choosing_for_a_model(rng):
    model = Sequential(
        Conv2d(1, 6, 3, rng=rng), BatchNorm2d(6), ReLU(), Flatten(), Linear(6 * 36, 9, rng=rng)
    )
    masks = random_masks(model, rng, 0.5)
    kept = masks["0.weight"].copy()
    kept[..., :3] = False
    masks = Mask({"0.weight": kept, "4.weight": masks["4.weight"]})
    x = rng.standard_normal((2, 8, 8, 1)).astype(np.float32)
    choice = choose(model, 5, masks, example=x, rounds=2)
    assert list(choice.times) == [
        "dense",
        "shrunk",
        "csr",
        "blocked",
        "shrunk, csr",
        "shrunk, blocked",
    ]
    with no_grad():
        results = [m.eval()(x).numpy() for m in choice.models.values()]
    for y in results[1:]:
        np.testing.assert_allclose(y, results[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="at least one sample"):
        choose(model, 0, masks, example=x)


def test_break_even(rng):
    found = break_even(Linear(200, 100, rng=rng), 32, (0.9, 0.1, 0.01), rounds=5)
    assert [row["density"] for row in found.rows] == [0.9, 0.1, 0.01]
    assert found.rows[-1]["speedup"] > found.rows[0]["speedup"]
    assert "break-even" in str(found)


def test_where_two_lines_cross():
    rows = [{"density": d, "speedup": s} for d, s in ((0.5, 0.5), (0.3, 0.5), (0.1, 2.0))]
    assert _crossing(rows) == pytest.approx(0.2)
    assert _crossing(rows[:2]) is None
    assert _crossing(rows[2:]) is None


# ---- the package --------------------------------------------------------------------------------


def test_every_name_is_there_and_costs_nothing_before_its_use():
    for name in sparse.__all__:
        value = getattr(sparse, name)
        assert callable(value), name
    assert dir(sparse) == sorted(sparse.__all__)
    with pytest.raises(AttributeError, match="no attribute 'shrinked'"):
        _ = sparse.shrinked
    code = (
        "import sys, minisparse.sparse as s; print('numba' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"
