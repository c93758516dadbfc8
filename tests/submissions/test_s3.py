"""Packages in an S3 store, by the documented settings, before a stand-in for one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from arena.errors import RefereeError
from arena.packages import Package
from submissions import artifacts

NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>There is none.</Message></Error>"
PRINT_STORES = "import json; from django.conf import settings; print(json.dumps(settings.STORAGES))"
PRINT_LOADED = (
    "import config.urls, json, sys; "
    "print(json.dumps([name for name in sys.modules if name.startswith(('boto', 'storages'))]))"
)


class Bucket(ThreadingHTTPServer):
    """Objects by path; ``refusing``: an outage, ``asked``: the headers of what was put."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.objects: dict[str, bytes] = {}
        self.asked: list[dict[str, str]] = []
        self.refusing = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    server: Bucket
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            size, _, rest = body.partition(b"\r\n")
            body = rest[: int(size.split(b";")[0], 16)]
        self.server.objects[self.path] = body
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()})
        self._says(200)

    def do_GET(self) -> None:
        if self.server.refusing:
            return self._says(403, b"<Error><Code>AccessDenied</Code></Error>")
        found = self.server.objects.get(self.path)
        return self._says(404, NO_KEY) if found is None else self._says(200, found)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.server.objects.pop(self.path, None)
        self._says(204)

    def _says(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", formatdate(usegmt=True))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    server = Bucket()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def store(bucket: Bucket, settings: LazySettings, tmp_path: Path, project_root: Path) -> None:
    """The stores that the settings make of an operator's environment."""
    environment = os.environ | {
        "ADVERSARIUM_S3_BUCKET": "packages",
        "ADVERSARIUM_S3_ENDPOINT": bucket.address,
        "ADVERSARIUM_S3_ACCESS_KEY": "arena",
        "ADVERSARIUM_S3_SECRET_KEY": "secret",
        "ADVERSARIUM_DATA": str(tmp_path),
    }
    told = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", PRINT_STORES],
        cwd=project_root, env=environment, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    settings.STORAGES = json.loads(told.stdout.splitlines()[-1])


@pytest.fixture
def wall() -> Package:
    return Package.of(
        {
            "manifest.toml": b'schema_version = 1\nname = "Wall"\nrole = "defense"\n'
            b'entry = "player.py:Player"\n',
            "player.py": b"class Player: ...\n",
        }
    )


@pytest.mark.usefixtures("store")
def test_a_package_is_kept_in_the_bucket_fetched_and_forgotten(
    bucket: Bucket, wall: Package, tmp_path: Path
) -> None:
    for _ in range(2):
        artifacts.keep(wall)
    path = f"/packages/{artifacts.name_of(wall.sha256)}"
    assert list(bucket.objects) == [path], "the same package at the same place"
    assert Package.read(artifacts.local_copy(wall.sha256, tmp_path)) == wall
    with artifacts.open_archive(wall.sha256) as archive:
        assert archive.read() == bucket.objects[path]
    soon = timezone.now() + timedelta(days=1)
    assert artifacts.forget(wall.sha256, kept_before=soon) == len(wall.to_zip())
    assert not bucket.objects


@pytest.mark.usefixtures("store")
def test_a_bucket_that_takes_no_access_lists_takes_packages(bucket: Bucket, wall: Package) -> None:
    artifacts.keep(wall)
    assert all("x-amz-acl" not in headers for headers in bucket.asked)


@pytest.mark.usefixtures("store")
def test_a_package_that_the_store_does_not_give_is_our_fault(
    bucket: Bucket, wall: Package, tmp_path: Path
) -> None:
    with pytest.raises(RefereeError, match="cannot be fetched"):
        artifacts.local_copy(wall.sha256, tmp_path)
    artifacts.keep(wall)
    bucket.refusing = True
    with pytest.raises(RefereeError, match="cannot be fetched"):
        artifacts.local_copy(wall.sha256, tmp_path)


def test_a_site_whose_packages_lie_on_disk_does_not_load_what_speaks_to_s3(
    project_root: Path,
) -> None:
    told = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", PRINT_LOADED],
        cwd=project_root, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert json.loads(told.stdout.splitlines()[-1]) == []
