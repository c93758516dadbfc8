"""What a command's exit status says, and which error ends with which."""

from __future__ import annotations

from enum import IntEnum

from arena.errors import (
    ArenaError,
    NotApplicable,
    PackageError,
    RefereeError,
    TaskError,
    ThreatModelError,
)


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    AUTH = 3
    REJECTED = 4
    OUR_FAULT = 5
    TIMED_OUT = 6


class Stop(ArenaError):
    """Ends the command with ``code`` and a sentence on stderr."""

    def __init__(self, code: ExitCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def code_of(error: ArenaError) -> ExitCode:
    from arena import client

    if isinstance(error, Stop):
        return error.code
    if isinstance(error, client.ClientError):
        return _of_client(error)
    if isinstance(error, PackageError):
        return ExitCode.REJECTED
    if isinstance(error, ThreatModelError | TaskError | NotApplicable):
        return ExitCode.USAGE
    if isinstance(error, RefereeError):
        return ExitCode.OUR_FAULT
    return ExitCode.FAILED


def _of_client(error: ArenaError) -> ExitCode:
    from arena import client

    if isinstance(error, client.NotAuthenticated):
        return ExitCode.AUTH
    if isinstance(error, client.RequestRefused):
        return ExitCode.REJECTED
    return ExitCode.OUR_FAULT if isinstance(error, client.ServerFailed) else ExitCode.USAGE
