"""Whose address the proxy tells the site, and how many accounts one address may make."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

Proxy = Callable[..., str]


class Site(BaseHTTPRequestHandler):
    """Answers with the address that it was told."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.headers["X-Forwarded-For"].encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def proxy(tmp_path: Path, project_root: Path) -> Iterator[Proxy]:
    """proxy(trusted=...) -> the address of an nginx with deploy/nginx.conf in front of ``Site``."""
    program = shutil.which("nginx", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if program is None or not Path("/etc/nginx/mime.types").exists():
        pytest.skip("needs nginx")
    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    started: list[subprocess.Popen[bytes]] = []

    def start(*, trusted: str = "") -> str:
        port = free_port()
        shipped = (project_root / "deploy" / "trusted-proxies.conf").read_text()
        (tmp_path / "trusted-proxies.conf").write_text(f"{shipped}\n{trusted}")
        text = (project_root / "deploy" / "nginx.conf").read_text()
        for old, new in (
            ("/tmp/", f"{tmp_path}/"),
            ("web:8000", f"127.0.0.1:{site.server_port}"),
            ("listen 8080", f"listen 127.0.0.1:{port}"),
            ("/srv/trusted", f"{tmp_path}/trusted"),
        ):
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "nginx.conf").write_text(text)
        command = [program, "-e", "/dev/stderr", "-c", str(tmp_path / "nginx.conf")]
        with (tmp_path / "log").open("wb") as log:
            started.append(
                subprocess.Popen([*command, "-g", "daemon off;"], stdout=log, stderr=log)
            )
        address = f"http://127.0.0.1:{port}"
        while True:
            assert started[-1].poll() is None, (tmp_path / "log").read_text()
            try:
                if httpx.get(f"{address}/proxy-healthz").status_code == 204:
                    return address
            except httpx.TransportError:
                time.sleep(0.05)

    yield start
    for process in started:
        process.terminate()
        process.wait(10)
    site.shutdown()
    site.server_close()


def told(address: str, said: str) -> str:
    return httpx.get(address, headers={"X-Forwarded-For": said}).text


def test_what_a_visitor_says_of_his_address_is_worth_nothing(proxy: Proxy) -> None:
    assert told(proxy(), "203.0.113.7") == "127.0.0.1"


def test_a_proxy_that_is_named_tells_visitors_apart(proxy: Proxy) -> None:
    """Of several addresses the last is the proxy's word; those before it are the visitor's."""
    address = proxy(trusted="set_real_ip_from 127.0.0.1;")
    assert told(address, "203.0.113.7") == "203.0.113.7"
    assert told(address, "198.51.100.1, 203.0.113.7") == "203.0.113.7"


def test_one_address_makes_a_class_of_accounts_and_then_few(proxy: Proxy) -> None:
    address = proxy(trusted="set_real_ip_from 127.0.0.1;")

    def signs_up(said: str) -> int:
        return httpx.post(f"{address}/signup/", headers={"X-Forwarded-For": said}).status_code

    answers = [signs_up("203.0.113.7") for _ in range(70)]
    assert answers[:60] == [200] * 60
    assert answers[-1] == 429
    assert signs_up("203.0.113.8") == 200
    assert told(f"{address}/signup/", "203.0.113.7") == "203.0.113.7"
