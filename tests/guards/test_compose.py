"""The compose file is valid, and gives nobody more than the jail needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from arena.sandbox import seccomp
from arena.sandbox.guest_probe import FORBIDDEN_CALLS

OURS = ("migrate", "web", "worker", "reaper")


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
    for name in (*OURS, "proxy"):
        assert services[name]["read_only"], name
        assert services[name]["cap_drop"] == ["ALL"], name
        assert not services[name].get("cap_add"), name


def test_nothing_gains_a_privilege_by_running_a_program(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        assert "no-new-privileges:true" in service["security_opt"], name


def test_our_own_services_have_limits_and_no_swap(services: dict[str, dict[str, Any]]) -> None:
    for name in OURS:
        assert services[name]["mem_limit"] == services[name]["memswap_limit"], name
        assert 0 < services[name]["pids_limit"] <= 2048, name
        assert services[name]["ulimits"] == {"core": 0}, name


def test_no_service_s_log_grows_without_end(services: dict[str, dict[str, Any]]) -> None:
    """Docker's own default keeps every line for ever."""
    for name, service in services.items():
        assert service["logging"]["options"] == {"max-size": "20m", "max-file": "5"}, name


def test_the_worker_reaches_the_database_and_the_broker_alone(
    services: dict[str, dict[str, Any]],
) -> None:
    own = set(services["worker"]["networks"])
    beside = {name for name, service in services.items() if own & set(service["networks"])}
    assert beside == {"worker", "postgres", "redis"}


def test_a_service_is_given_the_secrets_it_names_and_no_other(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        said = json.dumps([service.get("environment"), service.get("command")])
        for secret in service.get("secrets", []):
            assert f"/run/secrets/{secret}" in said, f"{name}: {secret}"
        assert said.count("/run/secrets/") == len(service.get("secrets", [])), name


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


# --- the worker's own profiles ------------------------------------------------------------------


@pytest.fixture(scope="module")
def profile(project_root: Path, services: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The seccomp profile that the worker names."""
    (named,) = [o for o in services["worker"]["security_opt"] if o.startswith("seccomp")]
    loaded: dict[str, Any] = json.loads((project_root / named.partition("=")[2]).read_text())
    return loaded


@pytest.fixture(scope="module")
def allowed(profile: dict[str, Any]) -> set[str]:
    """The calls that the profile allows without a condition."""
    return {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }


def test_the_workers_profile_is_an_allow_list(profile: dict[str, Any]) -> None:
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    named = [name for rule in profile["syscalls"] for name in rule["names"] if name != "socket"]
    assert len(named) == len(set(named)), "a call stands in it twice"


def test_it_allows_what_a_jail_is_made_of_and_all_that_a_jail_allows(allowed: set[str]) -> None:
    made_of = {"clone", "unshare", "setns", "mount", "umount2", "pivot_root", "seccomp", "prctl"}
    made_of |= {"pidfd_open", "pidfd_send_signal", "memfd_create", "sethostname", "capset"}
    made_of |= {f"landlock_{name}" for name in ("create_ruleset", "add_rule", "restrict_self")}
    within = {*seccomp._PLAYER, *seccomp._START, *seccomp._BY_ARGUMENT} - {"clone3"}
    assert not (made_of | within) - allowed


def test_it_refuses_what_no_part_of_a_worker_needs(allowed: set[str]) -> None:
    deep = set(FORBIDDEN_CALLS["reach deep into the kernel"]) - {"seccomp"}
    strangers = {"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"}
    newer_mounts = {"open_tree", "move_mount", "fsopen", "fsmount", "fsconfig", "mount_setattr"}
    shared = {"shmget", "semget", "msgget", "mq_open", "name_to_handle_at", "open_by_handle_at"}
    others = {"chroot", "clone3", "execveat", "mknod", "mknodat", "futex_waitv"}
    pages = {"splice", "tee", "vmsplice", "readahead", "sync_file_range", "inotify_init1"}
    assert not (deep | strangers | newer_mounts | shared | others | pages) & allowed


def test_it_opens_sockets_of_four_families_alone(profile: dict[str, Any]) -> None:
    rules = [rule for rule in profile["syscalls"] if "socket" in rule["names"]]
    families = {rule["args"][0]["value"] for rule in rules}
    assert families == {1, 2, 10, 16}  # unix, inet, inet6, netlink; not vsock, not alg
    assert all(rule["args"][0]["op"] == "SCMP_CMP_EQ" for rule in rules)


def test_the_apparmor_profile_that_the_compose_file_speaks_of_exists(project_root: Path) -> None:
    text = (project_root / "deploy" / "apparmor-worker").read_text()
    assert "profile adversarium-worker" in text
    assert (
        "ADVERSARIUM_APPARMOR=adversarium-worker"
        in (project_root / "docker-compose.yml").read_text()
    )
