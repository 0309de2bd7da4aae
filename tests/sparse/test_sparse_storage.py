import io
import json
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisparse import checkpoint
from minisparse.autodiff import no_grad
from minisparse.nn import (
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    LeNet5,
    LeNet300,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from minisparse.prune.mask import Mask
from minisparse.sparse import SparseFileError, load, save, shrink, sparsify
from minisparse.sparse.storage import _kept, _places, encode, size_on_disk


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pruned(model, rng, density):
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            p.data = rng.standard_normal(p.shape).astype(p.dtype)
    masks = Mask(
        {n: rng.random(p.shape) < density for n, p in model.named_parameters() if p.ndim > 1}
    )
    masks.apply(model)
    return model


def everything(rng):
    return Sequential(
        Conv2d(1, 3, (3, 2), (1, 2), (1, 0), bias=False, rng=rng),
        BatchNorm2d(3, eps=1e-3, momentum=0.2),
        ReLU(),
        MaxPool2d((2, 1), 1),
        AvgPool2d(2, padding=1),
        Dropout(0.25, rng=rng),
        Flatten(),
        Linear(36, 5, rng=rng),
        BatchNorm1d(5),
    )


def small_lenet300(rng):
    return LeNet300(rng=rng, widths=(30, 20))


def outputs(model, x):
    with no_grad():
        return model.eval()(x).numpy()


FORMS = {
    "dense": lambda rng: pruned(small_lenet300(rng), rng, 1.0),
    "with zeros": lambda rng: pruned(small_lenet300(rng), rng, 0.05),
    "float64": lambda rng: pruned(small_lenet300(rng).to(np.float64), rng, 0.3),
    "csr": lambda rng: sparsify(pruned(small_lenet300(rng), rng, 0.1), format="csr"),
    "blocked": lambda rng: sparsify(pruned(small_lenet300(rng), rng, 0.1), format="blocked"),
    "shrunk": lambda rng: shrink(pruned(small_lenet300(rng), rng, 0.002))[0],
    "inputs": lambda rng: shrink(pruned(small_lenet300(rng), rng, 0.002), inputs=True)[0],
    "lenet5": lambda rng: sparsify(pruned(LeNet5(rng=rng, conv_relu=False), rng, 0.05), format="csr"),
    "everything": lambda rng: pruned(everything(rng), rng, 0.5),
    "everything, csr": lambda rng: sparsify(pruned(everything(rng), rng, 0.5), format="csr"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_what_is_loaded_is_what_was_saved(rng, name, tmp_path):
    model = FORMS[name](rng)
    path = tmp_path / "model.npz"
    save(model, path)
    assert path.stat().st_size == size_on_disk(model)
    other = load(path)
    assert other.training
    assert repr(other) == repr(model)
    assert type(other) is type(model)
    before, after = model.state_dict(), other.state_dict()
    assert list(before) == list(after)
    for key, value in before.items():
        assert after[key].dtype == value.dtype
        np.testing.assert_array_equal(after[key], value)
    shape = (8, 11, 1) if "everything" in name else (28, 28, 1)
    x = rng.standard_normal((3, *shape)).astype(model.parameters()[0].dtype)
    np.testing.assert_array_equal(outputs(other, x), outputs(model, x))
    with np.load(path, allow_pickle=False) as f:  # an ordinary npz
        assert all(f[k].dtype != object for k in f.files if k != "state.json")


def test_the_small_form_is_small(rng, tmp_path):
    model = pruned(LeNet300(rng=rng), rng, 0.01)
    sizes = {}
    for name, m in (("zeros", model), ("csr", sparsify(model, format="csr"))):
        save(m, tmp_path / name)
        sizes[name] = (tmp_path / name).stat().st_size
    weights = sum(np.count_nonzero(p.numpy()) for p in model.parameters())
    assert all(size < 6.5 * weights + 4000 for size in sizes.values())  # 4 + 2 bytes a weight
    dense = size_on_disk(LeNet300(rng=rng))
    assert dense > 266610 * 4
    assert max(sizes.values()) < dense / 40


@settings(max_examples=60)
@given(n=st.integers(0, 3000), density=st.sampled_from([0.0, 0.001, 0.05, 0.5, 1.0]))
def test_places(n, density):
    kept = np.random.default_rng(n).random(n) < density
    places = _places(kept)
    np.testing.assert_array_equal(_kept(places), kept)
    stored = sum(a.nbytes for a in places.values() if isinstance(a, np.ndarray))
    assert stored <= (n + 7) // 8


def test_dropout_gets_the_generator_of_the_run(rng, tmp_path):
    save(Sequential(Dropout(0.5, rng=rng), Linear(2, 2, rng=rng)), tmp_path / "a")
    run = np.random.default_rng(7)
    assert load(tmp_path / "a", rng=run)[0].rng is run


# ---- what cannot be saved or read ---------------------------------------------------------------


class Own(Module):
    def __init__(self, rng):
        self.layer = Linear(2, 2, rng=rng)

    def forward(self, x):
        return self.layer(x)


class Linear2(Linear):
    pass


def test_classes_of_another_origin(rng, tmp_path):
    with pytest.raises(TypeError, match=r"the model is a Own, .* state_dict"):
        save(Own(rng), tmp_path / "a")
    with pytest.raises(TypeError, match=r"the model\[1\] is a Linear2"):
        save(Sequential(ReLU(), Linear2(2, 2, rng=rng)), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_file(rng, tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    save(small_lenet300(rng), path)
    before = path.read_bytes()

    def full(file, content):
        file.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write", full)
    with pytest.raises(checkpoint.CheckpointError, match="No space left"):
        save(small_lenet300(rng), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.npz"]


def refused(path, content=None, match="model.npz"):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SparseFileError, match=match) as caught:
        load(path)
    assert str(path) in str(caught.value)


def small_file(rng, path):
    model = Sequential(
        Linear(9, 8, rng=rng), ReLU(), Conv2d(1, 1, 1, rng=rng), Linear(8, 6, rng=rng)
    )
    model = sparsify(pruned(model, rng, 0.2), format={"0": "csr", "2": "csr", "3": "blocked"})
    save(model, path)
    return model, path.read_bytes()


def test_a_file_cut_anywhere(rng, tmp_path):
    path = tmp_path / "model.npz"
    _, content = small_file(rng, path)
    for length in [*range(0, len(content), 97), len(content) - 1]:
        refused(path, content[:length], "damaged, cut short, or another kind of file")


def test_a_byte_flipped_anywhere(rng, tmp_path):
    """Either an error that names the file, or the very same model (a byte that says nothing)."""
    path = tmp_path / "model.npz"
    model, content = small_file(rng, path)
    state = model.state_dict()
    harmless, messages = 0, set()
    for at in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            found = load(path).state_dict()
        except SparseFileError as error:
            messages.add(str(error))
        else:
            harmless += 1
            assert repr(load(path)) == repr(model)
            assert all(np.array_equal(found[k], state[k]) for k in state)
    assert all(str(path) in message for message in messages)
    assert harmless < len(content) / 7 / 3


def test_foreign_files(rng, tmp_path):
    path = tmp_path / "model.npz"
    refused(path, b"", "another kind of file")
    refused(path, b"%PDF-1.7 something else", "another kind of file")
    np.savez(path, a=np.arange(3))
    refused(path, None, "another kind of file")
    Mask({"a": np.ones((2, 2))}).save(path)
    refused(path, None, "another kind of file")
    checkpoint.save(path, {"run": {"epoch": 3}, "settings": {}})
    refused(path, None, "but not a sparse model")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.npz")
    state = encode(small_lenet300(rng))
    checkpoint.save(path, state | {"version": 2})
    refused(path, None, "has version 2 of the format; this program reads 1")


def rewrite(path, change):
    """Change the document or an array of a file, checksums and all."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(entries["state.json"])
    change(document, entries)
    entries["state.json"] = json.dumps(document).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def replace(name, array):
    def change(_, entries):
        assert f"{name}.npy" in entries
        content = io.BytesIO()
        np.lib.format.write_array(content, array)
        entries[f"{name}.npy"] = content.getvalue()

    return change


def part(i, **values):
    def change(document, _):
        document["state"]["model"]["parts"][i].update(values)

    return change


def without(name):
    return lambda _, entries: entries.pop(f"{name}.npy")


DAMAGE = {
    "missing array": (without("model/parts/0/values"), "KeyError: 'model/parts/0/values'"),
    "too few values": (replace("model/parts/0/values", np.zeros(3, np.float32)), "need values of"),
    "integers": (replace("model/parts/0/values", np.arange(12)), "floating-point numbers of one"),
    "bias of another length": (replace("model/parts/0/bias", np.zeros(5, np.float32)), "bias of"),
    "bits of another length": (replace("model/parts/0/places/bits", np.zeros(3, np.uint8)), "one bit"),
    "bits beyond": (part(0, n_in=7, n_out=10), "one bit|beyond|cannot reshape|need values"),
    "other sizes": (part(0, n_in=8), "cannot reshape"),
    "negative sizes": (part(0, n_in=-9, n_out=-8), "."),
    "sizes that are text": (part(0, n_in="9"), "."),
    "wrong geometry": (part(2, geometry=[[1, 2], [1, 1], [0, 0]]), "."),
    "no stride": (part(2, geometry=[[1, 1], [0, 0], [0, 0]]), "."),
    "stride of dense": (part(1, type="MaxPool2d", window=[2, 2], stride=[0, 1], padding=[0, 0]), "two"),
    "unknown module": (part(1, type="Eval"), "no module called 'Eval'"),
    "a type that is no name": (part(1, type=3), "a module is missing"),
    "another attribute": (part(1, hello=1), r"has \[\], this one has \['hello'\]"),
    "holes of another length": (replace("model/parts/3/kept/bits", np.zeros(1, np.uint8)), "."),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_files_that_describe_no_model(rng, name, tmp_path):
    path = tmp_path / "model.npz"
    small_file(rng, path)
    change, match = DAMAGE[name]
    rewrite(path, change)
    refused(path, None, match)


DENSE_DAMAGE = {
    "weight with 1 axis": (lambda m: m["fc1"].update(weight=m["fc1"]["bias"]), "shape"),
    "no weight": (lambda m: m["fc1"].update(weight=None), "floating-point"),
    "no layer": (lambda m: m.update(fc1=None), "a module is missing"),
    "bias of fc2": (lambda m: m["fc1"].update(bias=m["fc2"]["bias"]), "shape"),
    "shape": (lambda m: m["fc1"]["weight"].update(shape=[5, 5]), "do not fill"),
    "gaps too far": (lambda m: m["fc1"]["weight"].update(size=100), "beyond 100|do not fill|bit"),
}


@pytest.mark.parametrize("name", DENSE_DAMAGE)
def test_dense_models_that_are_none(rng, name, tmp_path):
    path = tmp_path / "model.npz"
    save(pruned(small_lenet300(rng), rng, 0.01), path)
    state = encode(load(path))
    change, match = DENSE_DAMAGE[name]
    change(state["model"])
    checkpoint.save(path, state)
    refused(path, None, match)
