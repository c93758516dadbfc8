"""Packages of a few lines, and the cast."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

from accounts.models import Membership, Team, TeamRole, User

MANIFEST = """
schema_version = 1
name = "{name}"
role = "{role}"
tasks = ["digits"]
entry = "player.py:Player"
"""

Packer = Callable[..., io.BytesIO]


def pack(files: dict[str, str]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    buffer.seek(0)
    return buffer


@pytest.fixture
def package() -> Packer:
    """package(name="...", role="...") -> an uploaded zip."""

    def make(
        name: str = "Wall", role: str = "defense", body: str = "class Player: ..."
    ) -> io.BytesIO:
        return pack({"manifest.toml": MANIFEST.format(name=name, role=role), "player.py": body})

    return make


def member(name: str, team: Team) -> User:
    user = User.objects.create_user(name, f"{name}@example.org", "pass word 1")
    captain = not team.memberships.exists()
    role = TeamRole.CAPTAIN if captain else TeamRole.MEMBER
    Membership.objects.create(team=team, user=user, role=role)
    return user


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(name="Defenders")


@pytest.fixture
def dana(team: Team) -> User:
    """Defends."""
    return member("dana", team)


@pytest.fixture
def mallory(db: None) -> User:
    """Cheats, in a team of his own."""
    return member("mallory", Team.objects.create(name="Cheaters"))
