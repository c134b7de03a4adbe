"""The texts of /etc/hosts and /etc/resolv.conf."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelkit.engine import etc
from kernelkit.errors import InvalidRequest

NO_WISHES: dict[str, list[str]] = {"Dns": [], "DnsSearch": [], "DnsOptions": []}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder whose `resolv.conf` is the host's, and `resolved` what systemd-resolved asks."""
    monkeypatch.setattr(etc, "RESOLV_CONF", str(tmp_path / "resolv.conf"))
    monkeypatch.setattr(etc, "RESOLVED", str(tmp_path / "resolved"))
    return tmp_path


def test_hosts_is_as_dockers() -> None:
    text = etc.hosts(["172.17.0.2"], "webhost", "", [], "172.17.0.1")
    assert text.splitlines() == [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "ff00::0\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
        "172.17.0.2\twebhost",
    ]


def test_a_domain_makes_the_long_name_and_the_short_one() -> None:
    for hostname, domain in (("web", "example.com"), ("web.example.com", "")):
        assert etc.hosts(["10.0.0.2"], hostname, domain, [], "").endswith("10.0.0.2\tweb.example.com web\n")


def test_extra_names_come_before_the_own_one() -> None:
    extra = ["db:10.0.0.9", "v6:fd00::9", "host:host-gateway", "eq=10.0.0.8", "br:[fd00::1]"]
    text = etc.hosts(["172.17.0.2"], "web", "", extra, "172.17.0.1")
    assert text.splitlines()[6:] == [
        "10.0.0.9\tdb",
        "fd00::9\tv6",
        "172.17.0.1\thost",
        "10.0.0.8\teq",
        "fd00::1\tbr",
        "172.17.0.2\tweb",
    ]


@pytest.mark.parametrize("entry", ["nothing", ":1.2.3.4", "db:", "db:1.2.3", "db=x"])
def test_a_malformed_extra_name_is_refused(entry: str) -> None:
    with pytest.raises(InvalidRequest, match="add-host"):
        etc.hosts([], "web", "", [entry], "")


def test_the_hosts_servers_are_taken_as_they_are(machine: Path) -> None:
    text = "# kept\nsearch a.b\nnameserver 10.255.255.53\n"
    (machine / "resolv.conf").write_text(text)
    assert etc.resolv_conf(NO_WISHES, embedded=False) == text


def test_servers_on_a_loopback_are_of_no_use_to_a_container(machine: Path) -> None:
    (machine / "resolv.conf").write_text("nameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch a.b\noptions edns0\n")
    found = etc.resolv_conf(NO_WISHES, embedded=False)
    assert found == "search a.b\nnameserver 9.9.9.9\noptions edns0\n"


def test_behind_systemd_resolved_are_servers_that_can_be_used(machine: Path) -> None:
    (machine / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    (machine / "resolved").write_text("nameserver 10.1.1.1\n")
    assert etc.resolv_conf(NO_WISHES, embedded=False) == "nameserver 10.1.1.1\n"


def test_without_any_server_dockers_are_asked(machine: Path) -> None:
    (machine / "resolv.conf").write_text("nameserver 127.0.0.1\nnameserver ::1\n")
    assert etc.resolv_conf(NO_WISHES, embedded=False) == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_in_the_hosts_network_its_loopback_is_good_too(machine: Path) -> None:
    (machine / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    assert etc.resolv_conf(NO_WISHES, embedded=False, verbatim=True) == "nameserver 127.0.0.53\n"


def test_what_was_asked_for_replaces_what_the_host_has(machine: Path) -> None:
    (machine / "resolv.conf").write_text("nameserver 10.1.1.1\nsearch host.example\noptions edns0\n")
    wishes = {"Dns": ["9.9.9.9"], "DnsSearch": ["x.y", "z"], "DnsOptions": ["ndots:2"]}
    assert etc.resolv_conf(wishes, embedded=False) == "search x.y z\nnameserver 9.9.9.9\noptions ndots:2\n"
    assert etc.resolv_conf({**NO_WISHES, "DnsSearch": ["."]}, embedded=False) == (
        "nameserver 10.1.1.1\noptions edns0\n"
    )


def test_in_a_user_defined_network_names_are_asked_for_there(machine: Path) -> None:
    (machine / "resolv.conf").write_text("nameserver 10.1.1.1\nsearch host.example\n")
    assert etc.resolv_conf(NO_WISHES, embedded=True) == (
        "search host.example\nnameserver 127.0.0.11\noptions ndots:0\n"
    )
    assert etc.upstream({"Dns": ["9.9.9.9"]}) == ["9.9.9.9"]
    assert etc.upstream({}) == ["10.1.1.1"]


def test_a_changed_hosts_keeps_what_is_not_the_engine_s() -> None:
    text = "127.0.0.1\tlocalhost\n\n# mine\n172.17.0.2\tme\n172.17.0.2 elsewhere\n172.17.0.2\tme too\n10.0.0.1\tx"

    assert etc.change_hosts(text, [], ["172.17.0.2"], "me") == f"{text}\n"
    assert etc.change_hosts(text, ["172.17.0.2"], ["172.18.0.2"], "me") == (
        "127.0.0.1\tlocalhost\n\n# mine\n172.17.0.2 elsewhere\n172.17.0.2\tme too\n10.0.0.1\tx\n172.18.0.2\tme\n"
    )
    assert etc.change_hosts("", [], ["172.17.0.2"], "me.home me") == "172.17.0.2\tme.home me\n"


def test_a_file_that_cannot_be_worked_on_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    assert etc.written(file) is None
    file.write_bytes(b"\xff\xfe")
    assert etc.written(file) is None
    file.write_bytes(bytes(etc.LARGEST + 1))
    assert etc.written(file) is None
    file.write_text("10.0.0.1\tx\n")
    assert etc.written(file) == "10.0.0.1\tx\n"
