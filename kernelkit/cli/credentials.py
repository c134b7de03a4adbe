"""User names and passwords for registries, where Docker's own client keeps them: `config.json` and its helpers."""

from __future__ import annotations

import binascii
import os

from kernelkit.cli import jsontext
from kernelkit.cli.output import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HUB_KEY = "https://index.docker.io/v1/"


def config_path() -> str:
    """The file `config.json` of Docker's client: in `DOCKER_CONFIG`, or in ~/.docker."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    return os.path.join(folder, "config.json")


def read_config() -> dict[str, Any]:
    """What the file holds; empty when there is none. Raises Failure when it is not JSON."""
    try:
        with open(config_path(), encoding="utf-8") as file:
            content: dict[str, Any] = jsontext.decode(file.read() or "{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read '{config_path()}': {error}") from None
    return content


def key_of(registry: str) -> str:
    """The name under which a registry's credentials are kept."""
    return HUB_KEY if registry in ("", "docker.io", "index.docker.io", "registry-1.docker.io") else registry


def registry_auth(registry: str) -> dict[str, str]:
    """The header that carries a registry's credentials to the engine; empty when there are none."""
    credentials = find(registry)
    if not credentials:
        return {}
    return {"X-Registry-Auth": encode_auth(credentials)}


def encode_auth(credentials: dict[str, str]) -> str:
    """Credentials as the header holds them: JSON in URL-safe base64 (RFC 4648, section 5)."""
    text = binascii.b2a_base64(jsontext.encode(credentials).encode(), newline=False).decode()
    return text.replace("+", "-").replace("/", "_")


def find(registry: str) -> dict[str, str]:
    """A registry's credentials as the API wants them; empty when there are none."""
    config, key = read_config(), key_of(registry)
    if helper := _helper(config, key):
        return _ask_helper(helper, key)
    entry = (config.get("auths") or {}).get(key) or {}
    if not entry.get("auth"):
        return {}
    try:
        user, _, password = binascii.a2b_base64(entry["auth"]).decode().partition(":")
    except ValueError:
        raise Failure(f"the credentials of '{key}' in '{config_path()}' are not base64") from None
    if entry.get("identitytoken"):
        return {"username": user, "identitytoken": entry["identitytoken"], "serveraddress": key}
    return {"username": user, "password": password.rstrip("\0"), "serveraddress": key}


def store(registry: str, user: str, password: str, token: str = "") -> bool:
    """Keep a registry's credentials; True when a helper keeps them, False when the file does, for its owner to read.

    A registry that gave a `token` wants that in the place of the password from now on.
    """
    config, key = read_config(), key_of(registry)
    if helper := _helper(config, key):
        entry = {"ServerURL": key, "Username": "<token>" if token else user, "Secret": token or password}
        _tell_helper(helper, "store", jsontext.encode(entry))
        return True
    auth = binascii.b2a_base64(f"{user}:{'' if token else password}".encode(), newline=False).decode()
    config.setdefault("auths", {})[key] = {"auth": auth, **({"identitytoken": token} if token else {})}
    _write(config)
    return False


def forget(registry: str) -> bool:
    """Drop a registry's credentials; False when there were none."""
    config, key = read_config(), key_of(registry)
    if helper := _helper(config, key):
        _tell_helper(helper, "erase", key)
    if key not in (config.get("auths") or {}):
        return False
    del config["auths"][key]
    _write(config)
    return True


def _helper(config: dict[str, Any], key: str) -> str:
    """The name of the helper that keeps a registry's credentials; empty when the file does."""
    return str((config.get("credHelpers") or {}).get(key) or config.get("credsStore") or "")


def _write(config: dict[str, Any]) -> None:
    path = config_path()
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    # Written beside it and renamed: whoever reads meanwhile sees the old file or the new one, whole.
    beside = f"{path}.{os.getpid()}"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(jsontext.indent(jsontext.encode(config), "\t") + "\n")
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _ask_helper(helper: str, key: str) -> dict[str, str]:
    """Ask docker-credential-HELPER (its protocol: the key on stdin, JSON on stdout)."""
    import subprocess  # for those who have a helper

    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"], input=key.encode(), capture_output=True, check=False
        )
    except FileNotFoundError:
        return {}
    if done.returncode:
        return {}
    said = jsontext.decode(done.stdout)
    if said.get("Username") == "<token>":
        return {"identitytoken": said.get("Secret", ""), "serveraddress": key}
    return {"username": said.get("Username", ""), "password": said.get("Secret", ""), "serveraddress": key}


def _tell_helper(helper: str, verb: str, text: str) -> None:
    """Have docker-credential-HELPER store or erase. Raises Failure with what it says."""
    import subprocess  # for those who have a helper

    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", verb], input=text.encode(), capture_output=True, check=False
        )
    except FileNotFoundError:
        raise Failure(f"'{config_path()}' names a helper that is not there: docker-credential-{helper}") from None
    if done.returncode:
        said = (done.stdout or done.stderr).decode("utf-8", "replace").strip()
        raise Failure(f"docker-credential-{helper} cannot {verb} the credentials: {said}")
