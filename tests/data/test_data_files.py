"""The ways to a data set's files, tried on small made-up sets with hashes of their own."""

import gzip
import hashlib
import http.server
import io
import tarfile
import threading
from dataclasses import replace

import numpy as np
import pytest

from minisparse import data
from minisparse.data import catalogue
from minisparse.data.files import DataFile, Download, folder_of, read

TRAIN_IMAGES = b"\0\0\x08\x03" + np.array([3, 2, 2], ">u4").tobytes() + bytes(range(12))
TRAIN_LABELS = b"\0\0\x08\x01" + np.array([3], ">u4").tobytes() + bytes([0, 9, 4])
TEST_IMAGES = b"\0\0\x08\x03" + np.array([1, 2, 2], ">u4").tobytes() + bytes([1, 2, 3, 4])
TEST_LABELS = b"\0\0\x08\x01" + np.array([1], ">u4").tobytes() + bytes([7])
DIGITS = {
    "train-images-idx3-ubyte": TRAIN_IMAGES,
    "train-labels-idx1-ubyte": TRAIN_LABELS,
    "t10k-images-idx3-ubyte": TEST_IMAGES,
    "t10k-labels-idx1-ubyte": TEST_LABELS,
}
PHOTOS = {
    f"{name}.bin": bytes([label]) + bytes([shade]) * 3072
    for label, (name, shade) in enumerate(
        [*((f"data_batch_{i}", 10 * i) for i in range(1, 6)), ("test_batch", 99)]
    )
}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def data_files(contents):
    return tuple(DataFile(name, len(c), sha256(c)) for name, c in contents.items())


@pytest.fixture
def define(monkeypatch):
    """Let `load` know one of its sets by other contents: define("fashion-mnist", DIGITS)."""

    def define(name, contents, **changes):
        source = replace(catalogue.SOURCES[name], files=data_files(contents), **changes)
        monkeypatch.setitem(catalogue.SOURCES, name, source)
        return source

    return define


def write_all(folder, contents, how="plain"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if how == "gz":
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, compresslevel=1))
        else:
            (folder / name).write_bytes(content)
    return folder


def tar_bytes(contents, prefix="cifar-10-batches-bin/"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in {"readme.html": b"hello", **contents}.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def check_digits(dataset):
    assert dataset.train.images.shape == (3, 2, 2, 1)
    assert dataset.train.images.ravel().tolist() == list(range(12))
    assert dataset.train.labels.tolist() == [0, 9, 4]
    assert dataset.test.images[0, :, :, 0].tolist() == [[1, 2], [3, 4]]
    assert dataset.test.labels.tolist() == [7]


def check_photos(dataset):
    assert dataset.train.images.shape == (5, 32, 32, 3)
    assert dataset.train.images[:, 31, 31, 2].tolist() == [10, 20, 30, 40, 50]
    assert dataset.train.labels.tolist() == [0, 1, 2, 3, 4]
    assert dataset.test.images[0, 0, 0].tolist() == [99, 99, 99]
    assert dataset.test.labels.tolist() == [5]


# Found in a folder


@pytest.mark.parametrize("how", ["plain", "gz"])
def test_idx_files_in_a_folder(define, tmp_path, how):
    define("fashion-mnist", DIGITS)
    check_digits(data.load("fashion-mnist", folder=write_all(tmp_path, DIGITS, how)))


def test_a_folder_given_beats_the_bundled_files(define, tmp_path):
    define("mnist", DIGITS)
    check_digits(data.load("mnist", folder=str(write_all(tmp_path, DIGITS))))


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
@pytest.mark.parametrize("how", ["plain", "gz"])
def test_cifar_files_in_a_folder(define, tmp_path, how, inside):
    define("cifar-10", PHOTOS)
    write_all(tmp_path / inside, PHOTOS, how)
    check_photos(data.load("cifar-10", folder=tmp_path))


@pytest.mark.parametrize("prefix", ["cifar-10-batches-bin/", "./cifar-10-batches-bin/"])
def test_cifar_archive_in_a_folder_is_read_in_place(define, tmp_path, prefix):
    define("cifar-10", PHOTOS)
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(tar_bytes(PHOTOS, prefix))
    check_photos(data.load("cifar-10", folder=tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["cifar-10-binary.tar.gz"]


def test_the_environment_variable_names_the_folder_above(define, tmp_path, monkeypatch):
    define("cifar-10", PHOTOS)
    write_all(tmp_path / "cifar-10", PHOTOS)
    monkeypatch.setenv("MINISPARSE_DATA", str(tmp_path))
    check_photos(data.load("cifar-10"))


def test_without_it_the_user_s_cache_is_searched(monkeypatch, tmp_path):
    monkeypatch.delenv("MINISPARSE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = folder_of(catalogue.SOURCES["cifar-10"])
    assert folder.parts[-2:] == ("minisparse", "cifar-10")


# Under the names that people have


def shuffled(contents, folder, name_of):
    for name, content in contents.items():
        path = folder / name_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "name_of",
    [
        lambda name: name.replace("-idx", ".idx"),
        lambda name: f"MNIST/raw/{name}",
        lambda name: f"{name.replace('-idx', '.idx')}/{name.replace('-idx', '.idx')}",
        lambda name: f"{name}/{name}",  # each in a folder of its own name
        lambda name: f"{name} (1)",
        lambda name: f"{name}.gz",  # unpacked by a browser, which left the name
        lambda name: f"{name[::-1]}.bin",
    ],
    ids=["dot", "below", "folder with a dot", "folder", "second", "unpacked", "any"],
)
@pytest.mark.parametrize("how", ["plain", "gz"])
def test_files_are_found_by_their_content(define, tmp_path, name_of, how):
    define("fashion-mnist", DIGITS)
    contents = DIGITS if how == "plain" else {n: gzip.compress(c) for n, c in DIGITS.items()}
    shuffled(contents, tmp_path, name_of)
    check_digits(data.load("fashion-mnist", folder=tmp_path))
    assert data.describe("fashion-mnist", folder=tmp_path).available


def test_sets_with_the_same_names_and_sizes_are_told_apart(define, tmp_path, monkeypatch):
    """As torchvision lays them out, below the folder that the environment variable names."""
    others = {name: content[:-1] + b"\5" for name, content in DIGITS.items()}
    shuffled(others, tmp_path, lambda name: f"AMNIST/raw/{name}")
    shuffled(DIGITS, tmp_path, lambda name: f"FashionMNIST/raw/{name}")
    define("fashion-mnist", DIGITS)
    monkeypatch.setenv("MINISPARSE_DATA", str(tmp_path))
    check_digits(data.load("fashion-mnist"))


@pytest.mark.parametrize("name", ["cifar-10-binary (1).tar.gz", "below/cifar10.tgz", "c.tar"])
def test_an_archive_under_another_name(define, tmp_path, name):
    define("cifar-10", PHOTOS)
    (tmp_path / "below").mkdir()
    content = tar_bytes(PHOTOS)
    (tmp_path / name).write_bytes(gzip.decompress(content) if name == "c.tar" else content)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(tar_bytes({"data_batch_1": b"other"}))
    (tmp_path / "a.tar.gz").write_bytes(content[:-30])
    check_photos(data.load("cifar-10", folder=tmp_path))


def test_what_lies_there_instead_is_told(define, tmp_path):
    define("fashion-mnist", DIGITS)
    write_all(tmp_path, {"train-images-idx3-ubyte": TRAIN_IMAGES})
    for name in ("mnist.npz", "raw/mnist_train.csv", *(f"z{i:02}" for i in range(12))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(data.MissingDataError) as caught:
        data.load("fashion-mnist", folder=tmp_path)
    (line,) = [line for line in str(caught.value).splitlines() if "lies there" in line]
    assert line.startswith("What lies there is something else: mnist.npz, z00, ")
    assert line.endswith(" and 4 more")
    assert "train-images" not in line


def test_a_search_goes_neither_too_deep_nor_on_for_ever(define, tmp_path, monkeypatch):
    define("fashion-mnist", DIGITS)
    shuffled(DIGITS, tmp_path, lambda name: f"a/b/c/d/{name}")
    check_digits(data.load("fashion-mnist", folder=tmp_path))
    with pytest.raises(data.MissingDataError):
        data.load(
            "fashion-mnist", folder=shuffled(DIGITS, tmp_path / "z", lambda n: f"a/b/c/d/e/{n}")
        )
    monkeypatch.setattr("minisparse.data.files._MANY", 3)
    with pytest.raises(data.MissingDataError):
        data.load("fashion-mnist", folder=tmp_path)


def test_a_web_page_instead_of_a_file_is_called_that(define, tmp_path):
    define("fashion-mnist", DIGITS)
    write_all(tmp_path, DIGITS, "gz")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(b"\n<!DOCTYPE html><html>404</html>")
    with pytest.raises(data.DataError, match=r"t10k-labels-idx1-ubyte\.gz: .* a web page"):
        data.load("fashion-mnist", folder=tmp_path)


# The constants


def test_every_hash_is_one():
    """Of what length they are is checked where they are made; here, that none is a copy of another."""
    digests = [
        item.sha256
        for source in catalogue.SOURCES.values()
        for item in (*source.files, *source.downloads)
    ]
    assert len(set(digests)) == len(digests) == 19
    good = "0123456789abcdef" * 4
    for bad in (good + "0", good[:-1], good.upper(), good[:-1] + "g", ""):
        for make in (lambda d: DataFile("name", 1, d), lambda d: Download("https://x/name", d)):
            with pytest.raises(ValueError, match="name: a SHA-256 has 64 hexadecimal digits"):
                make(bad)


def test_the_archive_of_cifar_10_is_the_published_one():
    """As three independent loaders of the binary version have it; its MD5 is on the author's page."""
    (archive,) = catalogue.SOURCES["cifar-10"].downloads
    assert archive.sha256 == "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"


# Damaged


@pytest.mark.parametrize("name", sorted(DIGITS))
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", "holds 0 bytes"),
        (lambda c: c[:-1], "holds .* bytes, expected"),
        (lambda c: c + b"\0" * 5, "holds more bytes, expected"),
        (lambda c: c[:-1] + bytes([c[-1] ^ 1]), "the content has SHA-256"),
    ],
    ids=["empty", "truncated", "longer", "one bit"],
)
@pytest.mark.parametrize("how", ["plain", "gz"])
def test_a_damaged_file_is_named(define, tmp_path, name, damage, message, how):
    define("fashion-mnist", DIGITS)
    write_all(tmp_path, {**DIGITS, name: damage(DIGITS[name])}, how)
    with pytest.raises(data.DataError, match=f"{name}.*{message}.* replace it") as caught:
        data.load("fashion-mnist", folder=tmp_path)
    assert not isinstance(caught.value, data.MissingDataError)


def test_every_damage_to_a_gz_file_is_noticed(define, tmp_path):
    define("fashion-mnist", DIGITS)
    write_all(tmp_path, DIGITS, "gz")
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    good = path.read_bytes()
    for cut in range(len(good)):
        path.write_bytes(good[:cut])
        with pytest.raises(data.DataError, match=r"train-labels-idx1-ubyte\.gz"):
            data.load("fashion-mnist", folder=tmp_path)
    for at in range(10, len(good)):  # past gzip's own header of 10 bytes
        path.write_bytes(good[:at] + bytes([good[at] ^ 255]) + good[at + 1 :])
        with pytest.raises(data.DataError, match=r"train-labels-idx1-ubyte\.gz"):
            data.load("fashion-mnist", folder=tmp_path)


def test_a_folder_in_place_of_a_file(define, tmp_path):
    define("fashion-mnist", DIGITS)
    write_all(tmp_path, {n: c for n, c in DIGITS.items() if n != "t10k-labels-idx1-ubyte"})
    (tmp_path / "t10k-labels-idx1-ubyte").mkdir()
    with pytest.raises(data.DataError, match="t10k-labels-idx1-ubyte: is a folder, expected a fi"):
        data.load("fashion-mnist", folder=tmp_path)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "notes").write_text("hello")
    with pytest.raises(data.DataError, match="notes: expected a folder with the files of Fashion"):
        data.load("fashion-mnist", folder=tmp_path / "notes")


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (b"", "cannot be read"),
        (b"no archive at all", "cannot be read"),
        (tar_bytes(PHOTOS)[:-20], "cannot be read"),
        (
            tar_bytes({n: c for n, c in PHOTOS.items() if n != "data_batch_3.bin"}),
            "holds no cifar-10-batches-bin/data_batch_3.bin",
        ),
        (tar_bytes({**PHOTOS, "test_batch.bin": b"\x05"}), "test_batch.bin: holds 1 bytes"),
        (tar_bytes(PHOTOS, prefix="elsewhere/"), "holds no cifar-10-batches-bin/data_batch_1.bin"),
    ],
    ids=["empty", "text", "cut", "incomplete", "wrong member", "wrong folder"],
)
def test_a_damaged_archive_is_named(define, tmp_path, archive, message):
    define("cifar-10", PHOTOS)
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive)
    with pytest.raises(data.DataError, match=rf"cifar-10-binary.tar.gz.*{message}"):
        data.load("cifar-10", folder=tmp_path)


# The right hash of a file that is wrong in itself: the parser has the last word.


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"\0\0\x07\x03" + TRAIN_IMAGES[4:], "no IDX header"),
        ("train-images-idx3-ubyte", TRAIN_LABELS, r"holds uint8 of shape \(3,\), expected"),
        ("train-labels-idx1-ubyte", TRAIN_IMAGES, r"holds uint8 of shape \(3, 2, 2\), expected"),
        ("train-labels-idx1-ubyte", b"\0\0\x09" + TRAIN_LABELS[3:], "holds int8 of shape"),
        ("train-labels-idx1-ubyte", TEST_LABELS, r"3 images but 1 labels"),
        ("train-labels-idx1-ubyte", TRAIN_LABELS[:-2] + b"\x0a\0", "label 1 is 10, expected 0 to"),
        ("t10k-images-idx3-ubyte", b"\0\0\x08\x03" + b"\0" * 12, "not empty"),
    ],
)
def test_a_file_that_fits_its_hash_but_not_the_set(define, tmp_path, name, content, message):
    contents = {**DIGITS, name: content}
    define("fashion-mnist", contents)
    with pytest.raises(data.DataError, match=f"{name[:5]}.*{message}"):
        data.load("fashion-mnist", folder=write_all(tmp_path, contents))


# Missing, and downloads


def test_a_folder_given_is_never_downloaded_to(define, tmp_path, monkeypatch):
    source = define("fashion-mnist", DIGITS)
    write_all(tmp_path, {n: c for n, c in DIGITS.items() if n.startswith("train")})
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: pytest.fail("downloads"))
    with pytest.raises(data.MissingDataError) as caught:
        data.load("fashion-mnist", folder=tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "train-images" not in message.split("Fetch on")[0]
    for file in source.files[2:]:
        assert f"{file.name}  {file.size:,} bytes and SHA-256 {file.sha256}" in message
    assert isinstance(caught.value, FileNotFoundError)
    assert isinstance(caught.value, ValueError)


def test_missing_files_of_the_package_cannot_be_downloaded(define, tmp_path):
    define("mnist", DIGITS, bundled=tmp_path)
    with pytest.raises(data.MissingDataError, match="install minisparse again"):
        data.load("mnist")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine: (its folder, its address, the names asked for)."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "home"))

        def log_message(self, *_):
            asked.append(self.path.lstrip("/"))

    (tmp_path / "home").mkdir()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MINISPARSE_DATA", str(tmp_path / "data"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield tmp_path / "home", f"http://127.0.0.1:{httpd.server_port}/", asked
        httpd.shutdown()
        thread.join()


def home_of_digits(home, url):
    """Compress the files into the server's folder; return how to download them."""
    write_all(home, DIGITS, "gz")
    return tuple(
        Download(f"{url}{name}.gz", sha256((home / f"{name}.gz").read_bytes())) for name in DIGITS
    )


def test_what_is_missing_is_downloaded_once(define, server, tmp_path):
    home, url, asked = server
    define("fashion-mnist", DIGITS, downloads=home_of_digits(home, url))
    write_all(tmp_path / "data" / "fashion-mnist", {"train-labels-idx1-ubyte": TRAIN_LABELS})
    for _ in range(2):
        check_digits(data.load("fashion-mnist"))
    got = [line for line in asked if line]
    assert len(got) == 3  # all but the one that was there, and nothing the second time
    present = {p.name for p in (tmp_path / "data" / "fashion-mnist").iterdir()}
    assert present == {"train-labels-idx1-ubyte", *(f"{n}.gz" for n in DIGITS)} - {
        "train-labels-idx1-ubyte.gz"
    }


def test_an_archive_is_downloaded(define, server):
    home, url, _ = server
    archive = tar_bytes(PHOTOS)
    (home / "cifar-10-binary.tar.gz").write_bytes(archive)
    define(
        "cifar-10", PHOTOS, downloads=(Download(f"{url}cifar-10-binary.tar.gz", sha256(archive)),)
    )
    check_photos(data.load("cifar-10"))


def test_a_download_of_other_content_is_refused(define, server, tmp_path):
    home, url, _ = server
    downloads = home_of_digits(home, url)
    (home / "t10k-labels-idx1-ubyte.gz").write_bytes(b"a page that says: please log in")
    define("fashion-mnist", DIGITS, downloads=downloads)
    with pytest.raises(data.MissingDataError, match=r"t10k-labels-idx1-ubyte\.gz failed: ValueErr"):
        data.load("fashion-mnist")
    assert not (tmp_path / "data" / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").exists()


def test_a_page_that_is_gone(define, server):
    home, url, _ = server
    downloads = home_of_digits(home, url)
    (home / "train-images-idx3-ubyte.gz").unlink()
    define("fashion-mnist", DIGITS, downloads=downloads)
    with pytest.raises(data.MissingDataError, match=r"failed: HTTPError: 404"):
        data.load("fashion-mnist")


def test_no_network_says_what_to_put_where(define, monkeypatch, tmp_path):
    import requests

    def unplugged(*_, **__):
        raise requests.ConnectionError("no route to host")

    monkeypatch.setattr("pooch.retrieve", unplugged)
    monkeypatch.setenv("MINISPARSE_DATA", str(tmp_path))
    source = define("cifar-10", PHOTOS)
    with pytest.raises(data.MissingDataError) as caught:
        data.load("cifar-10")
    message = str(caught.value)
    assert f"CIFAR-10 is incomplete in {tmp_path / 'cifar-10'}" in message
    for file in source.files:
        assert file.name in message
        assert file.sha256 in message
    assert "no route to host" in message
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz" in message
    assert "MINISPARSE_DATA" in message
    assert 'load("cifar-10", folder=' in message


# describe


def test_describe_tells_the_state_of_every_file(define, tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: pytest.fail("downloads"))
    monkeypatch.setenv("MINISPARSE_DATA", str(tmp_path))
    define("fashion-mnist", DIGITS)
    folder = tmp_path / "fashion-mnist"
    write_all(folder, {"train-images-idx3-ubyte": TRAIN_IMAGES})
    write_all(folder, {"train-labels-idx1-ubyte": TEST_LABELS}, "gz")
    found = data.describe("fashion-mnist")
    assert found.folder == folder
    assert not found.available
    assert not found.bundled
    assert [file.state for file in found.files] == ["valid", "damaged", "missing", "missing"]
    assert found.files[1].path == folder / "train-labels-idx1-ubyte.gz"
    assert "holds 9 bytes, expected 11" in found.files[1].detail
    write_all(folder, DIGITS)
    assert data.describe("fashion-mnist").available


def test_describe_looks_into_an_archive(define, tmp_path):
    define("cifar-10", PHOTOS)
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(tar_bytes(PHOTOS))
    good = data.describe("cifar-10", folder=tmp_path)
    assert good.available
    assert {file.path for file in good.files} == {archive}
    archive.write_bytes(tar_bytes(PHOTOS)[:-20])
    bad = data.describe("cifar-10", folder=tmp_path)
    assert {file.state for file in bad.files} == {"damaged"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MNIST", '"mnist"'),
        ("fashion", '"fashion-mnist"'),
        ("cifar10", '"cifar-10"'),
        ("CIFAR_10", '"cifar-10"'),
    ],
)
def test_an_unknown_name_gets_a_suggestion(name, hint):
    for function in (data.load, data.describe):
        with pytest.raises(
            ValueError, match=f"no data set is called '{name}'. Did you mean {hint}"
        ):
            function(name)


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(ValueError, match=r"called 'qqqqqq'. Known: mnist, fashion-mnist, cifar-10"):
        data.load("qqqqqq")


def test_read_returns_exactly_the_content(define, tmp_path):
    source = define("fashion-mnist", DIGITS)
    assert read(source, write_all(tmp_path, DIGITS, "gz")) == DIGITS
