"""What can go wrong, said in one line: what was attempted, on what, what was answered, what would help.

Each class carries the HTTP status that the Docker Engine API gives for it, so that the server has nothing to decide.
"""

from __future__ import annotations


class KernelkitError(Exception):
    """Anything kernelkit reports to its user; `hint` says what would help."""

    status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidRequest(KernelkitError):
    """The request cannot mean anything: a bad flag, a malformed name, a wrong type."""

    status = 400


class AuthenticationFailed(KernelkitError):
    """A registry refused the user name, password or token."""

    status = 401


class Forbidden(KernelkitError):
    """The request is understood and not allowed."""

    status = 403


class NotFound(KernelkitError):
    """No such container, image, network, volume, exec instance or file."""

    status = 404


class Conflict(KernelkitError):
    """The name is taken, or the object is in a state in which this cannot be done."""

    status = 409


class NotModified(KernelkitError):
    """The object is already as the request wants it: started, stopped."""

    status = 304


class OperationFailed(KernelkitError):
    """The kernel refused an operation while a container was being built.

    `exit_code` is what `docker run` would leave with: 125, or 126 and 127 for a command that
    cannot be run or is not there.
    """

    def __init__(self, message: str, hint: str = "", exit_code: int = 125) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


class RegistryError(KernelkitError):
    """A registry answered with something that is not what was asked for, or did not answer."""


class Unavailable(KernelkitError):
    """The machine lacks something: a kernel feature, a tool, a capability."""

    status = 501
