"""The names of images as the API wants them: `busybox` is `docker.io/library/busybox`, tag `latest`."""

from __future__ import annotations

HUB = "docker.io"
LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
LONGEST_NAME, LONGEST_TAG = 255, 128


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
    if _is_registry(first):
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


def check(name: str) -> None:
    """Whether this can be the name of an image; raises ValueError with what is wrong, in Docker's words.

    The grammar is that of the OCI distribution specification: `[host[:port]/]path[:tag][@digest]`.
    """
    rest, at, digest = name.partition("@")
    first, slash, _ = rest.partition("/")
    has_host = slash and _is_registry(first)
    path = rest[len(first) + 1 :] if has_host else rest
    head = path.partition(":")[0]
    if head.lower() != head:
        full = head if has_host or "/" in head else f"library/{head}"
        raise ValueError(f"invalid reference format: repository name ({full}) must be lowercase")
    head, slash, last = path.rpartition("/")
    last, colon, tag = last.partition(":")
    path = head + slash + last
    if not path or (at and not _is_digest(digest)) or (colon and not _is_tag(tag)):
        raise ValueError("invalid reference format")
    if has_host and not _is_host(first):
        raise ValueError("invalid reference format")
    if not all(_is_component(part) for part in path.split("/")):
        raise ValueError("invalid reference format")
    if len(path) > LONGEST_NAME:
        raise ValueError(f"repository name must not be more than {LONGEST_NAME} characters")


def _is_registry(first: str) -> bool:
    """Whether what stands before the first slash of a name is a registry: no path may have capitals."""
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _is_component(text: str) -> bool:
    """Lower-case letters and digits, with one dot, one or two underscores or any number of dashes between them."""
    run = ""
    for character in text:
        if character in LOWER:
            if run not in ("", ".", "_", "__") and run.strip("-"):
                return False
            run = ""
        else:
            run += character
    return bool(text) and text[0] in LOWER and not run


def _is_tag(text: str) -> bool:
    good = text.isascii() and text.replace("_", "a").replace(".", "a").replace("-", "a").isalnum()
    return good and len(text) <= LONGEST_TAG and text[0] not in ".-"


def _is_digest(text: str) -> bool:
    algorithm, _, digits = text.partition(":")
    return bool(algorithm) and len(digits) >= 32 and not set(digits) - set("0123456789abcdef")


def _is_host(text: str) -> bool:
    host, colon, port = text.partition(":") if not text.startswith("[") else (text, "", "")
    return bool(host) and (not colon or port.isdigit())


def platform_json(text: str) -> str:
    """`linux/arm64/v8` as the API wants it: one object of JSON."""
    parts = [*text.split("/"), "", ""]
    pairs = zip(("os", "architecture", "variant"), parts, strict=False)
    return "{" + ",".join(f'"{key}":"{part}"' for key, part in pairs if part) + "}"
