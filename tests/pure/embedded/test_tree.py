"""The layers that we write ourselves: what is in them, and that they never change."""

from __future__ import annotations

import io
import tarfile

from kernelkit.embedded import tree

APPLETS = ["sh", "busybox", "ls", "[", "cat"]


def entries(layer: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return {entry.name: entry for entry in tar}


def test_every_applet_is_a_hard_link_to_the_one_program_and_comes_after_it() -> None:
    found = entries(tree.busybox(b"program", APPLETS, 1000))
    names = list(found)
    for applet in ("sh", "ls", "[", "cat"):
        assert found[f"bin/{applet}"].islnk()
        assert found[f"bin/{applet}"].linkname == "bin/busybox"
        assert names.index(f"bin/{applet}") > names.index("bin/busybox")
    assert found["bin/busybox"].isreg()
    assert found["bin/busybox"].mode == 0o755


def test_it_has_the_folders_of_a_unix() -> None:
    found = entries(tree.busybox(b"program", APPLETS, 1000))
    assert found["tmp"].mode == 0o1777
    assert found["root"].mode == 0o700
    assert {"etc", "home", "var/spool/mail", "usr/sbin", "proc", "sys", "dev"} <= set(found)
    assert found["usr/bin/env"].linkname == "../../bin/env"


def test_every_account_has_a_group_a_folder_and_no_password() -> None:
    found = entries(tree.busybox(b"program", APPLETS, 1000))
    accounts = [line.split(":") for line in tree.PASSWD.splitlines()]
    groups = {line.split(":")[2] for line in tree.GROUP.splitlines()}
    assert accounts[0] == ["root", "x", "0", "0", "root", "/root", "/bin/sh"]
    for name, _, _, group, _, home, _ in accounts:
        assert group in groups
        assert home.lstrip("/") in found
        assert f"{name}:*:" in tree.SHADOW


def test_everything_belongs_to_root_but_home_which_is_nobody_s() -> None:
    found = entries(tree.busybox(b"program", APPLETS, 1000))
    assert {name: entry.uid for name, entry in found.items() if entry.uid} == {"home": 65534}
    assert {entry.mtime for entry in found.values()} == {1000}


def test_the_order_of_the_applets_does_not_change_the_layer() -> None:
    assert tree.busybox(b"p", APPLETS, 5) == tree.busybox(b"p", [*reversed(APPLETS), "ls"], 5)


def test_a_program_s_layer_holds_it_and_its_folder_as_the_layer_below_has_it() -> None:
    found = entries(tree.one_program("bin/bash", b"program", 1000))
    below = entries(tree.busybox(b"program", APPLETS, 1000))
    assert list(found) == ["bin", "bin/bash"]
    assert found["bin"].mode == below["bin"].mode
    assert found["bin/bash"].mode == 0o755
