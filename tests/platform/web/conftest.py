"""A seeded tournament, made once a file and rolled back around each test; browsers by role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.test import Client, override_settings

from accounts.models import User
from tests.platform.web.seeding import World, found_again, seed

OWN = {
    "REDIS_URL": "",
    "ALLOWED_HOSTS": ["testserver"],
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
}


@pytest.fixture(scope="module")
def data_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def own_data(settings: Any, data_directory: Path) -> None:
    """Files lie in a directory of the tests' own; nothing is told to a broker."""
    settings.DATA = data_directory
    settings.MIDDLEWARE = [m for m in settings.MIDDLEWARE if "whitenoise" not in m]
    for name, value in OWN.items():
        setattr(settings, name, value)


@pytest.fixture(scope="module")
def seeded(django_db_setup: None, django_db_blocker: Any, data_directory: Path) -> Iterator[None]:
    """Tests run in savepoints inside this transaction, which is never committed."""
    assert django_settings.configured
    with (
        django_db_blocker.unblock(),
        override_settings(DATA=data_directory, **OWN),
        transaction.atomic(),
    ):
        seed()
        yield
        transaction.set_rollback(True)


@pytest.fixture
def world(seeded: None, db: None) -> World:
    return found_again()


@pytest.fixture
def as_() -> Callable[[User | None], Client]:
    """A browser in which somebody is logged in, or nobody."""

    def browser(user: User | None) -> Client:
        client = Client()
        if user is not None:
            client.force_login(user, backend="accounts.backends.UsernameOrEmail")
        return client

    return browser
