"""The files that people have, each made whole, read, and damaged in every way that a disk knows."""

import copy
import gzip
import hashlib
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import doors
import numpy as np

from minisparse import checkpoint, data, nn, optim, sparse
from minisparse.book import chapters
from minisparse.classroom.grading import cohort
from minisparse.classroom.handing_out import manifest
from minisparse.data import catalogue
from minisparse.data.files import DataFile
from minisparse.experiments import listing
from minisparse.experiments.comparison import Comparison
from minisparse.experiments.store import Store
from minisparse.prune.mask import Mask
from minisparse.train import train

sys.path.append(str(Path(__file__).parents[1] / "experiments"))
from fake_experiments import Fake


@dataclass
class Kind:
    """A kind of file.

    make : function of a folder that writes the file there and returns its path
    read : function of that path; what it returns for a damaged file must be `same` as for the whole
    document : the name of the JSON document inside, if it is a zip; "" if all of it is JSON
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    document: str | None = None
    same: Callable[[Any, Any], bool] = lambda a, b: repr(a) == repr(b)


# ---- damage -------------------------------------------------------------------------------------


def damaged(content, rng):
    """Return the bytes with one region cut out, zeroed, doubled, or written over."""
    n = len(content)
    start = int(rng.integers(n + 1))
    length = int(min(n - start, [1, 2, 8, 64, 512, n][rng.integers(6)]))
    before, region, after = content[:start], content[start : start + length], content[start + length :]
    ways = [
        before, before + after, before + bytes(length) + after, before + region + region + after,
        before + rng.bytes(length) + after, after, before + bytes(b ^ 255 for b in region) + after,
        region + before + after, content + rng.bytes(9), b"", b"<!DOCTYPE html><html>404</html>",
    ]  # fmt: skip
    return ways[rng.integers(len(ways))]


def damaged_document(text, rng):
    """Return JSON with one key missing, or a value of another type."""
    document = json.loads(text)
    places = list(_places(document))
    if places:
        holder, key = places[rng.integers(len(places))]
        others = [None, True, 0, -1, 2.5, 1e308, 10**30, "", "text", [], [1, 2], {}, {"a": 1}, [[]]]
        if rng.random() < 0.4:
            del holder[key]
        elif rng.random() < 0.2:
            holder[key] = [copy.deepcopy(holder[key])]
        else:
            holder[key] = others[rng.integers(len(others))]
    if rng.random() < 0.05:
        document = [[], {}, None, "text", 5, [document]][rng.integers(6)]
    return json.dumps(document)


def _places(value):
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(inside):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def spoil(kind, path, rng):
    """Damage a file of a kind in its place."""
    content = path.read_bytes()
    if kind.document is None or rng.random() < 0.5:
        path.write_bytes(damaged(content, rng))
    elif kind.document == "":
        path.write_text(damaged_document(content, rng))
    else:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts[kind.document] = damaged_document(parts[kind.document], rng).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part)


# ---- the kinds ----------------------------------------------------------------------------------


STATE = {"a": np.arange(6.0).reshape(2, 3), "b": [1, 2.5, None, "text"], "c": {"d": np.ones(3, bool)}}


def _checkpoint(folder):
    checkpoint.save(folder / "state.npz", STATE)
    return folder / "state.npz"


def _model(folder):
    rows = sparse.sparsify(doors.net(), doors.mask(doors.net()), format="csr")
    sparse.save(rows, folder / "model.npz")
    return folder / "model.npz"


def _convolutions(folder):
    sparse.save(nn.Sequential(*doors.cnn(), nn.BatchNorm1d(3)), folder / "model.npz")
    return folder / "model.npz"


def _apply(path):
    return [module.state_dict() for module in [sparse.load(path)]]


def _mask(folder):
    doors.mask(doors.net()).save(folder / "mask.npz")
    return folder / "mask.npz"


def _training(folder):
    _train(folder / "run.npz", 1)
    return folder / "run.npz"


def _train(path, epochs=1):
    model = doors.net()
    optimizer = optim.SGD(model, 0.1, momentum=0.9)
    method = doors.magnitude.MagnitudePruning(doors.plan.one_shot(0.5))
    train(
        model, doors.split(), optimizer, epochs=epochs, rng=np.random.default_rng(0), batch_size=6,
        methods=[method], average=optim.EMA(model, 0.9), checkpoint=path, progress=False,
    )  # fmt: skip
    return model.state_dict()


_IMAGES = b"\0\0\x08\x03" + np.array([3, 2, 2], ">u4").tobytes() + bytes(range(12))
_LABELS = b"\0\0\x08\x01" + np.array([3], ">u4").tobytes() + bytes([0, 9, 4])
_DIGITS = {
    f"{split}-{what}-ubyte": content
    for split in ("train", "t10k")
    for what, content in (("images-idx3", _IMAGES), ("labels-idx1", _LABELS))
}
_PHOTOS = {
    f"{name}.bin": bytes([i]) + bytes([20 * i]) * 3072
    for i, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"])
}


def _define(name, contents):
    files = (DataFile(n, len(c), hashlib.sha256(c).hexdigest()) for n, c in contents.items())
    catalogue.SOURCES[name] = replace(catalogue.SOURCES[name], files=tuple(files))


def _load(name, contents):
    def read(path):
        kept = catalogue.SOURCES[name]
        try:
            _define(name, contents)
            found = data.load(name, folder=path.parent)
        finally:
            catalogue.SOURCES[name] = kept
        return [(s.images.tolist(), s.labels.tolist()) for s in (found.train, found.test)]

    return read


def _idx(folder):
    for name, content in _DIGITS.items():
        (folder / name).write_bytes(content)
    return folder / "train-images-idx3-ubyte"


def _gz(folder):
    for name, content in _DIGITS.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return folder / "train-labels-idx1-ubyte.gz"


def _tar(folder):
    path = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in _PHOTOS.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def _stored(folder):
    recipe, store = Fake(points=("a",)), Store(folder, str)
    outcome = recipe.run(0, checkpoint=folder / "none", progress=lambda *_: None)
    store.save(recipe, 0, outcome, {"cpu": "abacus"}, 1.0, resumed=False)
    return store.path(recipe.key(0))


def _store_load(path):
    return Store(path.parent, str).load(Fake(points=("a",)), 0)


RESULTS = Path(__file__).parents[2] / "tutorials" / "results"


def _results(folder):
    place = folder / "headline" / "results.json"
    place.parent.mkdir()
    some = {"id": "headline", "settings": {"quick": False}, "rows": [
        {"name": "a", "verdict": "holds", "ours": {"n_seeds": 3}},
        {"name": "b", "verdict": "FAILS", "ours": {"n_seeds": 5}}]}  # fmt: skip
    place.write_text(json.dumps(some))
    return place


def _comparison(folder):
    path = folder / "experiment.json"
    path.write_text(json.dumps(COMPARISON))
    return path


COMPARISON = {"rows": {"a": {"convention": "all"}}, "convention": "weights"}


class _Chapters:
    """The book's results, in another folder."""

    @staticmethod
    def read(path):
        kept = chapters.folder
        try:
            chapters.folder = lambda: path.parents[2]
            return chapters.results(path.parent.name)
        finally:
            chapters.folder = kept


def _book(folder):
    (folder / "results").mkdir()
    return _results(folder / "results")


def _manifest(folder):
    place = folder / "a3"
    place.mkdir()
    (place / "assignment.toml").write_bytes((manifest.ASSIGNMENTS / "a3/assignment.toml").read_bytes())
    return place / "assignment.toml"


def _class(folder):
    cohort.keep(folder, manifest.load("a3"), cohort.Secret(7, "id"))
    return folder / "class.json"


def _anything(_, __):
    return True


KINDS = [
    Kind("checkpoint", _checkpoint, checkpoint.load),
    Kind("checkpoint, JSON", _checkpoint, checkpoint.load, "state.json", _anything),
    Kind("sparse model", _model, _apply),
    Kind("sparse model, JSON", _model, _apply, "state.json", _anything),
    Kind("model with convolutions, JSON", _convolutions, _apply, "state.json", _anything),
    Kind("mask", _mask, lambda path: list(Mask.load(path).items())),
    Kind("training run", _training, _train),
    Kind("training run, JSON", _training, _train, "state.json", _anything),
    Kind("idx file", _idx, _load("fashion-mnist", _DIGITS)),
    Kind("gz file", _gz, _load("fashion-mnist", _DIGITS)),
    Kind("tar archive", _tar, _load("cifar-10", _PHOTOS)),
    Kind("stored run", _stored, _store_load, "", _anything),
    Kind("results", _results, lambda p: listing.last_status("headline", p.parents[1]), "", _anything),
    Kind("results of the book", _book, _Chapters.read, "", _anything),
    Kind("comparison", _comparison, lambda p: Comparison.read(p, ["a", "b"]), "", _anything),
    Kind("manifest", _manifest, lambda path: manifest.read(path.parent), None, _anything),
    Kind("class.json", _class, lambda p: cohort.kept(p.parent, manifest.load("a3")), "", _anything),
]
