"""The compose file is valid, and gives nobody more than the jail needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def services(project_root: Path) -> dict[str, dict[str, Any]]:
    loaded: dict[str, Any] = yaml.safe_load((project_root / "docker-compose.yml").read_text())
    services: dict[str, dict[str, Any]] = loaded["services"]
    return services


def test_the_file_follows_the_compose_specification(project_root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec",
         str(project_root / "docker-compose.yml")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_service_is_privileged_or_holds_the_docker_socket(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        assert not service.get("privileged"), name
        assert "docker.sock" not in str(service), name
        assert not {"host"} & {service.get(key) for key in ("pid", "ipc", "network_mode")}, name


def test_only_the_worker_may_make_namespaces(services: dict[str, dict[str, Any]]) -> None:
    capable = {
        name for name, service in services.items() if "SYS_ADMIN" in service.get("cap_add", [])
    }
    loosened = {
        name
        for name, service in services.items()
        if "unconfined" in str(service.get("security_opt"))
    }
    assert capable | loosened == {"worker"}


def test_our_own_services_run_on_a_read_only_root_without_capabilities(
    services: dict[str, dict[str, Any]],
) -> None:
    for name in ("web", "worker", "reaper"):
        assert services[name]["read_only"], name
        assert services[name]["cap_drop"] == ["ALL"], name


def test_only_the_proxy_is_reachable_from_outside(
    project_root: Path, services: dict[str, dict[str, Any]]
) -> None:
    assert {name for name, service in services.items() if service.get("ports")} == {"proxy"}
    networks = yaml.safe_load((project_root / "docker-compose.yml").read_text())["networks"]
    outside = {name for name, network in networks.items() if not (network or {}).get("internal")}
    assert not outside & set(services["worker"]["networks"])


def test_secrets_come_from_files(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if any(word in key for word in ("SECRET", "PASSWORD")):
                assert key.endswith("_FILE"), f"{name}: {key}"
            assert "@" not in str(value) or "://" not in str(value), (
                f"{name}: {key} holds a password"
            )
