"""Settings fail loudly: production does not start half set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECRET = "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PRODUCTION = {
    "ADVERSARIUM_ENV": "production",
    "ADVERSARIUM_SECRET_KEY": SECRET,
    "ADVERSARIUM_DATABASE_URL": "postgres://arena:hidden@localhost/arena",
    "ADVERSARIUM_REDIS_URL": "redis://localhost/0",
    "ADVERSARIUM_ALLOWED_HOSTS": "arena.example.org",
}


def load(
    given: dict[str, str], data: Path, root: Path, show: str = "ENV"
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ADVERSARIUM_", "DJANGO_"))}
    paths = f"{root}{os.pathsep}{root / 'platform'}"
    code = f"from config import settings; print(settings.{show})"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "PYTHONPATH": paths, "ADVERSARIUM_DATA": str(data), **given},
        capture_output=True,
        text=True,
        cwd=data,
        timeout=60,
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode != 0, done.stdout
    assert "ImproperlyConfigured" in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_development_needs_nothing_and_keeps_its_secret(tmp_path: Path, project_root: Path) -> None:
    first, second = (load({}, tmp_path, project_root, "SECRET_KEY").stdout for _ in range(2))
    assert first == second
    assert len(first) > 50
    assert (tmp_path / "secret-key").stat().st_mode & 0o777 == 0o600


def test_commands_look_for_own_tasks_where_the_site_keeps_its_data(
    tmp_path: Path, project_root: Path
) -> None:
    names = ("ADVERSARIUM_", "DJANGO_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(names)}
    code = (
        "from django.conf import settings; from arena.tasks.library import user_directory; "
        "print(settings.DATA / 'tasks' == user_directory())"
    )
    for given in ({}, {"ADVERSARIUM_DATA": ""}, {"ADVERSARIUM_DATA": str(tmp_path)}):
        done = subprocess.run(
            [sys.executable, str(project_root / "manage.py"), "shell", "-v", "0", "-c", code],
            env={**kept, "HOME": str(tmp_path), **given},
            capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == "True", given


def test_production_starts_with_all_it_needs(tmp_path: Path, project_root: Path) -> None:
    assert load(PRODUCTION, tmp_path, project_root).stdout.strip() == "production"
    assert not (tmp_path / "secret-key").exists()


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "REDIS_URL", "ALLOWED_HOSTS"])
def test_production_refuses_to_start_without(tmp_path: Path, project_root: Path, name: str) -> None:
    given = {k: v for k, v in PRODUCTION.items() if k != f"ADVERSARIUM_{name}"}
    assert f"ADVERSARIUM_{name}" in refused(load(given, tmp_path, project_root))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "true"),
        ("SECRET_KEY", "short"),
        ("ALLOWED_HOSTS", "*"),
        ("ENV", "prod"),
        ("WORKERS", "many"),
        ("TRUSTED_ONLY", "perhaps"),
    ],
)
def test_a_dangerous_or_unreadable_value_is_refused(
    tmp_path: Path, project_root: Path, name: str, value: str
) -> None:
    given = {**PRODUCTION, f"ADVERSARIUM_{name}": value}
    assert f"ADVERSARIUM_{name}" in refused(load(given, tmp_path, project_root))


def test_a_secret_may_come_from_a_file(tmp_path: Path, project_root: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    given = {k: v for k, v in PRODUCTION.items() if k != "ADVERSARIUM_SECRET_KEY"}
    given["ADVERSARIUM_SECRET_KEY_FILE"] = str(tmp_path / "secret")
    assert load(given, tmp_path, project_root, "SECRET_KEY").stdout.strip() == SECRET


def test_a_secret_given_twice_or_in_a_missing_file_is_refused(
    tmp_path: Path, project_root: Path
) -> None:
    both = {**PRODUCTION, "ADVERSARIUM_SECRET_KEY_FILE": str(tmp_path / "secret")}
    assert "not both" in refused(load(both, tmp_path, project_root))
    missing = {k: v for k, v in both.items() if k != "ADVERSARIUM_SECRET_KEY"}
    assert "cannot be read" in refused(load(missing, tmp_path, project_root))


def test_cookies_are_secure_in_production(tmp_path: Path, project_root: Path) -> None:
    for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT"):
        assert load(PRODUCTION, tmp_path, project_root, name).stdout.strip() == "True"


def test_the_documented_settings_are_those_that_are_read(project_root: Path) -> None:
    import re

    page = (project_root / "docs" / "operating.md").read_text()
    table = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    documented = {
        n.removeprefix("ADVERSARIUM").strip("_")
        for row in table
        for n in re.findall(r"`(\w+)`", row)
    }
    source = (project_root / "platform" / "config" / "settings.py").read_text()
    read = set(re.findall(r'(?:environment\.\w+|required)\(\s*"(\w+)"', source))
    assert documented == read
