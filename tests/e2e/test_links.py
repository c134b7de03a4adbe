"""`--link` on the default bridge: names in /etc/hosts, variables, what inspect and ps say, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import Kernelkit, client_version
from tests.patience import wait_until

HOSTS = ("practice", "real")


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    """The file's kernelkit; what a test has made goes at its end."""
    yield shared_kk
    for identity in shared_kk.docker("ps", "-aq").stdout.split():
        shared_kk.docker("rm", "-fv", identity)


def address(kk: Kernelkit, name: str) -> str:
    return kk.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name).stdout.strip()


def hosts(kk: Kernelkit, name: str) -> list[list[str]]:
    return [line.split() for line in kk.docker("exec", name, "cat", "/etc/hosts").stdout.splitlines()]


def test_a_link_is_a_name_that_answers(kk: Kernelkit) -> None:
    serve = "mkdir /www; echo hello > /www/index.html; httpd -f -p 8080 -h /www"
    options = ["--expose", "8080", "--expose", "9000/udp", "-e", "COLOUR=red"]
    kk.docker("run", "-d", "--name", "db1", *options, "busybox", "sh", "-c", serve)
    kk.docker("run", "-d", "--name", "web1", "--link", "db1:my-db", "busybox", "sleep", "1000")
    identity = kk.docker("inspect", "-f", "{{.Config.Hostname}}", "db1").stdout.strip()
    ip = address(kk, "db1")

    assert [ip, "my-db", identity, "db1"] in hosts(kk, "web1")
    wait_until(lambda: kk.docker("exec", "db1", "wget", "-qO-", "http://127.0.0.1:8080", check=False).stdout)
    for name in ("my-db", "db1", identity):
        assert kk.docker("exec", "web1", "wget", "-qO-", f"http://{name}:8080").stdout == "hello\n"
    variables = kk.docker("exec", "web1", "env").stdout.splitlines()
    assert {line for line in variables if line.startswith("MY_DB_")} == {
        f"MY_DB_PORT=tcp://{ip}:8080",
        f"MY_DB_PORT_8080_TCP=tcp://{ip}:8080",
        f"MY_DB_PORT_8080_TCP_ADDR={ip}",
        "MY_DB_PORT_8080_TCP_PORT=8080",
        "MY_DB_PORT_8080_TCP_PROTO=tcp",
        f"MY_DB_PORT_9000_UDP=udp://{ip}:9000",
        f"MY_DB_PORT_9000_UDP_ADDR={ip}",
        "MY_DB_PORT_9000_UDP_PORT=9000",
        "MY_DB_PORT_9000_UDP_PROTO=udp",
        "MY_DB_NAME=/web1/my-db",
        "MY_DB_ENV_COLOUR=red",
    }


def test_inspect_and_ps_tell_of_links(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "db1", "busybox", "sleep", "1000")
    kk.docker("run", "-d", "--name", "web1", "--link", "db1", "busybox", "sleep", "1000")

    assert json.loads(kk.docker("inspect", "-f", "{{json .HostConfig.Links}}", "web1").stdout) == ["/db1:/web1/db1"]
    assert "db1" in kk.docker("ps", "--format", "{{.Names}}").stdout.split()
    assert kk.docker("ps", "--no-trunc", "--filter", "name=db1", "--format", "{{.Names}}").stdout == "db1,web1/db1\n"
    kk.docker("rename", "db1", "store")
    assert json.loads(kk.docker("inspect", "-f", "{{json .HostConfig.Links}}", "web1").stdout) == ["/store:/web1/db1"]
    kk.docker("rm", "--link", "web1/db1")
    assert kk.docker("inspect", "-f", "{{json .HostConfig.Links}}", "web1").stdout == "null\n"
    assert kk.docker("ps", "--no-trunc", "--filter", "name=store", "--format", "{{.Names}}").stdout == "store\n"
    said = kk.docker("rm", "--link", "web1", check=False).stderr
    assert "Conflict, cannot remove the default link name of the container" in said


def test_who_gets_another_address_tells_those_who_are_linked_to_it(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "db1", "busybox", "sleep", "1000")
    kk.docker("run", "-d", "--name", "web1", "--link", "db1:db", "busybox", "sleep", "1000")
    kk.docker("exec", "web1", "sh", "-c", "echo 10.1.1.1 mine >> /etc/hosts")
    before = address(kk, "db1")
    kk.docker("kill", "db1")
    kk.docker("run", "-d", "--name", "other", "busybox", "sleep", "1000")  # has its address now
    kk.docker("start", "db1")

    after = address(kk, "db1")
    assert after != before
    told = hosts(kk, "web1")
    assert [line[0] for line in told if "db" in line] == [after]
    assert ["10.1.1.1", "mine"] in told


def test_what_cannot_be_linked_is_refused_in_dockers_words(kk: Kernelkit) -> None:
    kk.docker("create", "--name", "down", "busybox")
    kk.docker("run", "-d", "--name", "open", "--network", "host", "busybox", "sleep", "1000")

    def said(*words: str) -> str:
        ran = kk.docker("run", *words, "busybox", "true", check=False)
        assert ran.returncode == 125
        return ran.stderr

    assert "Cannot link to a non running container: /down AS /web1/d" in said("--name", "web1", "--link", "down:d")
    assert "could not get container for nosuch: No such container: nosuch" in said("--link", "nosuch")
    assert "conflicting options: host type networking can't be used with links" in said("--link", "open")
    if client_version() >= 28:  # earlier ones say it themselves
        assert "conflicting options: host type networking" in said("--network", "host", "--link", "down")


def test_a_link_ends_with_whom_it_leads_to(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "db1", "busybox", "sleep", "1000")
    kk.docker("create", "--name", "web1", "--link", "db1:store", "busybox", "grep", "-c", "store", "/etc/hosts")
    kk.docker("rm", "-f", "db1")
    assert kk.docker("start", "-a", "web1", check=False).stdout == "0\n"


def test_in_a_network_of_one_s_own_a_link_is_an_alias_for_one_container(kk: Kernelkit) -> None:
    kk.docker("network", "create", "mine")
    kk.docker("run", "-d", "--name", "db1", "--network", "mine", "busybox", "sleep", "1000")
    options = ["--network", "mine", "--link", "db1:store"]
    kk.docker("run", "-d", "--name", "web1", *options, "busybox", "sleep", "1000")
    kk.docker("run", "-d", "--name", "web2", "--network", "mine", "busybox", "sleep", "1000")

    assert kk.docker("exec", "web1", "ping", "-c1", "-w60", "store").returncode == 0
    assert kk.docker("exec", "web2", "ping", "-c1", "-w5", "store", check=False).returncode != 0
    shown = kk.docker("inspect", "-f", "{{json .NetworkSettings.Networks.mine.Links}}", "web1").stdout
    assert json.loads(shown) == ["db1:store"]
    kk.docker("rm", "-f", "db1", "web1", "web2")
    kk.docker("network", "rm", "mine")
