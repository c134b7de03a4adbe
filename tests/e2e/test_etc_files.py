"""/etc/hosts and /etc/resolv.conf of a container that changes its networks: what somebody has written there stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Kernelkit

HOSTS = ("practice", "real")


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    """The file's kernelkit, with a network and a container in the default one."""
    shared_kk.docker("network", "create", "mine")
    shared_kk.docker("run", "-d", "--name", "web", "-h", "web-host", "busybox", "sleep", "1000")
    yield shared_kk
    shared_kk.docker("rm", "-f", "web")
    shared_kk.docker("network", "rm", "mine")


def text(kk: Kernelkit, path: str) -> str:
    return kk.docker("exec", "web", "cat", path).stdout


def address(kk: Kernelkit, network: str) -> str:
    form = f"{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}"
    return kk.docker("inspect", "-f", form, "web").stdout.strip()


def test_a_container_gets_names_with_its_first_network_of_its_own(kk: Kernelkit) -> None:
    before = text(kk, "/etc/hosts")
    assert "127.0.0.11" not in text(kk, "/etc/resolv.conf")
    kk.docker("network", "connect", "mine", "web")

    assert text(kk, "/etc/hosts") == f"{before}{address(kk, 'mine')}\tweb-host\n"
    assert "nameserver 127.0.0.11\n" in text(kk, "/etc/resolv.conf")
    kk.docker("network", "disconnect", "mine", "web")
    assert text(kk, "/etc/hosts") == before


def test_what_somebody_has_written_stays(kk: Kernelkit) -> None:
    mine = "# my own\n10.1.1.1 friend\n"
    kk.docker("exec", "web", "sh", "-c", f"printf '{mine}' >> /etc/hosts; echo nameserver 10.9.9.9 > /etc/resolv.conf")
    before = text(kk, "/etc/hosts")
    kk.docker("network", "connect", "mine", "web")
    theirs = address(kk, "mine")
    kk.docker("exec", "web", "sh", "-c", f"echo {theirs} other-name >> /etc/hosts")

    assert text(kk, "/etc/hosts") == f"{before}{theirs}\tweb-host\n{theirs} other-name\n"
    assert text(kk, "/etc/resolv.conf") == "nameserver 10.9.9.9\n"
    kk.docker("network", "disconnect", "mine", "web")
    assert text(kk, "/etc/hosts") == f"{before}{theirs} other-name\n"
    kk.docker("network", "disconnect", "bridge", "web")
    assert f"{mine}{theirs} other-name\n" in text(kk, "/etc/hosts")
    assert text(kk, "/etc/resolv.conf") == "nameserver 10.9.9.9\n"
