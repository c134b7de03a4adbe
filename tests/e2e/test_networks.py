"""Networks, published ports and names with the stock client, asserted on its output and on the kernel's state."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Kernelkit
from tests.patience import PATIENCE, wait_until

SERVE = "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp"


@pytest.fixture
def clean(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    """The shared engine, without containers, cables and networks of other tests before and after."""
    # The kernel takes a namespace's links when it gets round to it.
    wait_until(lambda: not any(link.startswith("veth") for link in links(shared_kk)))
    yield shared_kk
    shared_kk.empty()
    shared_kk.docker("network", "prune", "-f")


def host(kk: Kernelkit, *command: str) -> str:
    """What a command in the practice host prints."""
    return kk("shell", *command).stdout


def links(kk: Kernelkit) -> list[str]:
    return sorted(link["ifname"] for link in json.loads(host(kk, "ip", "-j", "link")))


def elements(kk: Kernelkit, name: str) -> list[Any]:
    """What a set or map of the practice host's table holds."""
    printed = host(kk, "nft", "-j", "list", "table", "ip", "kernelkit")
    found = [e.get("set") or e.get("map") for e in json.loads(printed)["nftables"]]
    return [element for each in found if each and each["name"] == name for element in each.get("elem", [])]


def fetch(url: str) -> str:
    """What is served there; a server that is just starting is given a moment."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def inspect(kk: Kernelkit, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kk.docker("inspect", name).stdout)[0]["NetworkSettings"]
    return found


def test_the_predefined_networks_are_there(clean: Kernelkit) -> None:
    listed = clean.docker("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").stdout.split("\n")
    assert sorted(filter(None, listed)) == ["bridge bridge local", "host host local", "none null local"]
    assert '"Subnet": "172.17.0.0/16"' in clean.docker("network", "inspect", "bridge").stdout
    bridge = json.loads(host(clean, "ip", "-j", "address", "show", "kk0"))[0]
    assert [(a["local"], a["prefixlen"]) for a in bridge["addr_info"] if a["family"] == "inet"] == [("172.17.0.1", 16)]


def test_a_published_port_is_reached_and_gone_with_its_container(clean: Kernelkit) -> None:
    port = 18201
    before = links(clean), elements(clean, "tcp_ports")
    clean.docker("run", "-d", "--name", "web", "-p", f"{port}:80", "busybox", "sh", "-c", SERVE)
    assert fetch(f"http://localhost:{port}") == "hello\n"
    said = clean.docker("port", "web").stdout.replace(" :::", " [::]:")  # as older clients have it
    assert said == f"80/tcp -> 0.0.0.0:{port}\n80/tcp -> [::]:{port}\n"
    settings = inspect(clean, "web")
    assert settings["Ports"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(port)}, {"HostIp": "::", "HostPort": str(port)}]
    }
    assert (settings["IPAddress"], settings["Gateway"], settings["IPPrefixLen"]) == ("172.17.0.2", "172.17.0.1", 16)
    assert settings["MacAddress"] == "02:42:ac:11:00:02"
    assert elements(clean, "tcp_ports") == [[port, {"concat": ["172.17.0.2", 80]}]]
    clean.docker("rm", "-f", "web")
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://localhost:{port}", timeout=1)
    with socket.socket() as mine:
        mine.bind(("0.0.0.0", port))  # nobody holds it any more
    wait_until(lambda: (links(clean), elements(clean, "tcp_ports")) == before)


def test_published_on_loopback_it_is_there_only(clean: Kernelkit) -> None:
    port = 18202
    clean.docker("run", "-d", "-p", f"127.0.0.1:{port}:80", "busybox", "sh", "-c", SERVE)
    assert fetch(f"http://127.0.0.1:{port}") == "hello\n"
    # All of 127.0.0.0/8 is this machine; it may have no other address.
    with pytest.raises(OSError), contextlib.closing(socket.create_connection(("127.0.0.2", port), timeout=1)):
        pass


ECHO = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
    ear.bind(("0.0.0.0", 53))
    print("ready", flush=True)
    for _ in range(3):
        word, who = ear.recvfrom(100)
        ear.sendto(word.upper(), who)
"""


def test_udp_is_published_too(clean: Kernelkit) -> None:
    port = 18203
    clean.docker("run", "-d", "--name", "ear", "-p", f"{port}:53/udp", "busybox", "sleep", "1000")
    pid = clean.docker("inspect", "-f", "{{.State.Pid}}", "ear").stdout.strip()
    # busybox's nc has no UDP: the host's python listens, in the container's network namespace.
    enter = [
        str(Path(sys.executable).with_name("kernelkit")),
        "shell",
        "nsenter",
        "-t",
        pid,
        "-n",
        sys.executable,
        "-c",
        ECHO,
    ]
    with clean.start(enter) as server:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                asking.settimeout(PATIENCE)
                asking.sendto(b"word", (address, port))
                assert asking.recv(100) == b"WORD"


def test_ports_of_ones_own_choice_are_different_ones(clean: Kernelkit) -> None:
    clean.docker("run", "-d", "--name", "many", "-P", "--expose", "80-82", "busybox", "sleep", "1000")
    ports = inspect(clean, "many")["Ports"]
    assert sorted(ports) == ["80/tcp", "81/tcp", "82/tcp"]
    numbers = [int(entries[0]["HostPort"]) for entries in ports.values()]
    assert len(set(numbers)) == 3
    assert min(numbers) >= 1024


def test_a_taken_port_is_said_in_dockers_words_and_nothing_stays(clean: Kernelkit) -> None:
    port = 18204
    clean.docker("run", "-d", "--name", "first", "-p", f"{port}:80", "busybox", "sleep", "1000")
    second = clean.docker("run", "-d", "--name", "second", "-p", f"{port}:80", "busybox", "true", check=False)
    assert second.returncode == 125
    assert "driver failed programming external connectivity on endpoint second" in second.stderr
    assert f"Bind for 0.0.0.0:{port} failed: port is already allocated" in second.stderr
    assert inspect(clean, "second")["IPAddress"] == ""
    with socket.socket() as mine:
        taken = 18299
        mine.bind(("0.0.0.0", taken))
        mine.listen()
        third = clean.docker("run", "--rm", "-p", f"{taken}:80", "busybox", "true", check=False)
    assert third.returncode == 125
    assert f"listen tcp4 0.0.0.0:{taken}: bind: address already in use" in third.stderr
    assert clean.docker("run", "--rm", "-p", f"{taken}:80", "busybox", "echo", "now").stdout == "now\n"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("none", ["lo"]), ("bridge", ["eth0", "lo"])],
)
def test_what_links_a_container_has(clean: Kernelkit, mode: str, expected: list[str]) -> None:
    shown = clean.docker("run", "--rm", "--network", mode, "busybox", "ls", "/sys/class/net").stdout
    assert sorted(shown.split()) == expected


def test_in_the_hosts_network_there_is_the_bridge(clean: Kernelkit) -> None:
    assert "kk0" in clean.docker("run", "--rm", "--network", "host", "busybox", "ip", "link").stdout


def test_a_containers_network_can_be_shared(clean: Kernelkit) -> None:
    clean.docker("run", "-d", "--name", "web", "busybox", "sh", "-c", SERVE)
    shared = ("run", "--rm", "--network", "container:web", "busybox")
    assert clean.docker(*shared, "hostname", "-i").stdout.strip() == "172.17.0.2"
    patiently = ("sh", "-c", "until wget -qO- http://127.0.0.1; do sleep 0.1; done")
    assert clean.docker(*shared, *patiently).stdout == "hello\n"


def test_who_shares_a_network_loses_its_cable_with_the_owner_and_can_still_be_entered(clean: Kernelkit) -> None:
    owner = clean.docker("run", "-d", "--name", "owner", "-h", "web1", "busybox", "sleep", "1000").stdout.strip()
    clean.docker("run", "-d", "--name", "guest", "--network", "container:owner", "busybox", "sleep", "1000")
    mode = clean.docker("inspect", "-f", "{{.HostConfig.NetworkMode}} {{.Config.Hostname}}", "guest").stdout
    assert mode.split() == [f"container:{owner}", "web1"]
    cables = [link for link in links(clean) if link.startswith("veth")]
    clean.docker("rm", "-f", "owner")
    assert len(cables) == 1
    assert cables[0] not in links(clean)
    clean.docker("run", "-d", "--name", "next", "busybox", "sleep", "1000")
    assert inspect(clean, "next")["IPAddress"] == "172.17.0.2"  # nobody else speaks under it
    seen = clean.docker("exec", "guest", "sh", "-c", "ls /sys/class/net; echo $HOSTNAME").stdout
    assert seen.split() == ["lo", "web1"]


def test_a_network_is_a_bridge_of_its_own_and_goes_without_a_trace(clean: Kernelkit) -> None:
    before = links(clean), elements(clean, "bridges"), elements(clean, "subnets")
    made = clean.docker("network", "create", "--subnet", "10.77.0.0/24", "--label", "for=test", "mine").stdout.strip()
    assert f"br-{made[:12]}" in links(clean)
    assert f"br-{made[:12]}" in elements(clean, "bridges")
    shown = json.loads(clean.docker("network", "inspect", "mine").stdout)[0]
    assert shown["IPAM"]["Config"] == [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"}]
    assert shown["Labels"] == {"for": "test"}
    assert clean.docker("network", "ls", "-q", "--filter", "label=for=test").stdout.strip() == made[:12]
    address = clean.docker("run", "--rm", "--network", "mine", "--ip", "10.77.0.99", "busybox", "hostname", "-i").stdout
    assert address.split() == ["10.77.0.99"]
    clean.docker("network", "rm", "mine")
    wait_until(lambda: (links(clean), elements(clean, "bridges"), elements(clean, "subnets")) == before)


def test_names_and_aliases_are_found_in_a_network_and_nowhere_else(clean: Kernelkit) -> None:
    clean.docker("network", "create", "one")
    clean.docker("network", "create", "two")
    clean.docker("run", "-d", "--name", "web", "--network", "one", "--network-alias", "www", "busybox", "sleep", "1000")
    address = inspect(clean, "web")["Networks"]["one"]["IPAddress"]
    for name in ("web", "www", "WEB", "web.one"):
        asked = clean.docker("run", "--rm", "--network", "one", "busybox", "nslookup", "-type=a", name).stdout
        assert f"Address: {address}" in asked, name
    for network in ("two", "bridge"):
        asked = clean.docker("run", "--rm", "--network", network, "busybox", "nslookup", "web", check=False).stdout
        assert address not in asked
    backwards = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    asked = clean.docker("run", "--rm", "--network", "one", "busybox", "nslookup", "-type=ptr", backwards).stdout
    assert "name = web.one" in asked


def test_a_link_is_a_name_that_one_container_alone_knows(clean: Kernelkit) -> None:
    clean.docker("network", "create", "one")
    clean.docker("run", "-d", "--name", "web", "--network", "one", "busybox", "sleep", "1000")
    address = inspect(clean, "web")["Networks"]["one"]["IPAddress"]
    ask = ("busybox", "nslookup", "-type=a", "shop")
    linked = clean.docker("run", "--rm", "--network", "one", "--link", "web:shop", *ask)
    assert f"Address: {address}" in linked.stdout
    assert address not in clean.docker("run", "--rm", "--network", "one", *ask, check=False).stdout
    clean.docker("run", "-d", "--name", "late", "busybox", "sleep", "1000")
    clean.docker("network", "connect", "--link", "web:shop", "one", "late")
    assert "shop (" in clean.docker("exec", "late", "ping", "-c", "1", "shop").stdout
    refused = clean.docker("run", "--rm", "--link", "web:shop", *ask, check=False)
    assert "Cannot link to /web, as it does not belong to the default network" in refused.stderr


def test_a_running_container_is_plugged_in_and_out(clean: Kernelkit) -> None:
    port = 18205
    clean.docker("network", "create", "more")
    clean.docker("run", "-d", "--name", "web", "-p", f"{port}:80", "busybox", "sh", "-c", SERVE)
    clean.docker("network", "connect", "--alias", "www", "more", "web")
    address = inspect(clean, "web")["Networks"]["more"]["IPAddress"]
    assert f"inet {address}/16" in clean.docker("exec", "web", "ip", "address", "show", "eth1").stdout
    assert address in clean.docker("exec", "web", "cat", "/etc/hosts").stdout
    asked = clean.docker("run", "--rm", "--network", "more", "busybox", "nslookup", "-type=a", "www").stdout
    assert f"Address: {address}" in asked
    assert fetch(f"http://localhost:{port}") == "hello\n"

    clean.docker("network", "disconnect", "bridge", "web")
    assert "default via" in clean.docker("exec", "web", "ip", "route").stdout
    assert "eth0" not in clean.docker("exec", "web", "ip", "link").stdout
    assert fetch(f"http://localhost:{port}") == "hello\n"  # by the network that is left

    refused = clean.docker("network", "rm", "more", check=False)
    assert refused.returncode == 1
    assert "has active endpoints" in refused.stderr
    clean.docker("network", "disconnect", "more", "web")
    assert inspect(clean, "web")["Networks"] == {}


def test_networks_are_kept_apart(clean: Kernelkit) -> None:
    clean.docker("network", "create", "apart")
    clean.docker("network", "create", "--internal", "inside")
    clean.docker("run", "-d", "--name", "web", "--network", "apart", "busybox", "sh", "-c", SERVE)
    address = inspect(clean, "web")["Networks"]["apart"]["IPAddress"]
    patiently = ("busybox", "sh", "-c", f"until wget -qO- http://{address}; do sleep 0.1; done")
    assert clean.docker("run", "--rm", "--network", "apart", *patiently).stdout == "hello\n"
    wget = ("busybox", "sh", "-c", f"timeout 1 wget -qO- http://{address} || exit 1")
    assert clean.docker("run", "--rm", *wget, check=False).returncode != 0
    assert clean.docker("run", "--rm", "--network", "inside", *wget, check=False).returncode != 0
    assert "default" not in clean.docker("run", "--rm", "--network", "inside", "busybox", "ip", "route").stdout


@pytest.mark.skipif(not Path("/proc/sys/net/ipv6").is_dir(), reason="this kernel has no IPv6")
def test_a_network_can_have_ipv6_too(clean: Kernelkit) -> None:
    clean.docker("network", "create", "--ipv6", "--subnet", "fd00:77::/64", "six")
    clean.docker("run", "-d", "--name", "web", "--network", "six", "--ip6", "fd00:77::99", "busybox", "sleep", "1000")
    settings = inspect(clean, "web")["Networks"]["six"]
    assert (settings["GlobalIPv6Address"], settings["GlobalIPv6PrefixLen"]) == ("fd00:77::99", 64)
    assert settings["IPAddress"].startswith("172.")
    in_it = ("run", "--rm", "--network", "six", "busybox")
    assert " 0% packet loss" in clean.docker(*in_it, "ping", "-c1", "-W2", "fd00:77::99").stdout
    assert "fd00:77::99" in clean.docker(*in_it, "nslookup", "-type=aaaa", "web").stdout
    elsewhere = clean.docker("run", "--rm", "busybox", "ip", "-6", "address").stdout
    assert elsewhere == ""  # as with Docker, the others do not speak it


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("network", "rm", "bridge"), 1, "bridge is a pre-defined network and cannot be removed"),
        (("network", "create", "bridge"), 1, "operation is not permitted on predefined bridge network"),
        (("network", "create", "--subnet", "172.17.9.0/24", "x1"), 1, "Pool overlaps with other one on this address"),
        (("network", "create", "-d", "overlay", "x2"), 1, "This node is not a swarm manager"),
        (("network", "create", "-o", "nonsense=1", "x3"), 1, "nonsense=1"),
        (("network", "inspect", "nosuch"), 1, "nosuch"),
        (("run", "--rm", "--network", "nosuch", "busybox", "true"), 125, "network nosuch not found"),
        (("run", "--rm", "--network", "container:nosuch", "busybox", "true"), 125, "No such container: nosuch"),
        (("run", "--rm", "-p", "99999:80", "busybox", "true"), 125, "99999"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_said(clean: Kernelkit, words: tuple[str, ...], code: int, said: str) -> None:
    refused = clean.docker(*words, check=False)
    assert (refused.returncode, said in refused.stderr) == (code, True), refused.stderr


def test_an_address_of_ones_own_is_for_networks_of_ones_own(clean: Kernelkit) -> None:
    refused = clean("run", "--rm", "--ip", "172.17.0.9", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "user specified IP address is supported on user defined networks only" in refused.stderr


def test_the_files_of_the_network_are_dockers(clean: Kernelkit) -> None:
    wishes = ("--hostname", "webhost", "--add-host", "db:10.1.2.3", "--add-host", "up:host-gateway", "--dns", "9.9.9.9")
    shown = clean.docker(
        "run", "--rm", *wishes, "busybox", "cat", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"
    ).stdout
    assert shown.splitlines() == [
        "webhost",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "ff00::0\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
        "10.1.2.3\tdb",
        "172.17.0.1\tup",
        "172.17.0.2\twebhost",
        "nameserver 9.9.9.9",
    ]


def test_after_an_engine_was_killed_everything_goes_on(clean: Kernelkit) -> None:
    port = 18206
    clean.docker("network", "create", "net")
    clean.docker("run", "-d", "--name", "web", "--network", "net", "-p", f"{port}:80", "busybox", "sh", "-c", SERVE)
    assert fetch(f"http://localhost:{port}") == "hello\n"
    engine = host(clean, "pgrep", "-f", "kernelkit.server.daemon").split()[0]
    host(clean, "kill", "-KILL", engine)
    assert fetch(f"http://localhost:{port}") == "hello\n"
    wait_until(lambda: clean.docker("ps", check=False).returncode == 0)
    address = inspect(clean, "web")["Networks"]["net"]["IPAddress"]
    asked = clean.docker("exec", "web", "nslookup", "-type=a", "web").stdout
    assert f"Address: {address}" in asked
    taken = clean.docker("run", "--rm", "-p", f"{port}:80", "busybox", "true", check=False)
    assert "port is already allocated" in taken.stderr
    with pytest.raises(OSError), socket.socket() as mine:
        mine.bind(("0.0.0.0", port))
    clean.docker("rm", "-f", "web")
    assert elements(clean, "tcp_ports") == []


def test_after_the_host_was_off_its_networks_are_back(clean: Kernelkit) -> None:
    made = clean.docker("network", "create", "--subnet", "10.66.0.0/24", "kept").stdout.strip()
    clean.docker("create", "--name", "web", "--network", "kept", "busybox", "sleep", "1000")
    clean("down")
    clean("up")
    assert f"br-{made[:12]}" in links(clean)
    assert f"br-{made[:12]}" in elements(clean, "bridges")
    clean.docker("start", "web")
    assert inspect(clean, "web")["Networks"]["kept"]["IPAddress"] == "10.66.0.2"
    assert "default via 10.66.0.1" in clean.docker("exec", "web", "ip", "route").stdout
