"""Whom `--user` and `--group-add` mean in an image."""

from __future__ import annotations

import pytest

from kernelkit.container.spec import User
from kernelkit.container.user import find
from kernelkit.errors import InvalidRequest

PASSWD = "root:x:0:0:root:/root:/bin/sh\n# a remark\nwww-data:x:33:33:www:/var/www:/bin/false\nbroken:x:y:z\n"
GROUP = "root:x:0:\ndaemon:x:1:\nwheel:x:10:root\naudio:x:29:www-data,root\nwww-data:x:33:\n"


@pytest.mark.parametrize(
    ("wanted", "extra", "expected"),
    [
        ("", [], User(0, 0, (0, 10, 29), "/root")),
        ("root", [], User(0, 0, (0, 10, 29), "/root")),
        ("www-data", [], User(33, 33, (33, 29), "/var/www")),
        ("33", ["77"], User(33, 33, (33, 29, 77), "/var/www")),
        ("www-data:daemon", ["77"], User(33, 1, (1, 77), "/var/www")),
        ("1234", [], User(1234, 0, (0,), "/")),
        ("2147483647", [], User(2147483647, 0, (0,), "/")),
        ("1234:5678", ["audio"], User(1234, 5678, (5678, 29), "/")),
    ],
)
def test_names_and_numbers_are_looked_up_as_docker_does(wanted: str, extra: list[str], expected: User) -> None:
    assert find(wanted, PASSWD, GROUP, extra) == expected


def test_an_image_without_users_has_root_all_the_same() -> None:
    assert find("", "", "") == User(0, 0, (0,), "/")


@pytest.mark.parametrize(
    ("wanted", "extra", "said"),
    [
        ("nosuch", [], "unable to find user nosuch: no matching entries in passwd file"),
        ("broken", [], "unable to find user broken: no matching entries in passwd file"),
        ("root:nosuch", [], "unable to find group nosuch: no matching entries in group file"),
        ("root", ["nosuch"], "unable to find group nosuch: no matching entries in group file"),
        ("-1", [], "uids and gids must be in range 0-2147483647"),
        ("2147483648", [], "uids and gids must be in range 0-2147483647"),
        ("99999999999", [], "uids and gids must be in range 0-2147483647"),
        ("root:4294967295", [], "uids and gids must be in range 0-2147483647"),
        ("root", ["99999999999"], "uids and gids must be in range 0-2147483647"),
    ],
)
def test_a_name_that_is_not_there_is_said_in_docker_s_words(wanted: str, extra: list[str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        find(wanted, PASSWD, GROUP, extra)
