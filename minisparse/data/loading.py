"""Load a data set by name, or tell what is known of it and of its files."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from minisparse.data.catalogue import SOURCES
from minisparse.data.errors import DataError
from minisparse.data.files import DataFile, Source, folder_of, locate, read, read_located
from minisparse.data.split import Dataset
from minisparse.doors import door


@door
def load(name: str, folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Load a data set.

    MNIST is part of the package. The others are looked for in ``$MINISPARSE_DATA/<name>/`` if
    that environment variable is set, else in the user's cache folder, and downloaded to it when
    they are not there. Every file is verified, compressed or not, by the SHA-256 of its content.

    Parameters
    ----------
    name : str
        "mnist", "fashion-mnist" or "cifar-10"; see `names`.
    folder : path, optional
        The folder that holds the files themselves. Nothing is downloaded then.

    Returns
    -------
    Dataset
        `train` and `test`: images uint8 [N, H, W, C], labels int64 [N].

    Raises
    ------
    ValueError
        No data set has this name.
    MissingDataError
        Files are missing and could not be downloaded. The message says which, and what to do.
    DataError
        A file is damaged or a different one. The message names it.

    Examples
    --------
    >>> mnist = load("mnist")
    >>> mnist.train, mnist.test
    (Split(60,000 images of shape (28, 28, 1)), Split(10,000 images of shape (28, 28, 1)))
    >>> mnist.train.labels[:5]
    array([5, 0, 4, 1, 9])
    """
    source = _find(name)
    train, test = source.parse(read(source, folder))
    return Dataset(name, train, test, source.classes)


def names() -> tuple[str, ...]:
    """Return the names that `load` knows."""
    return tuple(SOURCES)


@dataclass(frozen=True)
class FileStatus:
    """What was found of one file; `path` may be an archive that holds it."""

    name: str
    path: Path | None
    state: Literal["valid", "missing", "damaged"]
    detail: str = ""


@dataclass(frozen=True)
class Description:
    """What `describe` tells of a data set."""

    name: str
    title: str
    origin: str
    licence: str
    n_train: int
    n_test: int
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    bundled: bool
    folder: Path
    files: tuple[FileStatus, ...]
    urls: tuple[str, ...]

    @property
    def available(self) -> bool:
        """Whether every file is there and valid."""
        return all(file.state == "valid" for file in self.files)


@door
def describe(name: str, folder: str | os.PathLike[str] | None = None) -> Description:
    """Tell what a data set is, where its files are looked for and whether they are valid.

    Reads every file that is there; downloads nothing.

    Parameters
    ----------
    name, folder
        As for `load`.
    """
    source = _find(name)
    where = folder_of(source) if folder is None else Path(folder).expanduser()
    return Description(
        name=source.name,
        title=source.title,
        origin=source.origin,
        licence=source.licence,
        n_train=source.n_train,
        n_test=source.n_test,
        image_shape=source.image_shape,
        classes=source.classes,
        bundled=source.bundled is not None,
        folder=where,
        files=_status(source, locate(source, where)),
        urls=tuple(download.url for download in source.downloads),
    )


def _status(source: Source, paths: Mapping[DataFile, Path | None]) -> tuple[FileStatus, ...]:
    statuses = []
    verdicts: dict[Path, str] = {}  # one for each path, since an archive holds several files
    for file, path in paths.items():
        if path is None:
            statuses.append(FileStatus(file.name, None, "missing"))
            continue
        if path not in verdicts:
            try:
                read_located(source, {f: p for f, p in paths.items() if p == path})
                verdicts[path] = ""
            except DataError as error:
                verdicts[path] = str(error)
        detail = verdicts[path]
        statuses.append(FileStatus(file.name, path, "damaged" if detail else "valid", detail))
    return tuple(statuses)


def _find(name: str) -> Source:
    if name in SOURCES:
        return SOURCES[name]
    close = difflib.get_close_matches(str(name).lower(), SOURCES, n=1, cutoff=0.5)
    hint = f' Did you mean "{close[0]}"?' if close else ""
    raise ValueError(f"no data set is called {name!r}.{hint} Known: {', '.join(SOURCES)}.")
