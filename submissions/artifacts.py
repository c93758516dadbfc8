"""The content-addressed store: packages as zips under their SHA-256, on disk or in S3.

Only checked packages get in, packed anew: nothing of the uploaded zip itself is kept.
"""

from __future__ import annotations

import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage, storages

from arena.errors import RefereeError
from arena.packages import Package


def store() -> Storage:
    if "artifacts" in settings.STORAGES:
        return storages["artifacts"]
    return FileSystemStorage(
        location=settings.DATA / "artifacts",
        file_permissions_mode=0o600,
        directory_permissions_mode=0o700,
    )


def name_of(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}.zip"


def keep(package: Package) -> None:
    """Idempotent: the same package lands at the same place with the same bytes, as of now."""
    target, name = store(), name_of(package.sha256)
    if isinstance(target, FileSystemStorage):
        _write_at_once(Path(target.path(name)), package.to_zip())
    else:
        target.save(name, ContentFile(package.to_zip()))


def _write_at_once(path: Path, content: bytes) -> None:
    """All of it or nothing, whatever dies in between, whoever else writes the same."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def open_archive(sha256: str) -> IO[bytes]:
    """The stored zip, for a download. Ask ``tournaments.visibility`` first."""
    return store().open(name_of(sha256))


def forget(sha256: str, *, kept_before: datetime, dry_run: bool = False) -> int | None:
    """Removes a package that was last kept before then; its size in bytes, None where none went."""
    target, name = store(), name_of(sha256)
    if not target.exists(name) or target.get_modified_time(name) >= kept_before:
        return None
    size = target.size(name)
    if not dry_run:
        target.delete(name)
    return size


def local_copy(sha256: str, directory: Path) -> Path:
    """The zip as a file on this machine, for the runner.

    Raises:
        RefereeError: it is gone, which is our fault.
    """
    source, name = store(), name_of(sha256)
    if isinstance(source, FileSystemStorage):
        path = Path(source.path(name))
        if not path.exists():
            raise RefereeError(f"The package {sha256[:12]} is not in the artifact store.")
        return path
    copy = directory / f"{sha256}.zip"
    try:
        _fetch(source, name, copy)
    except OSError as error:
        raise RefereeError(f"The package {sha256[:12]} cannot be fetched: {error}") from error
    return copy


def _fetch(source: Storage, name: str, copy: Path) -> None:
    """From S3; its library is loaded where packages lie there, and nowhere else.

    Raises:
        OSError: whatever went wrong.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        with source.open(name) as remote:
            copy.write_bytes(remote.read())
    except (BotoCoreError, ClientError) as error:
        raise OSError(str(error)) from error
