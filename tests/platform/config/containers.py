"""A container engine of a hundred lines: one service of docker-compose.yml, run by bubblewrap.

What the compose file says of a service is obeyed as far as bubblewrap can: command, environment,
secrets, volumes, tmpfs, a read-only root, an ordinary user without capabilities and without new
privileges, a process namespace of its own, and the seccomp profile, compiled by libseccomp as an
engine compiles it. The image is this machine with the project at /app. Not obeyed: networks
(all is on this machine's own), memory and process limits, AppArmor.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

UID = "10001"
HIDDEN = ("app", "boot", "data", "dev", "media", "mnt", "proc", "run", "srv", "sys", "tmp")
COPIED = ("arena", "submissions", "platform", "manage.py", "deploy", "README.md", "LICENSE")
_DEFAULT = re.compile(r"\$\{(\w+):-([^}]*)\}")


@dataclass(frozen=True)
class Compose:
    """docker-compose.yml and the Dockerfile beside it, with ``given`` for its variables."""

    root: Path
    given: Mapping[str, str]

    @cached_property
    def services(self) -> dict[str, dict[str, Any]]:
        text = (self.root / "docker-compose.yml").read_text()
        filled = _DEFAULT.sub(lambda found: self.given.get(found[1], found[2]), text)
        services: dict[str, dict[str, Any]] = yaml.safe_load(filled)["services"]
        return services

    @cached_property
    def dockerfile(self) -> str:
        text = (self.root / "Dockerfile").read_text().replace("\\\n", " ")
        return text[text.index(" AS app") : text.index(" AS proxy")]

    def command(self, service: str) -> list[str]:
        """Of the service, else of the image."""
        words = self.services[service].get("command")
        if words is None:
            found = re.search(r"^CMD (\[.*?\])$", self.dockerfile, re.MULTILINE)
            assert found
            words = json.loads(found[1])
        return [str(word).replace("$$", "$") for word in words]

    def environment(self, service: str) -> dict[str, str]:
        """The image's where it is ours, and over it the service's."""
        found: dict[str, str] = {}
        of_service = self.services[service].get("environment", {})
        if not self.services[service]["image"].startswith("adversarium:"):
            return {key: _text(value) for key, value in of_service.items()}
        for line in re.findall(r"^ENV (.*)$", self.dockerfile, re.MULTILINE):
            found.update(word.split("=", 1) for word in shlex.split(line))
        return found | {key: _text(value) for key, value in of_service.items()}

    def profile(self, service: str) -> Path | None:
        """The seccomp profile that the service names."""
        for option in self.services[service].get("security_opt", []):
            if option.startswith("seccomp="):
                return self.root / option.removeprefix("seccomp=")
        return None


@contextlib.contextmanager
def _memory(content: str) -> Iterator[int]:
    """A descriptor to a file in memory with ``content``."""
    descriptor = os.memfd_create("container")
    try:
        os.write(descriptor, content.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Engine:
    """Runs services of ``compose``. ``volumes`` and ``secrets`` are directories of this machine."""

    compose: Compose
    volumes: Path
    secrets: Path

    def start(
        self,
        service: str,
        command: Sequence[str] | None = None,
        *,
        shown: Mapping[Path, str] | None = None,
        **options: Any,
    ) -> subprocess.Popen[str]:
        """Start a service, or ``command`` in its place; killing the process ends all of it.

        ``shown``: more of this machine that the image has (source to target), read-only.
        """
        words = ["bwrap", *self._walls(service), *self._tree(service)]
        for name, value in self._environment(service).items():
            words += ["--setenv", name, value]
        with contextlib.ExitStack() as opened:
            passed: list[int] = []
            profile = self.compose.profile(service)
            if profile is not None:
                descriptor = opened.enter_context(compiled(profile))
                passed = [descriptor]
                words += ["--seccomp", str(descriptor)]
            for source, target in (shown or {}).items():
                words += ["--ro-bind", str(source), target]
            users = opened.enter_context(_memory(f"arena:x:{UID}:{UID}::/tmp:/bin/false\n"))
            groups = opened.enter_context(_memory(f"arena:x:{UID}:\n"))
            words += ["--ro-bind-data", str(users), "/etc/passwd"]
            words += ["--ro-bind-data", str(groups), "/etc/group"]
            if self.compose.services[service].get("read_only"):
                words += ["--remount-ro", "/"]
            words += [
                "--chdir",
                self._directory(service),
                "--",
                *(command or self.compose.command(service)),
            ]
            passed += [users, groups]
            return subprocess.Popen(words, pass_fds=passed, text=True, **options)

    def run(self, service: str, *command: str, seconds: float = 180) -> str:
        """Run to its end and return what it said.

        Raises:
            AssertionError: it failed; with what it said.
        """
        with self.start(
            service, command or None, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                said, _ = process.communicate(timeout=seconds)
            finally:
                process.kill()
        assert process.returncode == 0, f"{service} {command}: {said[-4000:]}"
        return said

    def _walls(self, service: str) -> list[str]:
        said = self.compose.services[service]
        assert "no-new-privileges:true" in said["security_opt"]  # bubblewrap knows no other way
        return [
            *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
            *("--uid", UID, "--gid", UID, "--hostname", service, "--cap-drop", "ALL"),
            *("--die-with-parent", "--new-session", "--clearenv"),
        ]

    def _tree(self, service: str) -> list[str]:
        said = self.compose.services[service]
        words = ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"]
        for path in sorted(Path("/").iterdir()):
            if path.is_symlink():
                words += ["--symlink", str(path.readlink()), str(path)]
            elif path.name not in HIDDEN:
                words += ["--ro-bind", str(path), str(path)]
        for mounted in said.get("tmpfs", []):
            words += ["--perms", "1777", "--tmpfs", mounted.split(":")[0]]
        for path in {str(self.compose.root), sys.prefix, sys.base_prefix}:
            words += ["--ro-bind", path, path]  # where /tmp covers them
        for name in COPIED:
            words += ["--ro-bind", str(self.compose.root / name), f"/app/{name}"]
        for volume in (*said.get("volumes", []), "static:/app/staticfiles"):
            source, target, *how = volume.split(":")
            where = self.compose.root if source.startswith("./") else self.volumes
            words += ["--ro-bind" if how == ["ro"] else "--bind", str(where / source), target]
        words += ["--ro-bind", str(self.secrets), "/run/secrets"]
        return words

    def _directory(self, service: str) -> str:
        """Our images' WORKDIR; what writes where it stands is Redis, in its volume."""
        return "/data" if service == "redis" else "/app"

    def _environment(self, service: str) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin", "/usr/sbin"])
        return {"PATH": path} | self.compose.environment(service)


# --- a seccomp profile of Docker's form ---------------------------------------------------------

_ALLOW = 0x7FFF_0000
_ERRNO = 0x0005_0000
_COMPARE = {"SCMP_CMP_NE": 1, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = [
        ("index", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    ]


def missing_libseccomp() -> str | None:
    return None if ctypes.util.find_library("seccomp") else "needs libseccomp.so.2"


def _action(name: str, number: int) -> int:
    return {"SCMP_ACT_ALLOW": _ALLOW, "SCMP_ACT_ERRNO": _ERRNO | number}[name]


@contextlib.contextmanager
def compiled(profile: Path) -> Iterator[int]:
    """A descriptor with the profile as a BPF program for this machine's processor."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp"))
    library.seccomp_init.restype = ctypes.c_void_p
    said = json.loads(profile.read_text())
    context = ctypes.c_void_p(
        library.seccomp_init(ctypes.c_uint32(_action(said["defaultAction"], 1)))
    )
    for rule in said["syscalls"]:
        action = _action(rule["action"], rule.get("errnoRet", 1))
        tests = [
            _Comparison(a["index"], _COMPARE[a["op"]], a["value"], a.get("valueTwo", 0))
            for a in rule.get("args", [])
        ]
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number < 0:  # of another processor, or newer than the library
                continue
            added = library.seccomp_rule_add_array(
                context, ctypes.c_uint32(action), number, len(tests),
                (_Comparison * len(tests))(*tests),
            )  # fmt: skip
            assert added == 0, (name, added)
    with tempfile.TemporaryFile() as file:
        assert library.seccomp_export_bpf(context, file.fileno()) == 0
        library.seccomp_release(context)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        yield file.fileno()


def missing_engine() -> str | None:
    """Why no container can be started here."""
    return missing_libseccomp() or (None if shutil.which("bwrap") else "needs bwrap on PATH")
