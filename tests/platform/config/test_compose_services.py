"""The services of docker-compose.yml, each by its own command, play a tournament to its end.

Commands, environment, secrets, users and the seccomp profile are read from the compose file and
the Dockerfile, so that neither can drift from what works.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from tests.platform.config.containers import Compose, Engine, missing_engine

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.slow, pytest.mark.jail]

PATIENCE = 240.0
HOST = "arena.example.org"
LEAGUE = """
schema_version = 1
slug = "league"
title = "House league"
description = "Two against two on digits."
task = "digits"

[[rounds]]
title = "White-box"
game = "evasion"
threat_model = "white"
norm = "linf"
epsilons = [0.1]
examples = 20
defenses = ["cnn", "logistic-regression"]
attacks = ["fgsm", "random-noise"]
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compose")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The address of a database of this module's own, on the run's server."""
    if not os.environ.get("ADVERSARIUM_DATABASE_URL", "").startswith("postgres"):
        pytest.skip("needs PostgreSQL: run it under scripts/with-postgres.sh")
    server = os.environ["ADVERSARIUM_DATABASE_URL"]
    name = f"compose_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield re.sub(r"/[^/]*$", f"/{name}", server)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {name: free_port() for name in ("redis", "web", "proxy")}


@pytest.fixture(scope="module")
def engine(folder: Path, database: str, ports: dict[str, int], project_root: Path) -> Engine:
    if reason := missing_engine():
        pytest.skip(reason)
    for name in ("artifacts", "broker", "static"):
        (folder / name).mkdir()
    made = made_secrets(folder, project_root)
    address = made / "redis_url"
    rewrite(address, re.sub(r"@[^/]+/", f"@127.0.0.1:{ports['redis']}/", address.read_text()))
    rewrite(made / "database_url", database)
    given = {"ADVERSARIUM_ALLOWED_HOSTS": HOST, "ADVERSARIUM_WORKERS": "1"}
    return Engine(Compose(project_root, given), volumes=folder, secrets=made)


def made_secrets(folder: Path, root: Path) -> Path:
    """As scripts/make-secrets.sh makes them."""
    (folder / "tree" / "deploy" / "secrets").mkdir(parents=True)
    shutil.copytree(root / "scripts", folder / "tree" / "scripts")
    subprocess.run(["bash", folder / "tree" / "scripts" / "make-secrets.sh"], check=True)
    return folder / "tree" / "deploy" / "secrets"


def rewrite(path: Path, text: str) -> None:
    path.chmod(0o600)
    path.write_text(text)


class Running:
    """Services that run; what they say lies in one file each."""

    def __init__(self, engine: Engine, logs: Path, until: ExitStack) -> None:
        self.engine = engine
        self.logs = logs
        self.until = until
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, service: str, command: list[str] | None = None, **options: Any) -> None:
        log = self.until.enter_context((self.logs / f"{service}.log").open("w"))
        process = self.engine.start(service, command, stdout=log, stderr=log, **options)
        self.processes[service] = process
        self.until.callback(end, process)

    def said(self, service: str) -> str:
        return (self.logs / f"{service}.log").read_text()

    def alive(self) -> None:
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name} ended: {self.said(name)[-4000:]}"


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def site(engine: Engine, folder: Path, ports: dict[str, int], collected: Path) -> Iterator[Running]:
    """Broker, web, worker, reaper, started in the order that the compose file asks for."""
    with ExitStack() as until:
        running = Running(engine, folder, until)
        running.start("redis", with_port(engine.compose.command("redis"), ports["redis"]))
        wait(running, lambda: pings(engine, ports["redis"]))
        engine.run("migrate")
        web = engine.compose.command("web")
        running.start("web", [str(ports["web"]) if word == "8000" else word for word in web])
        running.start("worker")
        running.start("reaper")
        wait(running, lambda: answered(ports["web"], "/readyz") == 200)
        yield running


@pytest.fixture(scope="module")
def collected(engine: Engine, project_root: Path) -> Path:
    """The static files, by the Dockerfile's own command."""
    text = (project_root / "Dockerfile").read_text()
    command = re.search(r"python manage.py collectstatic.*", text)
    assert command
    engine.run("web", *command[0].split())
    return engine.volumes / "static"


def with_port(command: list[str], port: int) -> list[str]:
    """Redis listens where this machine's own does not."""
    return [word.replace("redis-server -", f"redis-server - --port {port}") for word in command]


def pings(engine: Engine, port: int) -> bool:
    password = (engine.secrets / "redis_password").read_text()
    try:
        with redis.Redis(port=port, password=password) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def answered(port: int, path: str) -> int | None:
    try:
        return get(port, path).status_code
    except httpx.HTTPError:
        return None


def get(port: int, path: str, *, scheme: str = "https") -> httpx.Response:
    headers = {"Host": HOST, "X-Forwarded-Proto": scheme}
    return httpx.get(f"http://127.0.0.1:{port}{path}", headers=headers, timeout=30)


def wait(running: Running, done: Any) -> None:
    give_up = time.monotonic() + PATIENCE
    while not done():
        running.alive()
        assert time.monotonic() < give_up, {name: running.said(name) for name in running.processes}
        time.sleep(1.0)


def matches(port: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get(port, "/api/v1/matches/?tournament=league").json()["results"]
    return found


@pytest.fixture(scope="module")
def played(site: Running, ports: dict[str, int]) -> Running:
    """Oscar loads a tournament of the house, and it is played to its end."""
    league = site.engine.volumes / "artifacts" / "league.toml"
    league.write_text(LEAGUE)
    make = ["env", "DJANGO_SUPERUSER_PASSWORD=" + secrets.token_hex(16), "python", "manage.py"]
    make += ["createsuperuser", "--noinput", "--username", "oscar", "--email", "o@example.org"]
    site.engine.run("web", *make)
    load = ["tournament", "load", "/data/league.toml", "--organizer", "oscar", "--open"]
    site.engine.run("web", "python", "manage.py", *load)
    wait(site, lambda: {match["state"] for match in matches(ports["web"])} == {"scored"})
    return site


def test_a_tournament_is_played_to_its_end(played: Running, ports: dict[str, int]) -> None:
    """In jails that stop guests: without a capability, on a read-only root, under the profile."""
    found = matches(ports["web"])
    assert len(found) == 4
    for match in found:
        detail = get(ports["web"], f"/api/v1/matches/{match['id']}/").json()
        assert detail["provenance"]["walls"] == "namespaces"


def test_the_worker_takes_guests(played: Running) -> None:
    """Its self-tests let nothing through, in the very container that plays."""
    ask = "from arena.sandbox import doctor; print(*((d.backend, d.works) for d in doctor()))"
    found = played.engine.run("worker", "python", "-c", ask)
    assert "('bubblewrap-zygote', True) ('bubblewrap', True)" in found


def test_the_boards_follow_and_can_be_rebuilt(played: Running, ports: dict[str, int]) -> None:
    def boards() -> list[dict[str, Any]]:
        path = "/api/v1/tournaments/league/standings/"
        found: list[dict[str, Any]] = get(ports["web"], path).json()["boards"]
        return found

    def all_met() -> bool:
        rows = [row for board in boards() for row in board["rows"]]
        return len(rows) == 4 and all(row["met"] == 2 for row in rows)

    wait(played, all_met)
    before = boards()
    rebuild = ["python", "manage.py", "leaderboard", "rebuild"]
    assert "1 rounds rebuilt" in played.engine.run("worker", *rebuild)
    assert boards() == before


def test_the_web_services_own_check_finds_it_ready(played: Running, ports: dict[str, int]) -> None:
    check = played.engine.compose.services["web"]["healthcheck"]["test"]
    assert check[0] == "CMD"
    played.engine.run("web", *check[1:], str(ports["web"]))


def test_no_secret_stands_in_a_service_s_environment(played: Running) -> None:
    for secret in played.engine.secrets.glob("*_*"):
        for service in ("migrate", "web", "worker", "reaper"):
            assert secret.read_text() not in str(played.engine.compose.environment(service))


# --- the proxy ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxy(site: Running, folder: Path, ports: dict[str, int], project_root: Path) -> int:
    """The port of an nginx with deploy/nginx.conf, changed in its addresses alone."""
    if not Path("/etc/nginx/nginx.conf").exists() or not shutil.which("nginx"):
        pytest.skip("needs nginx")
    given = (project_root / "deploy" / "nginx.conf").read_text()
    assert given.count("web:8000") == given.count("listen 8080") == 1
    config = folder / "nginx.conf"
    text = given.replace("web:8000", f"127.0.0.1:{ports['web']}")
    config.write_text(text.replace("listen 8080", f"listen 127.0.0.1:{ports['proxy']}"))
    shown = {config: "/etc/nginx/nginx.conf", site.engine.volumes / "static": "/srv/static"}
    command = ["nginx", "-e", "/dev/stderr", "-g", "daemon off;"]
    site.start("proxy", command, shown=shown)
    wait(site, lambda: answered(ports["proxy"], "/proxy-healthz") == 204)
    return ports["proxy"]


def test_the_proxy_passes_pages_on_and_serves_static_files_itself(proxy: int) -> None:
    page = get(proxy, "/")
    assert page.status_code == 200
    style = re.search(r"/static/web/arena\.[0-9a-f]+\.css", page.text)
    assert style
    found = get(proxy, style[0])
    assert found.status_code == 200
    assert "immutable" in found.headers["Cache-Control"]


def test_the_proxy_believes_https_alone_of_what_is_said_before_it(proxy: int) -> None:
    assert get(proxy, "/", scheme="gopher").status_code == 301  # to https: it came by http


def test_the_proxy_refuses_a_huge_upload_at_its_first_line(proxy: int) -> None:
    with socket.create_connection(("127.0.0.1", proxy), timeout=30) as stream:
        lines = ("POST /submit/ HTTP/1.1", f"Host: {HOST}", f"Content-Length: {2**30}", "", "")
        stream.sendall("\r\n".join(lines).encode())
        assert stream.recv(100).startswith(b"HTTP/1.1 413 ")


# --- the end ------------------------------------------------------------------------------------


def test_reaper_and_worker_end_when_they_are_asked(played: Running) -> None:
    """As an engine asks: the service's own process gets SIGTERM."""
    for name in ("reaper", "worker"):
        container = played.processes.pop(name)
        (init,) = children(container.pid)
        (service,) = children(init)
        os.kill(service, signal.SIGTERM)
        assert container.wait(30) == 0, played.said(name)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
