"""Who a container's program runs as: `--user` looked up in the image's own /etc/passwd and /etc/group.

passwd(5) and group(5) name the fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kernelkit.container.spec import User
from kernelkit.errors import InvalidRequest

NUMBER = re.compile(r"[+-]?[0-9]+")
LARGEST = (1 << 31) - 1


def find(wanted: str, passwd: str, group: str, extra: Sequence[str] = ()) -> User:
    """The user that `name`, `uid`, `name:group` or `uid:gid` means; `extra` are the groups of `--group-add`.

    Raises InvalidRequest in Docker's words when a name is not there, or a number can be nobody's; nor need it be.
    """
    name, _, group_name = wanted.partition(":")
    name = name or "0"
    known = next(_users(passwd, name), None)
    if known:
        login, uid, gid, home = known
    elif NUMBER.fullmatch(name):
        login, uid, gid, home = "", int(name), 0, "/"
    else:
        raise InvalidRequest(f"unable to find user {name}: no matching entries in passwd file")
    groups = [] if group_name or not login else [number for number, members in _members(group) if login in members]
    if group_name:
        gid = _group(group_name, group)
    groups = [gid, *groups, *(_group(g, group) for g in extra)]
    if not all(0 <= number <= LARGEST for number in (uid, *groups)):
        raise InvalidRequest(f"uids and gids must be in range 0-{LARGEST}")
    return User(uid, gid, tuple(dict.fromkeys(groups)), home or "/")


def _users(passwd: str, wanted: str) -> Iterator[tuple[str, int, int, str]]:
    for fields in _rows(passwd, 7):
        if (fields[0] == wanted or fields[2] == wanted) and fields[2].isdigit() and fields[3].isdigit():
            yield fields[0], int(fields[2]), int(fields[3]), fields[5]


def _group(wanted: str, text: str) -> int:
    for fields in _rows(text, 3):
        if wanted in (fields[0], fields[2]) and fields[2].isdigit():
            return int(fields[2])
    if NUMBER.fullmatch(wanted):
        return int(wanted)
    raise InvalidRequest(f"unable to find group {wanted}: no matching entries in group file")


def _members(text: str) -> Iterator[tuple[int, list[str]]]:
    for fields in _rows(text, 4):
        if fields[2].isdigit():
            yield int(fields[2]), fields[3].split(",")


def _rows(text: str, least: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= least and not line.startswith("#"):
            yield fields
