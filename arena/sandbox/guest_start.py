"""The first lines of our code that run in a jail: tidy the descriptors, then run the child.

Runs inside the jail; needs the standard library alone.
"""

from __future__ import annotations

import os
import resource
import runpy
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from arena.sandbox import guest_lockdown

SOCKET: Final = 3
"""The descriptor of the stream to the referee, whatever number it had on the way in."""
_PR_SET_PDEATHSIG: Final = 1


def start(module: str, descriptor: int, arguments: Sequence[str] = ()) -> None:
    """Run ``module`` as the main program, with the socket at 3 and nothing open beyond it."""
    if descriptor != SOCKET:
        os.dup2(descriptor, SOCKET)
        if descriptor < SOCKET:
            _replace_by_nothing(descriptor)
    os.set_inheritable(SOCKET, False)
    forget_input()
    os.closerange(SOCKET + 1, max(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
    wanted = guest_lockdown.asked()
    if wanted is not None:
        _give_up_capabilities(wanted)
        _close_files(wanted)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _replace_by_nothing(descriptor: int) -> None:
    """A standard stream that brought the socket: from now on it is empty."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def forget_input() -> None:
    """Standard input as the jail has it: what was inherited is the host's, times and all."""
    own = os.open("/dev/null", os.O_RDONLY)
    os.dup2(own, 0)
    os.close(own)


def _give_up_capabilities(wanted: guest_lockdown.Lockdown) -> None:
    """Those that bubblewrap left for what it does not do: it bounds the bytes of a tmpfs alone.

    Where the system lets nobody use them, memory bounds the number of files as it did.
    """
    if not wanted.bounded:
        return
    from arena.sandbox import guest_namespaces

    guest_namespaces.forbid_user_namespaces()
    for directory in wanted.bounded:
        with suppress(PermissionError):
            guest_namespaces.bound_scratch(directory)
    guest_namespaces.drop_capabilities()


def _close_files(wanted: guest_lockdown.Lockdown) -> None:
    """Before anything else is imported, where no namespace does it: Landlock, and a last wish."""
    if wanted.own_namespaces or sys.platform != "linux":
        return
    from arena.sandbox import landlock, seccomp

    seccomp.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if wanted.readable:
        landlock.restrict(readable=wanted.readable, writable=wanted.writable)
