"""The three files that a container gets for its network: /etc/hosts, /etc/hostname, /etc/resolv.conf, as Docker's."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.errors import InvalidRequest

HOSTS = """\
127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
fe00::0	ip6-localnet
ff00::0	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
"""
LARGEST = 1 << 20  # bytes of a file that is read and written again
RESOLV_CONF = "/etc/resolv.conf"
# Where systemd-resolved writes the servers that it asks itself; what it gives programs is its own loopback address.
RESOLVED = "/run/systemd/resolve/resolv.conf"
FALLBACK = ("8.8.8.8", "8.8.4.4")
EMBEDDED = "127.0.0.11"  # where a user-defined network's names are asked for


def hosts(addresses: Sequence[str], hostname: str, domain: str, extra: Sequence[str], gateway: str) -> str:
    """/etc/hosts: what every machine has, the `extra` names, its own name for each of its addresses.

    `gateway` is what `host-gateway` in an extra name stands for. InvalidRequest for a malformed extra name.
    """
    own = own_names(hostname, domain)
    lines = [f"{address}\t{name}\n" for name, address in (_extra(entry, gateway) for entry in extra)]
    return HOSTS + "".join([*lines, *(f"{address}\t{own}\n" for address in addresses)])


def own_names(hostname: str, domain: str) -> str:
    """What an address of one's own is called: with a domain, wherever that was said, by the bare name as well."""
    whole = f"{hostname}.{domain}" if domain else hostname
    bare, dot, _ = whole.partition(".")
    return f"{whole} {bare}" if dot else whole


def hosts_of_the_host(extra: Sequence[str], gateway: str) -> str:
    """/etc/hosts for a container in the host's network: the host's own, and the `extra` names."""
    text = _read("/etc/hosts")
    return text + "".join(f"{address}\t{name}\n" for name, address in (_extra(entry, gateway) for entry in extra))


def resolv_conf(host: Mapping[str, Any], *, embedded: bool, verbatim: bool = False) -> str:
    """/etc/resolv.conf: the host's as far as a container can use it, changed by `--dns` and the like.

    With `embedded` its names are asked for in its network first, see `upstream` for what comes after; with `verbatim`,
    in the host's network, loopback servers are good for it too.
    """
    text, known = _host_servers(verbatim=verbatim)
    asked = [host.get(key) or [] for key in ("Dns", "DnsSearch", "DnsOptions")]
    if not any(asked) and not embedded and (verbatim or known == _servers(text)):
        return text
    servers, search, options = asked
    servers = [EMBEDDED] if embedded else servers or known or list(FALLBACK)
    search = search or _words(text, "search")
    options = options or _words(text, "options")
    if embedded and not any(option.startswith("ndots:") for option in options):
        options = [*options, "ndots:0"]
    found = [f"search {' '.join(search)}\n"] if search and search != ["."] else []
    found += [f"nameserver {server}\n" for server in servers]
    found += [f"options {' '.join(options)}\n"] if options else []
    return "".join(found)


def upstream(host: Mapping[str, Any]) -> list[str]:
    """The servers to ask for names that are not of a container's networks."""
    return host.get("Dns") or _host_servers(verbatim=False)[1] or list(FALLBACK)


def usable(text: str) -> list[str]:
    """A resolv.conf's servers without those on a loopback, which would be the container's own."""
    found = []
    for server in _servers(text):
        with contextlib.suppress(ValueError):
            if not ipaddress.ip_address(server.partition("%")[0]).is_loopback:
                found.append(server)
    return found


def written(path: str | os.PathLike[str]) -> str | None:
    """The text of such a file, to which a container may have done anything; None when it cannot be worked on."""
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST + 1)
        return text.decode() if len(text) <= LARGEST else None
    except (OSError, UnicodeDecodeError):
        return None


def digest(text: str) -> str:
    """What tells whether a file is still as it was written."""
    return hashlib.sha256(text.encode()).hexdigest()


def change_hosts(text: str, gone: Sequence[str], present: Sequence[str], names: str) -> str:
    """An /etc/hosts whose owner has other addresses now, called `names`: nobody else's line is touched."""
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if line.rstrip("\n") not in [f"{address}\t{names}" for address in gone]]
    known = {line.rstrip("\n") for line in kept}
    if kept and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    return "".join([*kept, *(f"{address}\t{names}\n" for address in present if f"{address}\t{names}" not in known)])


def _host_servers(*, verbatim: bool) -> tuple[str, list[str]]:
    """The host's resolv.conf, and those of its servers that can be used."""
    text = _read(RESOLV_CONF)
    found = _servers(text) if verbatim else usable(text)
    if found or verbatim:
        return text, found
    behind = _read(RESOLVED)
    return (behind, usable(behind)) if behind else (text, [])


def _servers(text: str) -> list[str]:
    return [words[1] for words in map(str.split, text.splitlines()) if len(words) > 1 and words[0] == "nameserver"]


def _words(text: str, key: str) -> list[str]:
    """What follows the last line's key: resolv.conf(5) says that it counts."""
    found: list[str] = []
    for words in map(str.split, text.splitlines()):
        if words and words[0] == key:
            found = words[1:]
    return found


def _extra(entry: str, gateway: str) -> tuple[str, str]:
    """`--add-host`'s name and address: NAME:ADDRESS or NAME=ADDRESS, the address also in brackets."""
    name, sign, address = entry.partition("=") if "=" in entry else entry.partition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not name or not sign:
        raise InvalidRequest(f'bad format for add-host: "{entry}"')
    if address == "host-gateway":
        return name, gateway
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise InvalidRequest(f'invalid IP address in add-host: "{address}"') from None
    return name, address


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
