"""Addresses and ports held for a container in a real book, and noted as Docker's NetworkSettings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kernelkit.container.nat import Publication
from kernelkit.container.network import Endpoint
from kernelkit.container.spec import Facts, User
from kernelkit.engine import endpoints
from kernelkit.engine.create import endpoint as settings
from kernelkit.engine.events import Events
from kernelkit.engine.model import Container, Network
from kernelkit.engine.state import Book
from kernelkit.errors import Conflict, InvalidRequest, KernelkitError, NotFound

FACTS = Facts(id="", hostname="web", root="", user=User(), capabilities=(), cgroup_path="")


class Machine:
    """An uplink: somebody else has the ports in `taken`."""

    def __init__(self) -> None:
        self.ipv6 = False
        self.taken: set[int] = set()
        self.held: set[tuple[str, str, int]] = set()

    def take(self, ports: Any) -> None:
        """All or none."""
        for port in ports:
            if port[2] in self.taken or port in self.held:
                raise Conflict(f"listen tcp4 {port[1]}:{port[2]}: bind: address already in use")
        self.held |= set(ports)

    def free(self, ports: Any) -> None:
        """Give back."""
        self.held -= set(ports)


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    book = Book(tmp_path / "state.db")
    book.add_network(Network("b" * 64, "bridge", "1", "bridge", "172.17.0.0/16", "172.17.0.1", bridge="kk0"))
    book.add_network(Network("h" * 64, "host", "2", "host"))
    book.add_network(Network("n" * 64, "none", "3", "null"))
    book.add_network(
        Network(
            id="m" * 64,
            name="mine",
            created="4",
            driver="bridge",
            subnet="10.9.0.0/29",
            gateway="10.9.0.2",
            bridge="br-mine",
            options={"com.docker.network.driver.mtu": "1400"},
            reserved={"router": "10.9.0.3"},
        )
    )
    book.add_network(
        Network("i" * 64, "inside", "5", "bridge", "10.8.0.0/24", "10.8.0.1", bridge="br-in", internal=True)
    )
    return SimpleNamespace(
        state=book,
        events=Events(),
        uplink=Machine(),
        host=SimpleNamespace(table="kernelkit"),
        resolver=SimpleNamespace(address="/run/names", close=lambda container: None),
    )


def container(engine: Any, name: str, *networks: str, **more: Any) -> Container:
    host = {
        "NetworkMode": networks[0] if networks else "bridge",
        "PortBindings": more.pop("ports", {}),
        "Dns": ["9.9.9.9"],
    }
    made = Container(
        id=name * 8,
        name=name,
        created=name,
        image="busybox",
        image_id="",
        config={"Hostname": name, **more.pop("config", {})},
        host_config={**host, **more.pop("host", {})},
        networks={network: settings(network, more.get(network, {})) for network in networks or ("bridge",)},
    )
    engine.state.add(made)
    return made


def addresses(engine: Any, *names: str, network: str = "bridge") -> list[str]:
    found = []
    for name in names:
        made = container(engine, name, network)
        endpoints.hold(engine, made, FACTS)
        found.append(made.networks[network]["IPAddress"])
    return found


def test_the_lowest_free_address_is_leased(engine: Any) -> None:
    assert addresses(engine, "aa", "bb", "cc") == ["172.17.0.2", "172.17.0.3", "172.17.0.4"]
    endpoints.release(engine, engine.state.container("bb"))
    assert addresses(engine, "dd") == ["172.17.0.3"]


def test_gateway_reserved_and_broadcast_addresses_are_nobodys(engine: Any) -> None:
    assert addresses(engine, "aa", "bb", "cc", "dd", network="mine") == ["10.9.0.1", "10.9.0.4", "10.9.0.5", "10.9.0.6"]
    with pytest.raises(Conflict, match="no available addresses on this network's address pools: mine"):
        addresses(engine, "ee", network="mine")


def test_an_endpoint_is_noted_as_dockers(engine: Any) -> None:
    made = container(engine, "aa")
    held = endpoints.hold(engine, made, FACTS)
    noted = made.networks["bridge"]
    assert {
        key: noted[key] for key in ("NetworkID", "Gateway", "IPAddress", "IPPrefixLen", "MacAddress", "DNSNames")
    } == {
        "NetworkID": "b" * 64,
        "Gateway": "172.17.0.1",
        "IPAddress": "172.17.0.2",
        "IPPrefixLen": 16,
        "MacAddress": "02:42:ac:11:00:02",
        "DNSNames": None,
    }
    cable = f"veth{noted['EndpointID'][:7]}"
    assert held.endpoints == (
        Endpoint(
            "kk0",
            cable,
            "eth0",
            "02:42:ac:11:00:02",
            "172.17.0.2/16",
            "172.17.0.1",
            container=made.id,
            table="kernelkit",
        ),
    )
    assert held.etc["hostname"] == "web\n"
    assert held.etc["hosts"].endswith("172.17.0.2\tweb\n")
    assert held.etc["resolv.conf"] == "nameserver 9.9.9.9\n"


def test_released_nothing_is_left_of_it(engine: Any) -> None:
    made = container(engine, "aa", "bridge", "mine", ports={"80/tcp": [{"HostPort": "8080"}]})
    before = {name: dict(noted) for name, noted in made.networks.items()}
    endpoints.hold(engine, made, FACTS)
    assert endpoints.release(engine, made) == (Publication("tcp", "", 8080, "172.17.0.2", 80, cable=8080),)
    for name, noted in made.networks.items():
        assert {**noted, "NetworkID": ""} == before[name]
    assert (made.ports, engine.state.leases.ports(), engine.state.leases.addresses("b" * 64), engine.uplink.held) == (
        {},
        [],
        {},
        set(),
    )
    assert endpoints.release(engine, made) == ()


def test_links_are_numbered_and_names_can_be_asked_for_where_networks_are_user_defined(engine: Any) -> None:
    made = container(engine, "aa", "bridge", "mine", mine={"Aliases": ["alias"]})
    first, second = endpoints.hold(engine, made, FACTS).endpoints
    assert endpoints.let_out(engine, made) == ("172.17.0.2", "10.9.0.1")
    assert (first.link, first.names, first.mtu) == ("eth0", "", 0)
    assert (second.link, second.names, second.mtu) == ("eth1", "/run/names", 1400)
    assert made.networks["mine"]["DNSNames"] == ["aa", "alias", made.short_id]


def test_an_internal_network_has_no_way_out_and_publishes_nothing(engine: Any) -> None:
    made = container(engine, "aa", "inside", ports={"80/tcp": [{"HostPort": "8080"}]})
    held = endpoints.hold(engine, made, FACTS)
    assert (held.endpoints[0].gateway, held.publications) == ("", ())
    assert (held.endpoints[0].table, endpoints.let_out(engine, made)) == ("", ())


@pytest.mark.parametrize("mode", ["host", "none"])
def test_without_a_bridge_there_is_no_cable(engine: Any, mode: str) -> None:
    made = container(engine, "aa", mode)
    held = endpoints.hold(engine, made, FACTS)
    assert held.endpoints == ()
    assert made.networks[mode]["EndpointID"]
    assert made.networks[mode]["IPAddress"] == ""


def test_in_somebody_elses_network_nothing_is_held(engine: Any) -> None:
    made = container(engine, "aa")
    joined = Facts(id="", hostname="", root="", user=User(), capabilities=(), cgroup_path="", joined={"network": 4711})
    assert endpoints.hold(engine, made, joined) == endpoints.Held()


def test_a_fixed_address_is_given_once(engine: Any) -> None:
    wish = {"IPAMConfig": {"IPv4Address": "10.9.0.5"}}
    made = container(engine, "aa", "mine", mine=wish)
    endpoints.hold(engine, made, FACTS)
    assert made.networks["mine"]["IPAddress"] == "10.9.0.5"
    with pytest.raises(KernelkitError, match="Address already in use"):
        endpoints.hold(engine, container(engine, "bb", "mine", mine=wish), FACTS)
    for address, words in (("10.9.0.2", "Address already in use"), ("10.8.0.5", "no configured subnet contains IP")):
        other = container(engine, f"x{address[3]}", "mine", mine={"IPAMConfig": {"IPv4Address": address}})
        with pytest.raises(KernelkitError, match=words):
            endpoints.hold(engine, other, FACTS)
        assert other.networks["mine"]["EndpointID"] == ""


def test_a_hardware_address_that_was_asked_for_stays(engine: Any) -> None:
    made = container(engine, "aa", config={"MacAddress": "02:00:00:00:00:99"})
    assert endpoints.hold(engine, made, FACTS).endpoints[0].mac == "02:00:00:00:00:99"
    endpoints.release(engine, made)
    assert endpoints.hold(engine, made, FACTS).endpoints[0].mac == "02:00:00:00:00:99"


def test_ports_are_held_published_and_noted(engine: Any) -> None:
    ports = {
        "80/tcp": [{"HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "9090"}],
        "53/udp": [{"HostPort": "53"}],
    }
    made = container(engine, "aa", ports=ports, config={"ExposedPorts": {"443/tcp": {}}})
    held = endpoints.hold(engine, made, FACTS)
    assert made.ports == {
        "443/tcp": None,
        "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "53"}],
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "9090"}],
    }
    assert set(held.publications) == {
        Publication("udp", "", 53, "172.17.0.2", 53, cable=53),
        Publication("tcp", "", 8080, "172.17.0.2", 80, cable=8080),
        Publication("tcp", "127.0.0.1", 9090, "172.17.0.2", 80, cable=9090),
    }
    assert engine.uplink.held == {("tcp", "0.0.0.0", 8080), ("tcp", "127.0.0.1", 9090), ("udp", "0.0.0.0", 53)}


def test_one_port_of_several_addresses_arrives_at_several_ports_of_the_cable(engine: Any) -> None:
    def cables(name: str, *addresses: str, port: str = "80") -> list[int]:
        made = container(engine, name, ports={"80/tcp": [{"HostIp": a, "HostPort": port} for a in addresses]})
        return [publication.cable for publication in endpoints.hold(engine, made, FACTS).publications]

    assert cables("aa", "127.0.0.1") == [80]
    assert cables("bb", "127.0.0.2", "127.0.0.3") == [65535, 65534]
    assert cables("cc", "", port="65535") == [65533]
    endpoints.release(engine, engine.state.container("bb"))
    assert cables("dd", "127.0.0.2") == [65535]
    endpoints.release(engine, engine.state.container("aa"))
    assert cables("ee", "127.0.0.1") == [80]
    assert engine.state.leases.cables("aa" * 8) == {}


def test_where_ipv6_is_spoken_a_port_without_an_address_is_there_as_well(engine: Any) -> None:
    engine.uplink.ipv6 = True
    made = container(
        engine, "aa", ports={"80/tcp": [{"HostPort": "8000-8010"}, {"HostIp": "0:0::1", "HostPort": "90"}]}
    )
    held = endpoints.hold(engine, made, FACTS)
    assert made.ports["80/tcp"] == [
        {"HostIp": "0.0.0.0", "HostPort": "8000"},
        {"HostIp": "::", "HostPort": "8000"},
        {"HostIp": "::1", "HostPort": "90"},
    ]
    assert [p.cable for p in held.publications] == [8000, 8000, 90]
    assert engine.uplink.held == {("tcp", "0.0.0.0", 8000), ("tcp", "::", 8000), ("tcp", "::1", 90)}
    with pytest.raises(KernelkitError, match="Bind for ::1:90 failed: port is already allocated"):
        endpoints.hold(engine, container(engine, "bb", ports={"80/tcp": [{"HostIp": "::1", "HostPort": "90"}]}), FACTS)


def test_of_a_range_the_first_that_nobody_has_is_taken(engine: Any) -> None:
    engine.uplink.taken = {8001}
    endpoints.hold(engine, container(engine, "aa", ports={"80/tcp": [{"HostPort": "8000"}]}), FACTS)
    made = container(engine, "bb", ports={"80/tcp": [{"HostPort": "8000-8010"}], "81/tcp": [{"HostPort": "8000-8010"}]})
    endpoints.hold(engine, made, FACTS)
    assert [made.ports[port][0]["HostPort"] for port in ("80/tcp", "81/tcp")] == ["8002", "8003"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ("8080", r"endpoint bb \(\w{64}\): Bind for 0.0.0.0:8080 failed: port is already allocated"),
        ("7000", r"endpoint bb \(\w{64}\): listen tcp4 0.0.0.0:7000: bind: address already in use"),
        ("8080-8080", "Bind for 0.0.0.0:8080 failed"),
    ],
)
def test_a_taken_port_is_said_in_dockers_words_and_nothing_stays_held(engine: Any, port: str, words: str) -> None:
    engine.uplink.taken = {7000}
    endpoints.hold(engine, container(engine, "aa", ports={"80/tcp": [{"HostPort": "8080"}]}), FACTS)
    ports, leases = engine.state.leases.ports(), engine.state.leases.addresses("b" * 64)
    made = container(engine, "bb", ports={"80/tcp": [{"HostPort": port}], "81/tcp": [{"HostPort": "8081"}]})
    with pytest.raises(KernelkitError, match=f"driver failed programming external connectivity on .*{words}"):
        endpoints.hold(engine, made, FACTS)
    assert (engine.state.leases.ports(), engine.state.leases.addresses("b" * 64)) == (ports, leases)
    assert engine.uplink.held == {("tcp", "0.0.0.0", 8080)}
    assert (made.ports, made.networks["bridge"]["IPAddress"]) == ({}, "")


def test_a_network_that_is_gone_is_named(engine: Any) -> None:
    made = container(engine, "aa", "gone")
    with pytest.raises(NotFound, match="network gone not found"):
        endpoints.hold(engine, made, FACTS)


def test_who_joins_and_leaves_is_told(engine: Any) -> None:
    made = container(engine, "aa")
    endpoints.hold(engine, made, FACTS)
    endpoints.release(engine, made)
    told = [(event["Action"], event["Actor"]["Attributes"]["container"]) for event in engine.events.since(0)]
    assert told == [("connect", made.id), ("disconnect", made.id)]


def test_an_alias_on_the_default_bridge_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="only for containers in user defined networks"):
        settings("bridge", {"Aliases": ["x"]})
