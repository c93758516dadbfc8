"""The jail: hostile code runs here, and nothing but numbers comes out.

Theory of operation
===================

A player is one process that holds one socket. Its package arrives over that socket, its answers
leave over it as raw arrays (``arena.wire``); no file, directory or descriptor of the host is
shared in either direction. The referee starts it through the one interface of
:mod:`arena.sandbox.backend` and knows nothing of how.

The usual way is a fork (:mod:`.zygote`). For each side and framework one bubblewrap process, the
outer, is started when it is first needed and lives for many matches; in it a zygote has loaded the
framework. What happens between ``backend.start()`` and the player's first line::

    this process     zygote.py       makes a socket pair, a log pipe and a control group; sends an
                                     order and two descriptors to the zygote
    zygote           guest_zygote.py forks into a new pid namespace; sends back a pidfd
    the fork         guest_zygote.py new mount, net, ipc, uts and cgroup namespaces; two small tmpfs
                                     of its own over /sub and /tmp; closes every descriptor but its
                                     stream and its log
    this process     zygote.py       finds the pid behind the pidfd, moves it into its group
    arena child      child.py        HELLO, UP; FILE: writes the player's files to /sub
                                     SEAL: guest_lockdown.lock_down(): /sub read-only, every
                                     capability dropped, Landlock, rlimits, not dumpable,
                                     seccomp.player_filter(); LOCKED
    the player       child.py        START: only now does a line of a package run

A zygote never meets a player's byte, and the two sides never share an outer. Where no process may
make namespaces inside of bubblewrap's (AppArmor on recent Ubuntu), and for packages that nobody
has seen before, each player gets a bubblewrap process of its own (:mod:`.bubblewrap`)::

    this process     bubblewrap.py   claims a uid, a control group, two pipes and a socket pair;
                                     spawn.py forks from one long-lived thread
    bwrap            (uid of nobody) new user, mount, pid, net, ipc, uts and cgroup namespaces;
                                     mounts view.py's allow list read-only, two small tmpfs,
                                     seals the root; waits until it is in its control group;
                                     no_new_privs, seccomp.start_filter()
    python           guest_start.py  closes every descriptor but 0 to 3; bounds the files of the
                                     tmpfs, then drops every capability; Landlock where no
                                     namespaces are; runs the child
    arena child      child.py        as above, with the framework to import first

Each wall is enough for its own purpose, and the ones behind it assume that it fell: a file that
the mounts hide could not be opened anyway by a uid that owns nothing; a socket that seccomp
refuses would find no network.

===================  ==============================================================================
what must not get    what stops it (docs/security.md says what is left)
out or in
===================  ==============================================================================
files, other teams   nothing of the host is mounted but libraries, by name (``view``)
the network          an empty network namespace; ``socket`` is refused (vsock has no namespace)
other processes      a pid namespace, no procfs; ``kill``, ``ptrace``, ``pidfd_*`` are refused
new processes        ``fork`` and ``execve`` are refused: the jail is one process to the end
memory               a control group where one can be made, RLIMIT_AS everywhere
time                 RLIMIT_CPU inside; the wall clock is the referee's, who calls ``kill()``
disk                 two tmpfs with a size, RLIMIT_FSIZE; everything else is read-only
logs                 a pipe, drained and capped; control characters are spelled out on reading
===================  ==============================================================================

``kill()`` ends the init of the pid namespace: the kernel takes every process inside along. A
jail also dies with the process that started it. How it ended is told apart from outside:
bubblewrap's status descriptor, which no player holds, or the zygote says whether and how it ended;
the control group says whether memory did it; the processor time used says whether that did. A fork
is process 1 of its namespace and cannot send itself SIGKILL: one that dies of it otherwise was
ended by somebody outside, and is nobody's fault but ours.

The referee that speaks with players runs in such a jail too (:mod:`arena.jailed`), with
:mod:`.remote` as its backend: its keeper (:mod:`arena.keeper`) starts what it asks for.

Backends, in the order they are tried: ``bubblewrap-zygote`` (:mod:`.zygote`) and ``bubblewrap``
(:mod:`.bubblewrap`), for everybody;
``gvisor`` (:mod:`.gvisor`), slower and behind a kernel of its own, for everybody; ``landlock``
and ``process`` (:mod:`.bare`), for the arena's own players on machines without namespaces.
:func:`choose` takes the first that starts and withstands :mod:`.self_test`, or the one named.

Files named ``guest_*``, ``child``, ``seccomp`` and ``landlock`` run inside the jail. They need
the standard library (and the child numpy) alone, and never import what stays outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arena.sandbox.backend import SandboxBackend
    from arena.sandbox.choice import Diagnosis


def choose(*, trusted: bool, named: str | None = None) -> SandboxBackend:
    """The first backend that starts and passes its self-test; asked once per process.

    ``trusted``: only the arena's own players will be started. ``named``: this backend or none;
    without it, the one that ``ARENA_BACKEND`` names, if it is set.

    Raises:
        SandboxUnavailable: nothing here is strong enough; the message names the remedy.
    """
    from arena.sandbox import choice

    return choice.choose(trusted=trusted, named=named)


def doctor() -> list[Diagnosis]:
    """What works on this machine, the strongest first, and what to do about the rest."""
    from arena.sandbox import choice

    return choice.doctor()
