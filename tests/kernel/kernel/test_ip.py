"""Links, addresses and routes in the real kernel: what is performed, and what the same lines typed into a shell do."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kernelkit.container import network
from kernelkit.container.network import Endpoint
from kernelkit.kernel import ip_show, libc, netlink
from kernelkit.kernel.bridge import ReplaceFdb
from kernelkit.kernel.ip import (
    AddAddress,
    AddBridge,
    AddRoute,
    AddVeth,
    AwaitLink,
    DeleteLink,
    DisableIpv6,
    MoveLink,
    RenameLink,
    ReplaceRoute,
    SetAddress,
    SetLinkUp,
    SetMaster,
    SetMtu,
)
from kernelkit.kernel.ip_show import Address, Route
from kernelkit.trace import Operation
from tests.patience import PATIENCE
from tests.plans import alone, perform, type_in

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing links takes CAP_NET_ADMIN: root")

MAC = "02:42:ac:11:00:02"
ENDPOINT = Endpoint("kk0", "veth1", "eth0", MAC, "172.17.0.2/16", "172.17.0.1")

# What differs by chance, or by the moment one looks.
CHANCE = ("ifindex", "link_index", "address", "link_netnsid", "operstate", "flags", "valid_life_time", "dynamic")
Kept = dict[str, Any]


def state() -> list[Kept]:
    """The links with their addresses, and the routes, of this network namespace."""
    links = json.loads(subprocess.run(["ip", "-j", "-d", "address"], capture_output=True, check=True).stdout)
    routes = json.loads(subprocess.run(["ip", "-j", "route"], capture_output=True, check=True).stdout)
    for link in links:
        link["up"] = "UP" in link["flags"]
        link["mac"] = link["address"] if link["address"].startswith("02:42") else ""
        link["addr_info"] = [plain(a) for a in link["addr_info"] if not a.get("local", "").startswith("fe80")]
        data = (link.get("linkinfo") or {}).get("info_slave_data") or {}
        link["hairpin"] = data.get("hairpin")
        link.pop("linkinfo", None)
    known = json.loads(subprocess.run(["bridge", "-j", "fdb", "show"], capture_output=True, check=True).stdout)
    learnt = [entry for entry in known if entry["mac"] == MAC]
    return [*map(plain, links), *map(plain, routes), *learnt]


def plain(found: Kept) -> Kept:
    return {key: value for key, value in found.items() if key not in CHANCE}


ALL: list[Operation] = [
    AddBridge("kk0"),
    SetAddress("kk0", "02:42:00:00:00:01"),
    AddAddress("kk0", "172.17.0.1/16"),
    AddAddress("kk0", "fd00::1/64"),
    SetLinkUp("kk0"),
    AddVeth("veth1", "peer1"),
    SetMaster("veth1", "kk0", hairpin=True),
    ReplaceFdb("veth1", MAC),
    SetMtu("veth1", 1400),
    SetLinkUp("veth1"),
    RenameLink("peer1", "eth0"),
    SetAddress("eth0", MAC),
    AddAddress("eth0", "172.17.0.2/16"),
    SetLinkUp("eth0"),
    AddRoute("10.1.0.0/16", "172.17.0.1"),
    AddRoute("10.2.0.0/16", link="eth0"),
    AddRoute("10.3.0.0/16", "172.17.0.1"),
    ReplaceRoute("10.3.0.0/16", "172.17.0.9"),
    ReplaceRoute("10.4.0.0/16", link="eth0"),
    AddVeth("gone", "gone1"),
    DeleteLink("gone1"),
    AddAddress("lo", "127.0.0.2/8"),
    SetLinkUp("lo"),
]


def test_the_same_typed_into_a_shell_gives_the_same() -> None:
    performed = alone(lambda: (perform(ALL), state())[1])
    typed = alone(lambda: (type_in(ALL), state())[1])
    assert performed == typed
    assert {link["ifname"] for link in performed if "ifname" in link} == {"lo", "kk0", "veth1", "eth0"}


def test_together_they_do_the_same_as_one_after_another() -> None:
    together = alone(lambda: (AddBridge.perform_together(ALL), state()))
    assert together[0] == [None] * len(ALL)
    assert together[1] == alone(lambda: (perform(ALL), state())[1])


def container(build: Callable[[Sequence[Operation]], None]) -> tuple[list[Kept], list[Kept]]:
    """The state of a host and of a container, which has performed the plans from inside."""

    def there() -> Any:
        perform(network.bridge("kk0", "02:42:00:00:00:01", ["172.17.0.1/16"]))
        read, write = os.pipe()
        done_read, done_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            libc.unshare(libc.CLONE_NEWNET)
            build([*network.interface(ENDPOINT), *network.addresses([ENDPOINT])])
            os.write(write, json.dumps(state()).encode())
            os.close(write)
            os.read(done_read, 1)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            inside = json.loads(pipe.read())
        outside = state()
        os.write(done_write, b"x")
        os.waitpid(pid, 0)
        return outside, inside

    found: tuple[list[Kept], list[Kept]] = alone(there)
    return found


def type_where_it_says(plan: Sequence[Operation]) -> None:
    """Typed by a shell in the container; what is about the host, in the host's network namespace."""
    host = netlink.namespace(netlink.HOST_ROUTE)
    os.set_inheritable(host, True)
    enter = f"nsenter --net=/proc/self/fd/{host} "
    lines = []
    for operation in plan:
        words = operation.shell()
        if getattr(operation, "where", "") == "host":
            words = f"{enter}sh -c {shlex.quote(words.replace('$$', '$self'))}"
        lines.append(words)
    script = "set -e\nexport self=$$\n" + "\n".join(lines)
    subprocess.run(["sh", "-c", script], check=True, close_fds=False)


def test_a_container_lays_its_own_cable() -> None:
    outside, inside = container(perform)
    port = next(link for link in outside if link.get("ifname") == "veth1")
    eth0 = next(link for link in inside if link.get("ifname") == "eth0")
    assert (port["master"], port["hairpin"], port["up"]) == ("kk0", True, True)
    assert (eth0["mac"], eth0["up"]) == (MAC, True)
    assert [(a["local"], a["prefixlen"], a["broadcast"]) for a in eth0["addr_info"]] == [
        ("172.17.0.2", 16, "172.17.255.255")
    ]
    assert {"dst": "default", "gateway": "172.17.0.1", "dev": "eth0"}.items() <= next(
        route for route in inside if route.get("dst") == "default"
    ).items()


def test_a_container_without_an_ipv6_address_does_not_speak_it() -> None:
    _, inside = container(perform)
    assert not [a for link in inside for a in link.get("addr_info", ()) if a["family"] == "inet6"]


def test_typed_in_the_container_the_cable_is_the_same() -> None:
    assert container(type_where_it_says) == container(perform)


def test_another_process_gets_a_link_and_an_address() -> None:
    def there() -> Any:
        with subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE) as other:
            assert other.stdout
            other.stdout.readline()
            where = str(other.pid)
            AddVeth("veth1", "eth0", where).perform()
            AddVeth("veth2", "eth1").perform()
            MoveLink("eth1", where).perform()
            plan = [AddAddress("eth0", "10.0.0.2/24", where=where), SetLinkUp("eth0", where=where)]
            perform([SetLinkUp("veth1"), *plan])
            perform([AddRoute("default", "10.0.0.1", where=where)])
            found = (
                [link.name for link in ip_show.links(where)],
                ip_show.addresses(where),
                ip_show.routes(where),
                [operation.shell() for operation in plan],
            )
            own = [link.name for link in ip_show.links()]  # with the other namespace they go
            other.kill()
            return found, other.pid, own

    (links, addresses, routes, said), pid, own = alone(there)
    assert links == ["lo", "eth0", "eth1"]
    assert Address("eth0", "10.0.0.2/24") in addresses
    assert Route("default", "10.0.0.1", "eth0") in routes
    assert said[0] == f"nsenter -t {pid} -n ip address add 10.0.0.2/24 brd + dev eth0"
    assert own == ["lo", "veth1", "veth2"]


def test_what_is_shown_is_what_ip_shows() -> None:
    def there() -> Any:
        perform(ALL)
        return ip_show.links(), ip_show.addresses(), ip_show.routes()

    links, addresses, routes = alone(there)
    by_name = {link.name: link for link in links}
    assert (by_name["kk0"].kind, by_name["kk0"].address, by_name["kk0"].up) == ("bridge", "02:42:00:00:00:01", True)
    assert (by_name["veth1"].master, by_name["veth1"].mtu) == ("kk0", 1400)
    assert by_name["veth1"].peer == by_name["eth0"].index
    assert {Address("kk0", "172.17.0.1/16"), Address("kk0", "fd00::1/64"), Address("lo", "127.0.0.2/8")} <= set(
        addresses
    )
    assert {Route("10.1.0.0/16", "172.17.0.1", "kk0"), Route("10.2.0.0/16", "", "eth0")} <= set(routes)
    assert [route.gateway for route in routes if route.destination == "10.3.0.0/16"] == ["172.17.0.9"]


@pytest.mark.parametrize(
    ("operation", "number", "named"),
    [
        (AddBridge("lo"), errno.EEXIST, "lo"),
        (AddBridge("a-name-that-is-too-long"), errno.ERANGE, "a-name-that-is-too-long"),
        (SetLinkUp("nosuch"), errno.ENODEV, "nosuch"),
        (AwaitLink("nosuch"), errno.ENODEV, "nosuch"),
        (SetMaster("lo", "nosuch"), errno.ENODEV, "nosuch"),
        (ReplaceFdb("nosuch", MAC), errno.ENODEV, "nosuch"),
        (ReplaceFdb("lo", MAC), errno.EINVAL, f"{MAC} at lo"),
        (AddAddress("nosuch", "10.0.0.1/8"), errno.ENODEV, "nosuch"),
        (AddAddress("lo", "127.0.0.1/8"), errno.EEXIST, "127.0.0.1/8 on lo"),
        (AddRoute("default", "10.99.0.1"), errno.ENETUNREACH, "route default via 10.99.0.1"),
        (DeleteLink("nosuch"), errno.ENODEV, "nosuch"),
        (RenameLink("nosuch", "x"), errno.ENODEV, "nosuch"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, tuple | object) and hasattr(value, "shell") else "",
)
def test_a_refusal_names_what_it_is_about(operation: Operation, number: int, named: str) -> None:
    def there() -> Any:
        SetLinkUp("lo").perform()
        try:
            operation.perform()
        except OSError as error:
            return error.errno, error.filename
        return None

    assert alone(there) == (number, named)


def test_after_a_refusal_nothing_is_done_to_somebody_elses_link() -> None:
    def there() -> Any:
        AddBridge("kk0").perform()
        AddBridge("taken").perform()
        plan = [AddVeth("taken", "eth0"), SetMaster("taken", "kk0"), SetLinkUp("taken")]
        ends = AddVeth.perform_together(plan)
        taken = next(link for link in ip_show.links() if link.name == "taken")
        return [error and error.errno for error in ends], taken.master, taken.up

    assert alone(there) == ([errno.EEXIST, None, None], "", False)


def test_a_cable_is_waited_for_until_it_carries_packets() -> None:
    def there() -> Any:
        perform([AddBridge("kk0"), SetLinkUp("kk0"), AddVeth("veth1", "eth0"), SetMaster("veth1", "kk0")])
        perform([SetLinkUp("veth1"), SetLinkUp("eth0"), AwaitLink("veth1")])
        port = json.loads(subprocess.run(["bridge", "-j", "link"], capture_output=True, check=True).stdout)[0]
        return port["state"], next(link for link in ip_show.links() if link.name == "veth1").up

    assert alone(there) == ("forwarding", True)


def test_a_cable_that_does_not_come_up_is_not_waited_for_for_ever() -> None:
    def there() -> float:
        perform([AddVeth("veth1", "eth0"), SetLinkUp("veth1")])
        began = time.monotonic()
        AwaitLink("veth1").perform()
        return time.monotonic() - began

    assert 0.4 < alone(there) < PATIENCE


def test_ipv6_can_be_switched_off() -> None:
    def there() -> Any:
        plan: list[Operation] = [DisableIpv6(), SetLinkUp("lo")]
        perform(plan)
        with open("/proc/sys/net/ipv6/conf/all/disable_ipv6") as file:
            return file.read().strip(), ip_show.addresses()

    if not os.path.isdir("/proc/sys/net/ipv6"):
        pytest.skip("this kernel has no IPv6")
    assert alone(there) == ("1", [Address("lo", "127.0.0.1/8")])
