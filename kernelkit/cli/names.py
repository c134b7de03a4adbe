"""The names of images as the API wants them: `busybox` is `docker.io/library/busybox`, tag `latest`."""

from __future__ import annotations

HUB = "docker.io"


def split(name: str) -> tuple[str, str]:
    """(repository in full, tag or digest) of an image's name; the second is empty when the name has none."""
    repository, _, digest = name.partition("@")
    head, slash, last = repository.rpartition("/")
    last, _, tag = last.partition(":")
    return in_full(head + slash + last), digest or tag


def in_full(repository: str) -> str:
    """A repository with the registry that holds it."""
    first, slash, rest = repository.partition("/")
    if not slash:
        return f"{HUB}/library/{repository}"
    if "." in first or ":" in first or first == "localhost":
        host = HUB if first == "index.docker.io" else first
        return f"{host}/library/{rest}" if host == HUB and "/" not in rest else f"{host}/{rest}"
    return f"{HUB}/{repository}"


def familiar(name: str) -> str:
    """The short form: `docker.io/library/busybox:1` is `busybox:1`."""
    rest = name.removeprefix(f"{HUB}/")
    return rest.removeprefix("library/") if rest != name else name


def with_tag(name: str) -> str:
    """The familiar name, `:latest` added when it has neither tag nor digest."""
    repository, tag = split(name)
    if not tag:
        return f"{familiar(repository)}:latest"
    return familiar(repository) + ("@" if ":" in tag else ":") + tag


def registry_of(name: str) -> str:
    """The registry that an image's name leads to."""
    return split(name)[0].partition("/")[0]
