"""A submission as bytes: read from a zip or a directory under caps, named by its SHA-256.

The reader trusts nothing: it streams, counts bytes as they come out, and takes regular files with
plain relative names only. It never writes to disk and never interprets a file but the manifest.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from arena.errors import PackageError
from arena.manifest import FILE_NAME, Manifest, Role

MIB: Final = 1024 * 1024
MAX_ARCHIVE_BYTES: Final = 64 * MIB
MAX_UNPACKED_BYTES: Final = 128 * MIB
MAX_FILES: Final = 200
MAX_RATIO: Final = 200
RATIO_ALLOWANCE: Final = MIB
"""Bytes below which no compression ratio is suspicious."""
MAX_DIRECTORY_ENTRIES: Final = 20_000
"""Above that a zip's directory is not even read; room for weights that are zips themselves."""
MAX_DEPTH: Final = 6
MAX_LEARNER_BYTES: Final = 256 * 1024
_CHUNK: Final = 64 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_DIRECTORY_ENTRY: Final = b"PK\x01\x02"
_LITTER: Final = re.compile(r"__MACOSX/.*|(?:.*/)?\.DS_Store", re.DOTALL)
"""What macOS adds to each zip that it makes; nobody asked for it, so nobody is refused for it."""
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What unpacks in steps of a bounded size; zipfile unpacks the others in one go."""
_LIGHTER: Final = "; leave out what the player does not read."
_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Package:
    """The files of one submission by relative path, and its checked manifest.

    ``sha256`` is over names and contents in order, so that it does not hang on zip details.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    sha256: str

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self:
        """Check the files together: manifest, named files present, size caps of the role."""
        if FILE_NAME not in files:
            raise PackageError(_no_manifest(files))
        manifest = Manifest.parse(files[FILE_NAME])
        for key in ("architecture", "weights"):
            path = getattr(manifest, key)
            if path and path not in files:
                raise PackageError(f"{FILE_NAME} names {key} = {path!r}, which is not there.")
        module = manifest.entry.partition(":")[0]
        if module and module not in files:
            raise PackageError(f"{FILE_NAME} names entry file {module!r}, which is not there.")
        size = sum(map(len, files.values()))
        if manifest.role is Role.LEARNER and size > MAX_LEARNER_BYTES:
            raise PackageError(
                f"A learner is code without weights: {size:,} bytes are more than "
                f"{MAX_LEARNER_BYTES:,}. Remove data and weights."
            )
        return cls(manifest, dict(sorted(files.items())), digest(files))

    @classmethod
    def read(cls, source: Path | bytes) -> Self:
        """Read a ``.zip`` file, its bytes, or a directory.

        Raises:
            PackageError: with one sentence that says what to change.
        """
        if isinstance(source, Path) and source.is_dir():
            return cls.of(dict(_directory(source)))
        return cls.of(unzip(source if isinstance(source, bytes) else _bounded(source)))

    def to_zip(self) -> bytes:
        """The same package as a deterministic zip: same files, same bytes."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in sorted(self.files.items()):
                info = zipfile.ZipInfo(name, _ZIP_EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                archive.writestr(info, content)
        return buffer.getvalue()

    def check_packed(self) -> None:
        """PackageError if a folder was read that no server takes as a zip."""
        if sum(map(len, self.files.values())) > MAX_ARCHIVE_BYTES:
            unzip(self.to_zip())

    def architecture_only(self) -> dict[str, bytes]:
        """What switch S5 = given reveals: the untrained builder and the manifest's technical part.

        Never the weights, never the player's own code.
        """
        name = self.manifest.architecture
        return {name: self.files[name]} if name else {}

    def describe(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "manifest": self.manifest.to_json()}


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over sorted names and contents, lengths included so that nothing can slide."""
    state = hashlib.sha256(b"adversarium package 1\n")
    for name, content in sorted(files.items()):
        encoded = name.encode()
        state.update(len(encoded).to_bytes(8, "big") + encoded)
        state.update(len(content).to_bytes(8, "big") + content)
    return state.hexdigest()


def unzip(archive: bytes) -> dict[str, bytes]:
    """The regular files of a zip, under caps on bytes, count, ratio, depth and names."""
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise PackageError(f"The archive is larger than {MAX_ARCHIVE_BYTES // MIB} MiB{_LIGHTER}")
    if not archive:
        raise PackageError("The archive is empty (0 bytes); upload the zip again.")
    if archive.count(_DIRECTORY_ENTRY) > MAX_DIRECTORY_ENTRIES:
        raise _too_many_files()
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return _extract(opened, len(archive))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError) as error:
        raise PackageError("The archive is not a readable zip; pack it again.") from error
    except (NotImplementedError, RuntimeError, ValueError, OverflowError) as error:
        if isinstance(error, PackageError):
            raise
        raise PackageError(
            "The zip cannot be read; pack it again, with plain deflate and file names of ASCII."
        ) from error
    except Exception as error:  # zlib.error, struct.error and kin: all mean a broken archive
        if isinstance(error, MemoryError):
            raise
        raise PackageError("The archive is damaged; pack it again.") from error


def _extract(opened: zipfile.ZipFile, archive_bytes: int) -> dict[str, bytes]:
    entries = [
        entry
        for entry in opened.infolist()
        if not entry.is_dir() and not _LITTER.fullmatch(entry.orig_filename)
    ]
    if len(opened.infolist()) > 2 * MAX_FILES or len(entries) > MAX_FILES:
        raise _too_many_files()
    files: dict[str, bytes] = {}
    allowed = min(MAX_UNPACKED_BYTES, MAX_RATIO * archive_bytes + RATIO_ALLOWANCE)
    seen: set[str] = set()
    for entry in entries:
        name = checked_name(entry.orig_filename)  # zipfile's own ends at a zero byte
        if name.casefold() in seen:
            raise PackageError(f"The archive holds {_shown(name)} twice; keep one.")
        seen.add(name.casefold())
        _refuse_special(entry, name)
        files[name] = _read_entry(opened, entry, allowed)
        allowed -= len(files[name])
    _refuse_files_as_folders(seen)
    return _without_wrapper(files)


def _no_manifest(files: Mapping[str, bytes]) -> str:
    """The remedy hangs on whether there is one further down."""
    deeper = sorted(name for name in files if name.endswith(f"/{FILE_NAME}"))
    if not deeper:
        return f"The package has no {FILE_NAME} at its top; add one."
    folder = deeper[0].removesuffix(f"/{FILE_NAME}")
    return (
        f"The package has no {FILE_NAME} at its top, but one in {_shown(folder)}; "
        "pack that folder alone."
    )


def _too_many_files() -> PackageError:
    return PackageError(f"The archive holds more than {MAX_FILES} files; remove some.")


def _refuse_files_as_folders(names: set[str]) -> None:
    """A jail could not write both."""
    for name in sorted(names):
        parts = name.split("/")
        for end in range(1, len(parts)):
            if (folder := "/".join(parts[:end])) in names:
                raise PackageError(f"{_shown(folder)} is a file and a folder; keep one.")


def _refuse_special(entry: zipfile.ZipInfo, name: str) -> None:
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise PackageError(f"{_shown(name)} is a link or a special file; pack regular files only.")
    if entry.flag_bits & 0x1:
        raise PackageError("The archive is encrypted; pack it without a password.")
    if entry.compress_type not in _METHODS:
        raise PackageError("The zip uses an unusual compression; use plain deflate.")


def _read_entry(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, allowed: int) -> bytes:
    content = bytearray()
    with opened.open(entry) as stream:
        while chunk := stream.read(_CHUNK):
            content += chunk
            if len(content) > allowed:
                raise PackageError(
                    f"The archive unpacks to more than {MAX_UNPACKED_BYTES // MIB} MiB, or more "
                    f"than {MAX_RATIO} times its own size; make it smaller."
                )
    if len(content) != entry.file_size:
        raise PackageError("The archive lies about the size of a file; pack it again.")
    return bytes(content)


def checked_name(name: str) -> str:
    """A plain relative path of a few plain components; PackageError otherwise."""
    parts = name.split("/")
    if "\\" in name:
        raise PackageError(
            f"{_shown(name)} has a backslash in its name: rename it, or, if the zip was packed on "
            "Windows, pack it with Explorer's 'Compressed folder' or Python: they write dir/file."
        )
    if name.startswith("/") or len(parts) > MAX_DEPTH:
        raise PackageError(f"{_shown(name)} is no plain relative path of at most 6 parts.")
    for part in parts:
        if not _NAME.fullmatch(part) or _RESERVED.fullmatch(part):
            raise PackageError(
                f"{_shown(name)} is not allowed as a file name: use letters, digits, '_', '-', "
                "'+' and '.', at most 100 characters a part, not starting with a dot."
            )
    return name


def _without_wrapper(files: dict[str, bytes]) -> dict[str, bytes]:
    """People zip the folder instead of its contents; take one wrapping folder off."""
    tops = {name.partition("/")[0] for name in files}
    if FILE_NAME in files or len(tops) != 1:
        return files
    (top,) = tops
    inner = {name.removeprefix(f"{top}/"): content for name, content in files.items()}
    return inner if FILE_NAME in inner else files


def _bounded(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_ARCHIVE_BYTES:
            raise PackageError(
                f"{path.name} is larger than {MAX_ARCHIVE_BYTES // MIB} MiB{_LIGHTER}"
            )
        return path.read_bytes()
    except OSError as error:
        raise PackageError(f"{path} cannot be read: {error.strerror}.") from error


def _directory(root: Path) -> Iterator[tuple[str, bytes]]:
    paths = sorted(p for p in root.rglob("*") if not _ignored(p.relative_to(root)))
    regular = [p for p in paths if p.is_file() and not p.is_symlink()]
    for link in (p for p in paths if p.is_symlink()):
        raise PackageError(f"{link} is a link; copy the file instead.")
    if len(regular) > MAX_FILES:
        raise PackageError(f"{root} holds more than {MAX_FILES} files; remove some.")
    if sum(p.stat().st_size for p in regular) > MAX_UNPACKED_BYTES:
        raise PackageError(f"{root} holds more than {MAX_UNPACKED_BYTES // MIB} MiB{_LIGHTER}")
    for path in regular:
        yield checked_name(path.relative_to(root).as_posix()), path.read_bytes()


def _ignored(relative: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in relative.parts)


def _shown(name: str) -> str:
    return repr(name)[:80]
