"""`login` and `logout`: names and passwords for registries, tried by the engine and kept where Docker keeps them."""

from __future__ import annotations

import os
import termios

from kernelkit.cli import credentials
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, STRING, Command, Flag
from kernelkit.cli.http import ApiError
from kernelkit.cli.output import Failure, complain, put, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernelkit.cli.flags import Options

UNAUTHORIZED = 401


def login(options: Options) -> int:
    """Try a name and a password at a registry, and keep them when it takes them."""
    registry = _registry(options)
    user, password = options.text("username"), options.text("password")
    if password and not options.on("password-stdin"):
        complain("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if options.on("password-stdin"):
        if "password" in options.given:
            raise Failure("conflicting options: cannot specify both --password and --password-stdin")
        if not user:
            raise Failure("the --password-stdin option requires --username to be set")
        password = _all_of_stdin()
    if "password" in options.given and not password:
        raise Failure("password is empty")
    if not user and not password and _known(registry):
        return 0
    if not user or not password:
        if not os.isatty(0):
            raise Failure("Error: Cannot perform an interactive login from a non TTY device")
        user = user or _ask("Username: ")
        password = password or _ask("Password: ", secret=True)
    if not user or not password:
        raise Failure("Error: Password Required" if user else "Error: Non-null Username Required")
    body = {"username": user, "password": password, "serveraddress": registry}
    answer = connect().post("/auth", None, body) or {}
    if not credentials.store(registry, user, password, answer.get("IdentityToken") or ""):
        _warn()
    say(answer.get("Status") or "Login Succeeded")
    return 0


def _known(registry: str) -> bool:
    """Try the credentials that are kept already; False when there are none, or the registry no longer takes them."""
    kept = credentials.find(registry)
    if not kept:
        return False
    name = f" [Username: {kept['username']}]" if kept.get("username") else ""
    complain(f"Authenticating with existing credentials...{name}\n")
    complain(" Info -> To login with a different account, run 'kernelkit logout' followed by 'kernelkit login'\n\n")
    try:
        answer = connect().post("/auth", None, kept) or {}
    except ApiError as error:
        complain("Stored credentials invalid or expired" if error.status == UNAUTHORIZED else error.message)
        return False
    say(answer.get("Status") or "Login Succeeded")
    return True


def logout(options: Options) -> int:
    """Forget the credentials of a registry."""
    registry = _registry(options)
    say(f"Removing login credentials for {registry}")
    credentials.forget(registry)
    return 0


def _registry(options: Options) -> str:
    given = options.arguments[0] if options.arguments else ""
    host = given.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return credentials.key_of(host)


def _warn() -> None:
    path = credentials.config_path()
    complain(f"\nWARNING! Your credentials are stored unencrypted in '{path}'.")
    complain("Configure a credential helper to remove this warning. See")
    complain("https://docs.docker.com/go/credential-store/\n")


def _all_of_stdin() -> str:
    content = b""
    while piece := os.read(0, 65536):
        content += piece
    return content.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")


def _ask(question: str, *, secret: bool = False) -> str:
    put(1, question.encode())
    if not secret:
        return _typed()
    before = termios.tcgetattr(0)
    mode = termios.tcgetattr(0)
    mode[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSAFLUSH, mode)
    try:
        return _typed()
    finally:
        termios.tcsetattr(0, termios.TCSANOW, before)
        put(1, b"\n")


def _typed() -> str:
    return os.read(0, 4096).decode("utf-8", "replace").strip()


LOGIN = Command(
    login,
    "[OPTIONS] [SERVER]",
    "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    (
        Flag("password", STRING, "Password or Personal Access Token (PAT)", "p"),
        Flag("password-stdin", BOOL, "Take the Password or Personal Access Token (PAT) from stdin"),
        Flag("username", STRING, "Username", "u"),
    ),
    most=1,
)
LOGOUT = Command(logout, "[SERVER]", "Log out from a registry.\nIf no server is specified, that is Docker Hub.", most=1)
