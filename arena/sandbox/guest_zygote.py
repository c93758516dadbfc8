"""The process that players are forked from: interpreter and framework loaded once, for many.

Started inside bubblewrap's walls by :mod:`arena.sandbox.zygote`, with capabilities over its own
namespaces alone and one message socket as descriptor 3. It never meets a player's byte: each fork
becomes the first process of namespaces of its own (mounts, processes, network, IPC, host name,
control groups) with its own scratch space, forgets everything else, and goes on as
:mod:`arena.sandbox.child`, which receives files over a stream of its own and raises the last walls.

Messages, JSON in one packet each::

    ->  {"warm": [...]}                     load this too, for all later children
    <-  {"warmed": true}                    whether or not it could be
    ->  {"start": 7, "module": ..., "arguments": [...], "threads": 1, "disk_mib": 64,
         "lockdown": "..."}                 + descriptors: the child's stream, its log, and
                                            the files of the control groups that it enters
    <-  {"ready": true}                     once, when all is loaded
    <-  {"started": 7}                      + descriptor: a pidfd of the child
    <-  {"ended": 7, "status": -9, "cpu_seconds": 1.5}   as waitpid tells it

Runs inside the jail; needs the standard library alone, but for the framework.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import socket
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final

from arena.sandbox import guest_namespaces, guest_pages, guest_warmth
from arena.sandbox.guest_lockdown import VARIABLE
from arena.sandbox.guest_start import forget_input

CONTROL: Final = 3
MESSAGE_BYTES: Final = 64 * 1024
CHILD: Final = "arena.sandbox.child"
_WORKS_IN: Final = "/sub"
_MIB: Final = 1024 * 1024
_HOST_NAME: Final = "jail"
_STREAM: Final = 3
_DESCRIPTORS: Final = 4
"""At most, that come with an order."""
_MYSELF: Final = b"0"
"""To a control group's list of members: whoever writes it."""
_NOT_ALONE: Final = 70


def main() -> None:
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=CONTROL)
    guest_namespaces.forbid_user_namespaces()
    module, *arguments = sys.argv[1:]
    _warm(module, *arguments)
    control.send(json.dumps({"ready": True}).encode())
    Zygote(control, module).serve()


def _warm(module: str, *arguments: str) -> None:
    """Load, and use once, what the children would load and use first."""
    sys.dont_write_bytecode = True
    importlib.import_module(module).warm(*arguments)
    gc.collect()
    guest_pages.lay_together()
    guest_pages.make_room()
    gc.freeze()


class Zygote:
    """Forks on request, and says how each fork ended."""

    def __init__(self, control: socket.socket, warmth: str) -> None:
        self._control = control
        self._warmth = warmth
        self._self = os.pidfd_open(os.getpid())
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._children: dict[int, tuple[int, int]] = {}
        """By pidfd: the number of the start, and the pid."""

    def serve(self) -> None:
        """Until the other end hangs up; the kernel then takes every child along."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._control.fileno():
                    self._bury(descriptor)
                elif not self._take_order():
                    return

    def _take_order(self) -> bool:
        text, given, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, _DESCRIPTORS)
        if not text:
            return False
        order = json.loads(text)
        if "warm" in order:
            self._warm_up(order["warm"])
            return True
        pid = self._fork(order, *given)
        for descriptor in given:
            os.close(descriptor)
        child = os.pidfd_open(pid)
        self._children[child] = (order["start"], pid)
        self._poll.register(child, select.POLLIN)
        self._tell({"started": order["start"]}, [child])
        return True

    def _warm_up(self, arguments: list[str]) -> None:
        """What cannot be loaded is told by the child that needs it."""
        try:
            _warm(self._warmth, *arguments)
        except Exception:  # noqa: BLE001 - shown in the log of the outer
            traceback.print_exc()
        self._tell({"warmed": True})

    def _fork(self, order: dict[str, Any], stream: int, log: int, *groups: int) -> int:
        """The child's pid. It is process 1 of its own namespace from its first moment."""
        guest_namespaces.leave(guest_namespaces.NEW_PROCESSES)
        pid = os.fork()
        if pid == 0:
            _become(order, stream, log, groups)
        guest_namespaces.have_children_here(self._self)
        return pid

    def _bury(self, child: int) -> None:
        number, pid = self._children.pop(child)
        self._poll.unregister(child)
        os.close(child)
        _, status, used = os.wait4(pid, 0)
        self._tell(
            {
                "ended": number,
                "status": os.waitstatus_to_exitcode(status),
                "cpu_seconds": used.ru_utime + used.ru_stime,
            }
        )

    def _tell(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        socket.send_fds(self._control, [json.dumps(message).encode()], descriptors or [])


def _become(order: dict[str, Any], stream: int, log: int, groups: Sequence[int]) -> None:
    """The child's whole life. It never returns."""
    status = _NOT_ALONE
    try:
        _stand_alone(order, stream, log, groups)
        status = _run(order)
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(bool(left.code))
    except BaseException:  # noqa: BLE001 - told in the log, and by the status
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _stand_alone(order: dict[str, Any], stream: int, log: int, groups: Sequence[int]) -> None:
    """Nothing but a stream, a log and namespaces of its own is left."""
    _take_descriptors(stream, log, groups)
    guest_namespaces.leave(guest_namespaces.ALL_BUT_PROCESSES)
    guest_namespaces.keep_mounts_private()
    for directory in guest_namespaces.SCRATCH:
        size = int(order["disk_mib"]) * _MIB
        guest_namespaces.mount_scratch(directory, size=size)
    guest_namespaces.set_host_name(_HOST_NAME)
    os.chdir(_WORKS_IN)
    os.environ[VARIABLE] = order["lockdown"]


def _take_descriptors(stream: int, log: int, groups: Sequence[int]) -> None:
    """The stream at 3, the log at 1 and 2; what else is open is the zygote's, and is closed.

    All are above 3 here: descriptors 0 to 3 have been taken since the zygote began. So is 0 opened
    anew: forks would share its flags, a letter box.
    """
    forget_input()
    os.dup2(log, 1)
    os.dup2(log, 2)
    for group in groups:
        os.write(group, _MYSELF)
    os.dup2(stream, _STREAM)
    os.set_inheritable(_STREAM, False)
    os.closerange(_STREAM + 1, os.sysconf("SC_OPEN_MAX"))


def _run(order: dict[str, Any]) -> int:
    """The module as the main program, on as many threads as its side may use."""
    guest_warmth.use_threads(int(order["threads"]))
    if order["module"] == CHILD:
        from arena.sandbox import child

        return child.run(forked=True)
    sys.argv = [order["module"], *order["arguments"]]
    if order["module"] in sys.modules:
        return sys.modules[order["module"]].main() or 0
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    main()
