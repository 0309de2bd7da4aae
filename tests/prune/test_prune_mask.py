import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisparse import nn
from minisparse.autodiff import Tensor
from minisparse.optim import SGD, Adam
from minisparse.prune.mask import Mask, prunable
from minisparse.prune.sparse_variational_dropout import add_variances


def rng(seed=0):
    return np.random.default_rng(seed)


def random_mask(shapes, seed=0, density=0.5):
    generator = rng(seed)
    return Mask({n: generator.random(s) < density for n, s in shapes.items()})


SHAPES = {"conv.weight": (5, 3, 1, 7), "fc.weight": (13, 3), "fc.bias": (3,)}


# ---- what a mask is ---------------------------------------------------------------------------


def test_density_is_kept_and_sparsity_is_removed():
    mask = Mask({"a": [[1, 0, 0], [0, 0, 0]], "b": np.array([True, True])})
    assert (mask.kept, mask.total) == (3, 8)
    assert mask.density == 3 / 8
    assert mask.sparsity == 5 / 8
    assert repr(mask) == "Mask(2 parameters, 3 of 8 weights kept)"
    nearly_all = Mask({"a": np.arange(10) > 0})
    assert (nearly_all.density, nearly_all.sparsity) == (0.9, 0.1)
    assert Mask({"a": [0, 0]}).density == 0
    assert Mask({"a": [1, 1]}).sparsity == 0


def test_a_mask_is_a_mapping_of_frozen_bool_arrays():
    mine = np.array([[1.0, 0.0]])
    mask = Mask({"a": mine, "b": [1]})
    mine[:] = 0
    assert mask["a"].dtype == bool
    assert mask["a"].tolist() == [[True, False]]
    assert (list(mask), len(mask), "a" in mask, "c" in mask) == (["a", "b"], 2, True, False)
    assert {n: m.tolist() for n, m in mask.items()} == {"a": [[True, False]], "b": [True]}
    with pytest.raises(ValueError, match="read-only"):
        mask["a"][0, 0] = False
    with pytest.raises(KeyError, match="the mask has no 'c'; it has a, b"):
        mask["c"]


@pytest.mark.parametrize("bad", [[0.5, 1], [np.nan, 1], [2, 0], [-1, 0], [np.inf]])
def test_only_zeros_and_ones(bad):
    with pytest.raises(ValueError, match="mask 'a' holds values other than 0 and 1"):
        Mask({"a": bad})


def test_a_mask_of_nothing_has_no_density():
    with pytest.raises(ValueError, match="at least one parameter"):
        Mask({})
    with pytest.raises(ValueError, match="at least one weight"):
        Mask({"a": np.zeros((0, 3))})
    assert Mask({"a": np.zeros((0, 3)), "b": [1]}).density == 1


# ---- algebra ----------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1))
def test_algebra(seed, other_seed, density):
    a, b = random_mask(SHAPES, seed, density), random_mask(SHAPES, other_seed)
    both = a & b
    for name in SHAPES:
        expected = [x and y for x, y in zip(a[name].flat, b[name].flat, strict=True)]
        assert both[name].ravel().tolist() == expected
    assert both == b & a
    assert a & a == a
    assert ~~a == a
    assert (~a).kept == a.total - a.kept
    assert (a & ~a).kept == 0
    assert (a == b) == all(np.array_equal(a[n], b[n]) for n in SHAPES)


def test_masks_of_different_parameters_are_joined():
    joined = Mask({"a": [1, 0], "b": [0]}) & Mask({"a": [1, 1], "c": [1]})
    assert joined == Mask({"a": [1, 0], "b": [0], "c": [1]})
    assert joined != Mask({"a": [1, 0], "b": [0]})
    assert joined != "mask"
    with pytest.raises(ValueError, match=r"'a' is \(2,\) here and \(3,\) there"):
        Mask({"a": [1, 0]}) & Mask({"a": [1, 0, 1]})


# ---- models -----------------------------------------------------------------------------------


def small_model():
    return nn.Sequential(nn.Linear(4, 5, rng=rng()), nn.BatchNorm1d(5), nn.Linear(5, 3, rng=rng(1)))


def test_weights_are_prunable_and_the_rest_if_named():
    model = small_model()
    assert list(prunable(model)) == ["0.weight", "2.weight"]
    assert list(prunable(model, ["2.bias", "0.weight"])) == ["2.bias", "0.weight"]
    assert prunable(model)["2.weight"] is model[2].weight
    with pytest.raises(KeyError, match=r"the model has no \['3.weight'\]; it has 0.weight, 0.bias"):
        prunable(model, ["0.weight", "3.weight"])
    assert Mask.full(model).total == 20 + 15
    assert Mask.full(model).density == 1
    assert Mask.full(model, ["2.bias"]).total == 3


def test_apply_removes_exactly_what_the_mask_removes():
    model = small_model()
    mask = random_mask({"0.weight": (4, 5), "2.bias": (3,)}, 3)
    model[2].bias.data[...] = 1.0
    before = model.state_dict()
    mask.apply(model)
    for name, value in model.state_dict().items():
        keep = mask[name] if name in mask else np.ones(value.shape, bool)
        np.testing.assert_array_equal(value, np.where(keep, before[name], 0), err_msg=name)
    found = Mask.of_nonzeros(model, ["0.weight", "2.bias"])
    assert found == mask


@pytest.mark.parametrize("build", [lambda m: SGD(m, 0.1, 0.9, weight_decay=0.1), Adam])
def test_apply_after_every_step_holds_against_momentum(build):
    model = small_model()
    optimizer = build(model)
    mask = random_mask({"0.weight": (4, 5), "2.weight": (5, 3)}, 1)
    x = rng(2).standard_normal((6, 4)).astype(np.float32)
    for t in range(6):
        model.zero_grad()
        (model(x) * model(x)).mean().backward()
        optimizer.step()
        if t == 2:
            kept_by_momentum = model.state_dict()
        if t >= 2:
            mask.apply(model)
            assert Mask.of_nonzeros(model, list(mask)) == mask
    removed = ~mask["0.weight"]
    assert (kept_by_momentum["0.weight"][removed] != 0).all()
    optimizer.step()  # once without the mask: that is what it is for
    assert (model[0].weight.numpy()[removed] != 0).any()


def test_apply_checks_names_and_shapes_before_it_changes_anything():
    model = small_model()
    before = model.state_dict()
    for bad, error, message in (
        ({"1.scale": [1]}, KeyError, "the model has no '1.scale'; it has 0.weight"),
        (
            {"2.weight": [[1, 0]]},
            ValueError,
            r"'2.weight' is \(1, 2\), but the parameter is \(5, 3",
        ),
    ):
        with pytest.raises(error, match=message):
            Mask({"0.weight": np.zeros((4, 5)), **bad}).apply(model)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_apply_between_forward_and_backward_is_noticed():
    model = small_model()
    y = model(Tensor(np.ones((2, 4), np.float32), requires_grad=True)).sum()
    Mask.full(model).apply(model)
    with pytest.raises(RuntimeError, match="written to"):
        y.backward()


# ---- files ------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda s: "\x00" not in s and s.isprintable()),
        st.lists(st.integers(0, 9), max_size=4),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 99),
)
def test_a_mask_comes_back_from_its_file(tmp_path_factory, shapes, seed):
    generator = rng(seed)
    entries = {n: generator.random(s) < 0.5 for n, s in shapes.items()}
    entries["last"] = np.array([True, False, True])
    path = tmp_path_factory.mktemp("mask") / "mask.npz"
    mask = Mask(entries)
    mask.save(path)
    again = Mask.load(path)
    assert again == mask
    assert list(again) == list(mask)
    assert {n: m.shape for n, m in again.items()} == {n: m.shape for n, m in entries.items()}
    assert [p.name for p in path.parent.iterdir()] == ["mask.npz"], "no scratch file is left"


def test_a_bit_for_each_weight(tmp_path):
    random_mask({"w": (784, 300)}).save(tmp_path / "mask")
    assert (tmp_path / "mask").stat().st_size < 784 * 300 / 8 * 1.1 + 1000


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "mask.npz"
    Mask({"a": [1, 0]}).save(path)

    def fail(file, **arrays):
        file.write(b"half of " + repr(arrays).encode())
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        Mask({"a": [0, 0]}).save(path)
    assert Mask.load(path) == Mask({"a": [1, 0]})
    assert [p.name for p in tmp_path.iterdir()] == ["mask.npz"]


@pytest.fixture
def saved(tmp_path):
    mask = random_mask(SHAPES, 4)
    mask.save(tmp_path / "mask.npz")
    return mask, tmp_path / "mask.npz"


def test_a_truncated_file_is_never_a_mask(saved):
    _, path = saved
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"mask\.npz is not a readable mask"):
            Mask.load(path)


def test_an_altered_file_is_never_another_mask(saved):
    mask, path = saved
    whole = path.read_bytes()
    refused = 0
    for i in range(0, len(whole), 3):
        altered = bytearray(whole)
        altered[i] ^= 1 << (i % 8)
        path.write_bytes(altered)
        try:
            assert Mask.load(path) == mask, f"byte {i}"  # e.g. the archive's time stamps
        except ValueError:
            refused += 1
    assert refused > len(whole) / 3 / 2


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def entry(bits, shape):
    return npz(**{"names": np.array(["a"]), "bits:a": bits, "shape:a": np.array(shape)})


BITS = np.array([0b101 << 5], np.uint8)
FOREIGN = {
    "empty": b"",
    "text": b"conv1.weight: 1 0 0 1\n",
    "other names": npz(weight=np.ones(3)),
    "no shape": npz(**{"names": np.array(["a"]), "bits:a": BITS}),
    "no bits": npz(**{"names": np.array(["a"]), "shape:a": np.array([3])}),
    "too few bits": entry(BITS, [9]),
    "too many bits": entry(np.zeros(2, np.uint8), [3]),
    "negative lengths": entry(BITS, [-1, -3]),
    "huge": entry(BITS, [10**9, 10**9]),
    "floats": entry(np.ones(1), [3]),
    "nothing": npz(),
}


def test_a_well_formed_file_is_read(tmp_path):
    (tmp_path / "file").write_bytes(entry(BITS, [3]))  # the others fail for what is wrong in them
    assert Mask.load(tmp_path / "file") == Mask({"a": [1, 0, 1]})


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.npz is not a readable mask"):
        Mask.load(path)


def test_other_formats_and_missing_files(tmp_path):
    path = tmp_path / "other.npy"
    np.save(path, np.ones(3))
    with pytest.raises(ValueError, match="not a readable mask"):
        Mask.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("names", "bits:a", "shape:a"):
            archive.writestr(name, "a")
    with pytest.raises(ValueError, match="not a readable mask"):
        Mask.load(path)
    np.savez(tmp_path / "pickle.npz", names=np.array([{}], object))
    with pytest.raises(ValueError, match="not a readable mask") as raised:
        Mask.load(tmp_path / "pickle.npz")
    assert "pickle=" not in str(raised.value)  # NumPy's advice to load it all the same
    with pytest.raises(FileNotFoundError):
        Mask.load(tmp_path / "absent.npz")


def test_scores_and_variances_of_a_parametrization_are_no_weights():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(4, 3, rng=rng), nn.Linear(3, 2, rng=rng))
    add_variances(model, ["0"], rng)
    assert "0.parametrization.log_sigma2" in dict(model.named_parameters())
    assert list(prunable(model)) == ["0.weight", "1.weight"]
    assert list(prunable(model, ["0.parametrization.log_sigma2"])) == ["0.parametrization.log_sigma2"]
