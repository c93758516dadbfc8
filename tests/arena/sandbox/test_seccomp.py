"""The filters, run instruction by instruction on calls that were never made."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import struct

import pytest

from arena.sandbox import seccomp

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
PID = 7
CLONE_OF_GLIBC = 0x3D0F00
"""pthread_create: VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_*."""

X86 = seccomp.MACHINES["x86_64"]
ARM = seccomp.MACHINES["aarch64"]


def verdict(program: bytes, number: int, *arguments: int, machine: seccomp.Machine = X86) -> int:
    """What the kernel would do: a tiny classic BPF machine."""
    values = [a & (2**64 - 1) for a in (*arguments, *[0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number, machine.audit, 0, *values)
    code = list(struct.iter_unpack("<HBBI", program))
    accumulator = at = 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == 0x06:
            return value
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x54:
            accumulator &= value
        else:
            tests = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }
            at += if_true if tests[operation] else if_false


@pytest.fixture
def player() -> bytes:
    return seccomp.player_filter(pid=PID, target=X86)


def test_reading_is_allowed_and_running_a_program_is_not(player: bytes) -> None:
    assert verdict(player, 0) == ALLOW
    assert verdict(player, 59) == ERRNO | errno.EPERM
    assert verdict(seccomp.start_filter(X86), 59) == ALLOW


def test_a_call_nobody_listed_is_refused(player: bytes) -> None:
    for number in (41, 62, 101, 250, 319, 425, 451, 999):
        assert verdict(player, number) == ERRNO | errno.EPERM


def test_a_call_of_another_abi_or_machine_kills(player: bytes) -> None:
    assert verdict(player, 0x40000000) == KILL
    assert verdict(player, 0, machine=ARM) == KILL


def test_clone_makes_threads_and_nothing_else(player: bytes) -> None:
    assert verdict(player, 56, CLONE_OF_GLIBC) == ALLOW
    assert verdict(player, 56, 17) == ERRNO | errno.EPERM  # fork: SIGCHLD alone
    assert verdict(player, 56, 0x4100 | 17) == ERRNO | errno.EPERM  # vfork
    for namespace in (
        0x80,
        0x20000,
        0x2000000,
        0x4000000,
        0x8000000,
        0x10000000,
        0x20000000,
        0x40000000,
    ):
        assert verdict(player, 56, CLONE_OF_GLIBC | namespace) == ERRNO | errno.EPERM
    assert verdict(player, 435) == ERRNO | errno.ENOSYS


def test_arguments_decide_where_they_must(player: bytes) -> None:
    refused = ERRNO | errno.EPERM
    f_setfd, f_setlk, f_setlease, f_notify = 2, 6, 1024, 1026
    assert verdict(player, 72, 3, f_setfd) == ALLOW
    for command in (f_setlk, f_setlease, f_notify, 37):
        assert verdict(player, 72, 3, command) == refused
    assert verdict(player, 16, 0, 0x5401) == ALLOW
    assert verdict(player, 16, 0, 0x5412) == refused  # TIOCSTI
    assert verdict(player, 16, 0, 0x1_0000_5412) == refused
    assert verdict(player, 28, 0, 0, 4) == ALLOW
    assert verdict(player, 28, 0, 0, 21) == refused  # MADV_PAGEOUT
    assert verdict(player, 234, PID, PID, 6) == ALLOW
    assert verdict(player, 234, 1, 1, 9) == refused


def test_a_futex_is_for_the_threads_of_one_process(player: bytes) -> None:
    wait, wake, wait_bitset, private, realtime = 0, 1, 9, 128, 256
    for operation in (wait, wake, wait_bitset, wait_bitset | realtime):
        assert verdict(player, 202, 4096, operation | private) == ALLOW
        assert verdict(player, 202, 4096, operation) == ERRNO | errno.EAGAIN
    assert verdict(player, 449) == ERRNO | errno.EPERM  # futex_waitv: its flags lie in memory


def test_over_the_socket_go_bytes_in_their_turn_and_nothing_else(player: bytes) -> None:
    urgent, peek = 1, 2
    assert verdict(player, 44, 3, 4096, 160, 0) == ALLOW
    assert verdict(player, 44, 3, 4096, 160, urgent) == ERRNO | errno.EPERM
    assert verdict(player, 45, 3, 4096, 160, peek) == ERRNO | errno.EPERM
    referee = seccomp.player_filter(pid=PID, receives_descriptors=True, target=X86)
    for number in (46, 47):  # sendmsg, recvmsg
        assert verdict(player, number) == ERRNO | errno.EPERM
        assert verdict(referee, number) == ALLOW


def test_to_synchronize_a_file_succeeds_and_does_nothing(player: bytes) -> None:
    for number in (74, 75, 26):
        assert verdict(player, number) == ERRNO
    assert verdict(player, 162) == ERRNO | errno.EPERM  # sync


def test_limits_can_be_read_and_not_set(player: bytes) -> None:
    assert verdict(player, 302, 0, 7, 0, 4096) == ALLOW
    assert verdict(player, 302, 0, 7, 4096, 0) == ERRNO | errno.EPERM
    assert verdict(player, 302, 0, 7, 1 << 32, 0) == ERRNO | errno.EPERM
    assert verdict(player, 302, 1, 7, 0, 4096) == ERRNO | errno.EPERM


def test_the_filters_of_arm_use_its_numbers() -> None:
    filtered = seccomp.player_filter(pid=PID, target=ARM)

    assert verdict(filtered, 63, machine=ARM) == ALLOW  # read
    assert verdict(filtered, 220, CLONE_OF_GLIBC, machine=ARM) == ALLOW
    assert verdict(filtered, 221, machine=ARM) == ERRNO | errno.EPERM  # execve
    assert verdict(filtered, 198, machine=ARM) == ERRNO | errno.EPERM  # socket


def test_every_number_is_the_one_libseccomp_knows() -> None:
    path = ctypes.util.find_library("seccomp")
    if path is None:
        pytest.skip("libseccomp is not here to compare with")
    resolve = ctypes.CDLL(path).seccomp_syscall_resolve_name_arch
    wrong = [
        (name, machine)
        for table in (seccomp._PLAYER, seccomp._BY_ARGUMENT, seccomp._START)
        for name, numbers in table.items()
        for machine in (X86, ARM)
        if (expected := resolve(ctypes.c_uint32(machine.audit), name.encode())) is not None
        and numbers[machine.column] != (expected if expected >= 0 else None)
    ]

    assert wrong == []
