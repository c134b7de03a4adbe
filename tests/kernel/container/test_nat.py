"""Packets through the rules: who reaches whom, and as whom, with the real kernel's bridges and translation.

outside 10.0.0.9 ── 10.0.0.1 host ─┬─ kk0 172.17.0.1  ── one 172.17.0.2, two 172.17.0.3
                                   ├─ br-1 172.18.0.1 ── other 172.18.0.2
                                   └─ br-2 172.19.0.1 ── inner 172.19.0.2 (internal)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from kernelkit.container import nat, network
from kernelkit.container.nat import Publication
from kernelkit.container.network import Endpoint
from kernelkit.kernel import libc, netlink
from kernelkit.kernel.files import WriteFile
from kernelkit.kernel.ip import AddAddress, AddRoute, AddVeth, AwaitLink, SetLinkUp
from tests.child import in_child
from tests.patience import PATIENCE
from tests.plans import perform

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces of one's own take CAP_SYS_ADMIN: root"),
    pytest.mark.skipif(not shutil.which("nft"), reason="needs the program nft (package nftables)"),
]

IN_VAIN = 0.5  # seconds: a packet that is dropped is not answered
HOST, OUTSIDE = "10.0.0.1", "10.0.0.9"
ONE, TWO, OTHER, INNER = "172.17.0.2", "172.17.0.3", "172.18.0.2", "172.19.0.2"
PLACES = {ONE: "kk0", TWO: "kk0", OTHER: "br-1", INNER: "br-2"}


@dataclass
class World:
    """The host this process stands in, and processes that keep the other network namespaces."""

    keepers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def at(self, place: str, work: Callable[[], Any]) -> Any:
        """What `work` returns in a place's network namespace; `` is the host."""

        def there() -> Any:
            if place:
                fd = os.open(f"/proc/{self.keepers[place].pid}/ns/net", os.O_RDONLY)
                libc.setns(fd, libc.CLONE_NEWNET)
            return work()

        return in_child(there)

    @contextlib.contextmanager
    def listening(self, place: str, port: int, kind: int = socket.SOCK_STREAM) -> Iterator[None]:
        """Somebody in that place who tells whoever asks who they are, seen from there."""
        ready = threading.Event()
        stop = threading.Event()
        thread = threading.Thread(target=self._answer, args=(place, port, kind, ready, stop))
        thread.start()
        assert ready.wait(PATIENCE)
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _answer(self, place: str, port: int, kind: int, ready: threading.Event, stop: threading.Event) -> None:
        # setns(2) moves this thread and no other.
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        if place:
            libc.setns(os.open(f"/proc/{self.keepers[place].pid}/ns/net", os.O_RDONLY), libc.CLONE_NEWNET)
        with socket.socket(socket.AF_INET, kind) as server:
            libc.setns(own, libc.CLONE_NEWNET)
            server.settimeout(0.05)
            server.bind(("0.0.0.0", port))
            if kind == socket.SOCK_STREAM:
                server.listen()
            ready.set()
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    if kind == socket.SOCK_STREAM:
                        connection, peer = server.accept()
                        with connection:
                            connection.sendall(f"{place or 'host'} {peer[0]}".encode())
                    else:
                        _, peer = server.recvfrom(16)
                        server.sendto(f"{place or 'host'} {peer[0]}".encode(), peer)

    def ask_in_vain(self, place: str, address: str, port: int) -> str:
        """The same where nobody should be reached: nobody is waited for long."""
        return self.ask(place, address, port, patience=IN_VAIN)

    def ask(
        self, place: str, address: str, port: int, kind: int = socket.SOCK_STREAM, patience: float = PATIENCE
    ) -> str:
        """What whoever listens there says; empty when nobody can be reached."""

        def there() -> str:
            with socket.socket(socket.AF_INET, kind) as asking:
                asking.settimeout(patience)
                try:
                    asking.connect((address, port))
                    if kind == socket.SOCK_DGRAM:
                        asking.send(b"?")
                    asking.settimeout(PATIENCE)  # whoever was reached may take his time to answer
                    return asking.recv(100).decode()
                except OSError:
                    return ""

        return str(self.at(place, there))


def build(world: World) -> None:
    """The picture above."""
    libc.unshare(libc.CLONE_NEWNET)
    netlink.open_host_sockets()
    for place in (OUTSIDE, *PLACES):
        keeper = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE)
        assert keeper.stdout
        keeper.stdout.readline()
        world.keepers[place] = keeper
    perform(
        [
            SetLinkUp("lo"),
            WriteFile("/proc/sys/net/ipv4/ip_forward", "1"),
            WriteFile("/proc/sys/net/ipv4/conf/all/route_localnet", "1"),
            *nat.table(),
        ]
    )
    outside = str(world.keepers[OUTSIDE].pid)
    perform([AddVeth("up", "eth0", outside), AddAddress("up", f"{HOST}/24"), SetLinkUp("up")])
    perform([AddAddress("eth0", f"{OUTSIDE}/24", where=outside), SetLinkUp("eth0", where=outside)])
    # The outside knows the way in: what keeps it out are the rules.
    perform([AddRoute("172.16.0.0/12", HOST, where=outside), AwaitLink("up")])
    for number, name in ((17, "kk0"), (18, "br-1"), (19, "br-2")):
        perform(network.bridge(name, f"02:42:00:00:00:{number}", [f"172.{number}.0.1/16"]))
        perform(nat.masquerade(f"172.{number}.0.0/16", name, internal=name == "br-2"))
    for number, (address, name) in enumerate(PLACES.items()):
        pid = str(world.keepers[address].pid)
        gateway = address.rsplit(".", 1)[0] + ".1"
        endpoint = Endpoint(name, f"veth{number}", "eth0", network.mac_of(address), f"{address}/16")
        perform([*network.interface(endpoint, pid), SetLinkUp("lo", where=pid), *network.attach(endpoint, pid)])
        perform([AwaitLink(endpoint.cable)])
        # The internal one too: that there is no way out must not depend on the container's own routes.
        perform([AddRoute("default", gateway, where=pid)])
    perform(nat.let_out([ONE, OTHER]))


@pytest.fixture(scope="module")
def ask_world() -> Callable[[Callable[[World], Any]], Any]:
    """Runs a story in a world of its own, in a child: this process stays where it is."""

    def run(story: Callable[[World], Any]) -> Any:
        def there() -> Any:
            world = World()
            try:
                build(world)
                return story(world)
            finally:
                for keeper in world.keepers.values():
                    keeper.kill()
                    keeper.wait()

        return in_child(there)

    return run


Ask = Callable[[Callable[[World], Any]], Any]


def test_what_goes_out_has_the_hosts_address(ask_world: Ask) -> None:
    def story(world: World) -> Any:
        with world.listening(OUTSIDE, 80), world.listening(OUTSIDE, 53, socket.SOCK_DGRAM):
            return world.ask(ONE, OUTSIDE, 80), world.ask(OTHER, OUTSIDE, 53, socket.SOCK_DGRAM)

    assert ask_world(story) == (f"{OUTSIDE} {HOST}", f"{OUTSIDE} {HOST}")


def test_what_is_not_let_out_keeps_its_address_and_gets_no_answer_without_a_way_back(ask_world: Ask) -> None:
    def story(world: World) -> Any:
        with world.listening(OUTSIDE, 80):
            known = world.ask(TWO, OUTSIDE, 80)
            world.at(OUTSIDE, lambda: subprocess.run(["ip", "route", "del", "172.16.0.0/12"], check=True).returncode)
            lost = world.ask_in_vain(TWO, OUTSIDE, 80)
            perform(nat.let_out([TWO]))
            out = world.ask(TWO, OUTSIDE, 80)
            perform(nat.keep_in([TWO]))
            return known, lost, out, world.ask_in_vain(TWO, OUTSIDE, 80), world.ask_in_vain(TWO, "172.17.0.1", 1)

    assert ask_world(story) == (f"{OUTSIDE} {TWO}", "", f"{OUTSIDE} {HOST}", "", "")


def test_neighbours_see_each_other_as_they_are(ask_world: Ask) -> None:
    def story(world: World) -> Any:
        with world.listening(TWO, 80):
            return world.ask(ONE, TWO, 80), world.ask("", TWO, 80)

    assert ask_world(story) == (f"{TWO} {ONE}", f"{TWO} 172.17.0.1")


def test_networks_are_kept_apart(ask_world: Ask) -> None:
    def story(world: World) -> Any:
        with world.listening(ONE, 80), world.listening(OTHER, 80), world.listening(INNER, 80):
            return [
                world.ask_in_vain(OTHER, ONE, 80),
                world.ask_in_vain(ONE, OTHER, 80),
                world.ask_in_vain(ONE, INNER, 80),
                world.ask_in_vain(INNER, ONE, 80),
            ]

    assert ask_world(story) == ["", "", "", ""]


def test_an_internal_network_does_not_get_out_and_nobody_gets_in(ask_world: Ask) -> None:
    def story(world: World) -> Any:
        with world.listening(OUTSIDE, 80), world.listening(INNER, 80):
            return world.ask_in_vain(INNER, OUTSIDE, 80), world.ask_in_vain(OUTSIDE, INNER, 80)

    assert ask_world(story) == ("", "")


def test_from_outside_only_published_ports_are_reached(ask_world: Ask) -> None:
    def story(world: World) -> Any:
        perform(nat.publish([Publication("tcp", "", 8080, ONE, 80), Publication("udp", "", 53, ONE, 5353)]))
        with world.listening(ONE, 80), world.listening(ONE, 81), world.listening(ONE, 5353, socket.SOCK_DGRAM):
            return [
                world.ask(OUTSIDE, HOST, 8080),
                world.ask(OUTSIDE, HOST, 53, socket.SOCK_DGRAM),
                world.ask_in_vain(OUTSIDE, ONE, 80),
                world.ask_in_vain(OUTSIDE, ONE, 81),
                world.ask_in_vain(OUTSIDE, HOST, 81),
            ]

    assert ask_world(story) == [f"{ONE} {OUTSIDE}", f"{ONE} {OUTSIDE}", "", "", ""]


def test_a_published_port_is_reached_from_everywhere(ask_world: Ask) -> None:
    """From the host by any of its addresses, from a neighbour, from another network, and from the container itself."""

    def story(world: World) -> Any:
        perform(nat.publish([Publication("tcp", "", 8080, ONE, 80)]))
        with world.listening(ONE, 80):
            return [
                world.ask("", "127.0.0.1", 8080),
                world.ask("", HOST, 8080),
                world.ask(TWO, "172.17.0.1", 8080),
                world.ask(OTHER, HOST, 8080),
                world.ask(ONE, HOST, 8080),
                world.ask(ONE, "172.17.0.1", 8080),
            ]

    assert [said.partition(" ")[0] for said in ask_world(story)] == [ONE] * 6


def test_published_at_one_address_it_is_at_no_other(ask_world: Ask) -> None:
    def story(world: World) -> Any:
        perform(nat.publish([Publication("tcp", "127.0.0.1", 8080, ONE, 80), Publication("tcp", HOST, 9090, ONE, 80)]))
        with world.listening(ONE, 80):
            return [
                world.ask("", "127.0.0.1", 8080).partition(" ")[0],
                world.ask_in_vain(OUTSIDE, HOST, 8080),
                world.ask(OUTSIDE, HOST, 9090).partition(" ")[0],
                world.ask_in_vain("", "127.0.0.1", 9090),
            ]

    assert ask_world(story) == [ONE, "", ONE, ""]


def test_taken_back_it_is_reached_no_more(ask_world: Ask) -> None:
    def story(world: World) -> Any:
        published = [Publication("tcp", "", 8080, ONE, 80)]
        perform(nat.publish(published))
        with world.listening(ONE, 80):
            before = world.ask(OUTSIDE, HOST, 8080)
            perform(nat.unpublish(published))
            return before, world.ask_in_vain(OUTSIDE, HOST, 8080)

    assert ask_world(story) == (f"{ONE} {OUTSIDE}", "")


def test_a_container_does_not_reach_what_listens_on_the_hosts_loopback(ask_world: Ask) -> None:
    """With `route_localnet` the host would take such a packet; see the chain `loopback`."""

    def story(world: World) -> Any:
        pid = str(world.keepers[ONE].pid)

        def through_the_cable() -> None:
            for words in ("ip addr del 127.0.0.1/8 dev lo", "ip route add 127.0.0.1 via 172.17.0.1 src " + ONE):
                subprocess.run(words.split(), check=True)

        subprocess.run(["nsenter", "-t", pid, "-n", "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"], check=True)
        world.at(ONE, through_the_cable)
        with world.listening("", 7000):
            return world.ask(ONE, "172.17.0.1", 7000), world.ask_in_vain(ONE, "127.0.0.1", 7000)

    assert ask_world(story) == (f"host {ONE}", "")
