"""Find the files of a data set, fetch them if need be, and verify them.

A file is recognised by the SHA-256 of its uncompressed content, before anything is parsed: a copy
that was compressed anew, or not at all, is as good as the original, and so is one under another name
or in a folder below (``MNIST/raw/``, ``train-images.idx3-ubyte``).
"""

import gzip
import hashlib
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from minisparse.data.errors import DataError, MissingDataError
from minisparse.data.split import Split

ENVIRONMENT = "MINISPARSE_DATA"
_GZIP = b"\x1f\x8b"  # its first bytes; those of no file of a data set
_DEPTH, _MANY = 4, 5_000  # folders deep, and files: as far as a search by content goes
_TAR = (".tar", ".tar.gz", ".tgz")


def _check_sha256(digest: str, of: str) -> None:
    if re.fullmatch("[0-9a-f]{64}", digest) is None:
        raise ValueError(
            f"{of}: a SHA-256 has 64 hexadecimal digits, got {digest!r}"
        )  # no file ever has it


@dataclass(frozen=True)
class DataFile:
    """One file of a data set: its name, and the size and SHA-256 of its uncompressed content."""

    name: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        _check_sha256(self.sha256, self.name)

    def check(self, content: bytes, place: str) -> bytes:
        """Return `content` if it is what this file should hold; `place` names it in an error."""
        if len(content) != self.size:
            found = "more" if len(content) > self.size else f"{len(content):,}"
            page = content.lstrip()[:1] == b"<"
            what = (
                "a web page, saved instead of the file" if page else "truncated or a different file"
            )
            raise DataError(
                f"{place}: holds {found} bytes, expected {self.size:,} (uncompressed). "
                f"It is {what}: replace it."
            )
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.sha256:
            raise DataError(
                f"{place}: the content has SHA-256 {digest}, expected {self.sha256}. "
                "It is damaged or a different file: replace it."
            )
        return content


@dataclass(frozen=True)
class Download:
    """One file of the data set's official home: its address, and the SHA-256 as it is there."""

    url: str
    sha256: str

    def __post_init__(self) -> None:
        _check_sha256(self.sha256, self.url)

    @property
    def name(self) -> str:
        """Name of the file, the last part of the address."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Source:
    """All that is known of a data set beforehand.

    `parse` turns {file name: content} into the training and the test split. `archive` names the
    tar file, if there is one, that holds the files in a folder `inside`.
    """

    name: str
    title: str
    origin: str
    licence: str
    classes: tuple[str, ...]
    n_train: int
    n_test: int
    image_shape: tuple[int, int, int]
    files: tuple[DataFile, ...]
    parse: Callable[[Mapping[str, bytes]], tuple[Split, Split]]
    downloads: tuple[Download, ...] = ()
    archive: str = ""
    inside: str = ""
    bundled: Path | None = None


def folder_of(source: Source) -> Path:
    """Return the folder that is searched for the files of a data set unless one is named.

    The package itself for a bundled set; else ``$MINISPARSE_DATA/<name>`` if that variable is
    set; else ``minisparse/<name>`` in the user's cache folder.
    """
    if source.bundled is not None:
        return source.bundled
    if root := os.environ.get(ENVIRONMENT):
        return Path(root).expanduser() / source.name
    import pooch

    return Path(pooch.os_cache("minisparse")) / source.name


def locate(source: Source, folder: Path) -> dict[DataFile, Path | None]:
    """Say where each file is, or None.

    By its name, plain or as .gz; else in the archive; else under any name, by its content, in the
    folder, below it, or below $MINISPARSE_DATA.
    """
    archive = folder / source.archive if source.archive else None

    def place(file: DataFile) -> Path | None:
        places = [
            parent / name
            for parent in (folder, folder / source.inside)
            for name in (file.name, f"{file.name}.gz")
        ]
        for path in places:
            if path.is_file():
                return path
        if archive is not None and archive.exists():
            return archive
        return None

    paths = {file: place(file) for file in source.files}
    root = os.environ.get(ENVIRONMENT)
    searched = [folder]
    if root and folder == Path(root).expanduser() / source.name:
        searched.append(folder.parent)
    for where in searched:
        if missing := [file for file, path in paths.items() if path is None]:
            others = (path for path in _files_below(where) if path not in paths.values())
            paths |= _search(source, missing, [*others])
    for file in source.files:
        if paths[file] is None and (folder / file.name).is_dir():
            paths[file] = folder / file.name  # what `read` says of it is clearer than "missing"
    return paths


def _search(
    source: Source, files: Iterable[DataFile], places: Iterable[Path]
) -> dict[DataFile, Path | None]:
    """Find files by their content, whatever they are called."""
    left, found = list(files), dict[DataFile, Path | None]()
    for path in places:
        try:
            size = _size_of(path)
            for file in [f for f in left if f.size == size]:
                if hashlib.sha256(_content_of(path, size + 1)).hexdigest() == file.sha256:
                    found[file] = path
                    left.remove(file)
            fits = path.stat().st_size < 2 * sum(f.size for f in source.files)
            if left and source.archive and path.name.endswith(_TAR) and fits:
                with tarfile.open(path) as archive:
                    inside = {name.removeprefix("./") for name in archive.getnames()}
                if all(f"{source.inside}/{file.name}" in inside for file in left):
                    return found | dict.fromkeys(left, path)
        except (OSError, EOFError, zlib.error, tarfile.TarError):
            continue  # not one of ours
        if not left:
            break
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    count = 0
    for parent, folders, names in os.walk(folder):
        folders.sort()
        if len(Path(parent).relative_to(folder).parts) == _DEPTH:
            folders.clear()
        for name in sorted(names):
            count += 1
            if count > _MANY:
                return
            yield Path(parent, name)


def _size_of(path: Path) -> int:
    """Return the size of a file's content; of a gzipped one it says so itself."""
    with path.open("rb") as stream:
        if stream.read(2) == _GZIP:
            stream.seek(-4, os.SEEK_END)
            return int.from_bytes(stream.read(4), "little")
    return path.stat().st_size


def _content_of(path: Path, most: int) -> bytes:
    """Read a file, gzipped or not: its first bytes tell, a name may lie."""
    with path.open("rb") as stream:
        zipped = stream.read(2) == _GZIP
    with gzip.open(path) if zipped else path.open("rb") as stream:
        return stream.read(most)


def read(source: Source, folder: str | os.PathLike[str] | None = None) -> dict[str, bytes]:
    """Return the verified content of every file of a data set.

    Parameters
    ----------
    source : Source
    folder : path, optional
        Where the files are; nothing is downloaded then. By default `folder_of` says where, and
        what is missing there is downloaded to it.

    Raises
    ------
    MissingDataError
        Files are missing and could not be downloaded; the message lists them.
    DataError
        A file is not what it should be.
    """
    where = folder_of(source) if folder is None else Path(folder).expanduser()
    if where.exists() and not where.is_dir():
        raise DataError(f"{where}: expected a folder with the files of {source.title}")
    paths = locate(source, where)
    if None in paths.values():
        cause = "" if folder is not None else _download(source, where)
        paths = locate(source, where)
        if None in paths.values():
            raise MissingDataError(_what_to_do(source, where, paths, cause))
    return read_located(source, paths)


def read_located(source: Source, paths: Mapping[DataFile, Path | None]) -> dict[str, bytes]:
    """Return the verified content of those files that `locate` has found."""
    contents = {}
    archived: dict[Path, list[DataFile]] = {}
    for file, path in paths.items():
        if path is not None and source.archive and path.name.endswith(_TAR):
            archived.setdefault(path, []).append(file)
        elif path is not None:
            contents[file.name] = _read_file(file, path)
    for path, files in archived.items():
        contents |= _read_archive(files, path, source.inside)
    return contents


def _read_file(file: DataFile, path: Path) -> bytes:
    """Read a plain or gzipped file. One byte too many is enough to know that it is wrong."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder, expected a file. Move the file out of it.")
    try:
        content = _content_of(path, file.size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({str(error) or type(error).__name__}). Replace it."
        ) from error
    return file.check(content, str(path))


def _read_archive(files: Iterable[DataFile], path: Path, inside: str) -> dict[str, bytes]:
    """Read files out of a tar archive, in one pass and without writing anything."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder, expected a tar archive")
    wanted = {f"{inside}/{file.name}": file for file in files}
    contents = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                file = wanted.get(member.name.removeprefix("./"))
                stream = archive.extractfile(member) if file is not None else None
                if file is not None and stream is not None:
                    content = stream.read(file.size + 1)
                    contents[file.name] = file.check(content, f"{path}, {member.name}")
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({str(error) or type(error).__name__}). Replace it."
        ) from error
    absent = [name for name, file in wanted.items() if file.name not in contents]
    if absent:
        raise DataError(f"{path}: holds no {', '.join(absent)}. Replace it.")
    return contents


def _download(source: Source, folder: Path) -> str:
    """Try to fetch what is missing; return the reason if that did not work, "" if it did."""
    if not source.downloads:
        return "These files belong to the package: install minisparse again."
    import pooch

    missing = {file.name for file, path in locate(source, folder).items() if path is None}
    for download in source.downloads:
        if source.archive or download.name.removesuffix(".gz") in missing:
            try:
                pooch.retrieve(
                    download.url,
                    known_hash=f"sha256:{download.sha256}",
                    fname=download.name,
                    path=folder,
                    progressbar=True,
                )
            except (OSError, ValueError) as error:  # no network, no such page, wrong content
                return f"Downloading {download.url} failed: {type(error).__name__}: {error}"
    return ""


def _what_to_do(
    source: Source, folder: Path, paths: Mapping[DataFile, Path | None], cause: str
) -> str:
    missing = [file for file, path in paths.items() if path is None]
    lines = [f"{source.title} is incomplete in {folder}. Missing (plain, or compressed as .gz):"]
    lines += [
        f"  {file.name}  {file.size:,} bytes and SHA-256 {file.sha256} when uncompressed"
        for file in missing
    ]
    others = [path for path in _files_below(folder) if path not in paths.values()]
    if there := [path.relative_to(folder).as_posix() for path in others]:
        more = f" and {len(there) - 10} more" if len(there) > 10 else ""
        lines.append(f"What lies there is something else: {', '.join(there[:10])}{more}")
    if source.archive:
        lines.append(f"or, instead of all of them, the archive {source.archive}")
    if cause:
        lines.append(cause)
    if source.downloads:
        lines.append("Fetch on a machine with network, and put into that folder:")
        lines += [f"  {download.url}" for download in source.downloads]
        lines.append(
            f"To keep the files elsewhere: put them into a folder {source.name}/ and set "
            f'{ENVIRONMENT} to the folder above it, or call load("{source.name}", folder=...).'
        )
    return "\n".join(lines)
