"""Out of the host and into it: addresses rewritten for real, with somebody outside who knows no way back.

outside 192.0.2.2 ── 192.0.2.1 the machine ── (the practice host) ── bridges, containers
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from tests.conftest import Kernelkit
from tests.e2e.test_step import Start
from tests.machine import Machine, short_folder
from tests.patience import PATIENCE, wait_until

HOSTS = ("practice", "real")
OUTSIDE, MACHINE = "192.0.2.2", "192.0.2.1"
# Tells whoever asks who they are, seen from out there.
SERVER = """
import os, socket
with socket.create_server(("0.0.0.0", 80)) as server:
    print(os.getpid(), flush=True)
    while True:
        connection, peer = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(f"HTTP/1.0 200 OK\\r\\n\\r\\n{peer[0]}".encode())
"""
# How the rules were before each address had to be let out by itself.
EARLIER = """
flush chain ip {table} postrouting
delete set ip {table} masqueraded
add rule ip {table} postrouting ip saddr @subnets oifname != @bridges masquerade
"""


@pytest.fixture(scope="module")
def shared_kk(request: pytest.FixtureRequest) -> Iterator[Kernelkit]:
    """A kernelkit on a throw-away machine that somebody outside is connected to."""
    machine = Machine()
    server = machine.start("unshare", "--net", sys.executable, "-c", SERVER, stdout=subprocess.PIPE)
    assert server.stdout
    there = server.stdout.readline().strip()
    for words in (
        f"ip link add out type veth peer name far netns {there}",
        f"ip address add {MACHINE}/24 dev out",
        "ip link set out up",
        f"nsenter -t {there} -n ip address add {OUTSIDE}/24 dev far",
        f"nsenter -t {there} -n ip link set far up",
    ):
        machine.run(*words.split())
    kernelkit = Kernelkit(short_folder(), machine)
    kernelkit.env["KERNELKIT_HOST"] = request.param
    try:
        kernelkit("pull", "busybox")
        yield kernelkit
    finally:
        kernelkit.remove()
        machine.down()
    server.kill()
    server.communicate()


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    """The same, without containers and networks before and after."""
    yield shared_kk
    shared_kk.empty()
    shared_kk.docker("network", "prune", "-f")
    assert let_out(shared_kk) == []


def table(kk: Kernelkit) -> str:
    return "kernelkit" if kk.env["KERNELKIT_HOST"] == "practice" else f"kernelkit-{bridge(kk).removeprefix('kk')}"


def bridge(kk: Kernelkit) -> str:
    shown = json.loads(kk.docker("network", "inspect", "bridge").stdout)[0]
    return str(shown["Options"]["com.docker.network.bridge.name"])


def let_out(kk: Kernelkit) -> list[str]:
    """The addresses in the host's set."""
    printed = json.loads(kk("shell", "nft", "-j", "list", "set", "ip", table(kk), "masqueraded").stdout)
    return sorted(each for entry in printed["nftables"] if "set" in entry for each in entry["set"].get("elem", []))


def asks(kk: Kernelkit, name: str, url: str = f"http://{OUTSIDE}") -> str:
    """What somebody in the container is told there; outside, as whom they are seen."""
    return kk.docker("exec", name, "timeout", f"{PATIENCE:.0f}", "wget", "-qO-", url).stdout


def asks_in_vain(kk: Kernelkit, name: str, url: str = f"http://{OUTSIDE}") -> bool:
    """Whether they get no answer."""
    return kk.docker("exec", name, "timeout", "1", "wget", "-qO-", url, check=False).stdout == ""


def proxies(kk: Kernelkit) -> list[str]:
    """The programs that pass on what comes by IPv6 for this engine."""
    return kk.run(["pgrep", "-P", engine_of(kk), "-f", "kernelkit/host/proxy.py"], check=False).stdout.split()


def engine_of(kk: Kernelkit) -> str:
    return kk.run(["pgrep", "-f", "kernelkit.server.daemon"]).stdout.split()[0]


def run(kk: Kernelkit, name: str, *options: str, command: Sequence[str] = ("sleep", "1000")) -> None:
    kk("run", "-d", "--name", name, *options, "busybox", *command)


def restart_engine(kk: Kernelkit, meanwhile: str = "") -> None:
    """Kill the engine, and a container's program before there is another one; wait for that."""
    pid = kk.docker("inspect", "-f", "{{.State.Pid}}", meanwhile).stdout.strip() if meanwhile else ""
    inside = "0" if kk.env["KERNELKIT_HOST"] == "real" else (kk.home / "run" / "init.pid").read_text()
    end = f"kill -KILL {engine_of(kk)}" + (f"; exec nsenter -t {inside} -p -m kill -KILL {pid}" if pid else "")
    kk.run(["sh", "-c", end.replace("nsenter -t 0 -p -m ", "")])
    wait_until(lambda: kk.docker("ps", "-q", check=False).returncode == 0)


def test_a_container_goes_out_as_the_machine(kk: Kernelkit) -> None:
    run(kk, "one")
    assert let_out(kk) == ["172.17.0.2"]
    assert asks(kk, "one") == MACHINE
    kk.docker("stop", "-t", "0", "one")
    assert let_out(kk) == []


def test_without_nat_nothing_comes_back_from_outside_and_it_says_so(kk: Kernelkit) -> None:
    ran = kk("run", "-d", "--name", "one", "--without", "nat", "busybox", "sleep", "1000")
    assert f"nft 'add element ip {table(kk)} masqueraded {{ 172.17.0.2 }}'" in ran.stderr
    assert "left out" in ran.stderr
    run(kk, "two")
    assert let_out(kk) == ["172.17.0.3"]
    assert asks_in_vain(kk, "one")
    assert asks(kk, "two") == MACHINE
    assert "1 packets received" in kk.docker("exec", "one", "ping", "-c1", "-W2", "172.17.0.3").stdout
    restart_engine(kk)  # who was left out stays out
    assert let_out(kk) == ["172.17.0.3"]
    kk("shell", "nft", f"add element ip {table(kk)} masqueraded {{ 172.17.0.2 }}")
    assert asks(kk, "one") == MACHINE


def test_other_networks_lead_out_but_for_internal_ones(kk: Kernelkit) -> None:
    kk.docker("network", "create", "mine")
    kk.docker("network", "create", "--internal", "inside")
    kk.docker("network", "create", "-o", "com.docker.network.bridge.enable_ip_masquerade=false", "bare")
    for network in ("mine", "inside", "bare"):
        run(kk, network, "--network", network)
    address = kk.docker("inspect", "-f", "{{.NetworkSettings.Networks.mine.IPAddress}}", "mine").stdout.strip()
    assert let_out(kk) == [address]
    assert asks(kk, "mine") == MACHINE
    assert asks_in_vain(kk, "inside")
    assert asks_in_vain(kk, "bare")
    refused = kk("run", "--rm", "--network", "inside", "--without", "nat", "busybox", "true", check=False)
    assert "there is nothing to leave out of the stage 'nat' of this start" in refused.stderr
    assert "its networks let nothing out" in refused.stderr


def test_a_container_is_let_out_by_each_of_its_networks_while_it_is_in_there(kk: Kernelkit) -> None:
    kk.docker("network", "create", "--internal", "inside")
    kk.docker("network", "create", "--subnet", "10.77.0.0/24", "mine")
    run(kk, "one", "--network", "inside")
    assert let_out(kk) == []
    assert asks_in_vain(kk, "one")
    kk.docker("network", "connect", "mine", "one")
    assert (let_out(kk), asks(kk, "one")) == (["10.77.0.2"], MACHINE)
    kk.docker("network", "connect", "bridge", "one")
    assert let_out(kk) == ["10.77.0.2", "172.17.0.2"]
    kk.docker("network", "disconnect", "mine", "one")
    assert (let_out(kk), asks(kk, "one")) == (["172.17.0.2"], MACHINE)
    operations = [json.loads(line)["operation"] for line in kk("trace", "--json", "one").stdout.splitlines()]
    assert (operations.count("AddSetElement"), operations.count("DeleteSetElement")) == (2, 1)


def test_an_engine_that_was_killed_finds_them_out_and_takes_back_what_has_ended(kk: Kernelkit) -> None:
    run(kk, "one")
    run(kk, "two")
    restart_engine(kk, meanwhile="two")
    wait_until(lambda: let_out(kk) == ["172.17.0.2"])
    assert asks(kk, "one") == MACHINE


def test_an_engine_that_was_killed_in_the_middle_of_a_start_leaves_the_address_and_the_port_free(kk: Kernelkit) -> None:
    name = kk.docker("create", "-p", "8094:80", "busybox", "sleep", "1000").stdout.strip()
    start = Start(kk, name, step=1)
    start.until("Exec")
    assert let_out(kk) == ["172.17.0.2"]
    restart_engine(kk)
    assert let_out(kk) == []
    assert "8094" not in kk("shell", "nft", "list", "ruleset").stdout
    serve(kk, "one", "-p", "8094:80")
    assert (fetch(kk, "127.0.0.1", 8094), asks(kk, "one")) == ("one", MACHINE)


def test_many_at_once_are_all_let_out(kk: Kernelkit) -> None:
    """Their first processes share one socket to the packet filter."""
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do docker run -d busybox sleep 1000 & done; wait"
    for _ in range(3):
        assert len(kk.run(["sh", "-c", script]).stdout.split()) == 12
        assert let_out(kk) == sorted(f"172.17.0.{number}" for number in range(2, 14))
        kk.docker("rm", "-f", *kk.docker("ps", "-aq").stdout.split())
        assert let_out(kk) == []


def test_an_engine_that_comes_to_earlier_rules_lets_out_who_was(kk: Kernelkit) -> None:
    run(kk, "one")
    script = EARLIER.format(table=table(kk))
    kk("shell", "nft", "-f", "-", input=script)
    assert asks(kk, "one") == MACHINE
    restart_engine(kk)
    assert (let_out(kk), asks(kk, "one")) == (["172.17.0.2"], MACHINE)


def serve(kk: Kernelkit, name: str, *options: str) -> None:
    """A container whose web server says its name, and does so by now."""
    serving = f"echo {name} > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
    run(kk, name, *options, command=["sh", "-c", serving])
    wait_until(lambda: kk.docker("exec", name, "wget", "-qO-", "http://127.0.0.1", check=False).stdout)


def fetch(kk: Kernelkit, address: str, port: int) -> str:
    """What is served there, asked on the machine; empty when nobody is."""
    asks = f"import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout={PATIENCE}).read().decode())"
    return kk.run([sys.executable, "-c", asks, f"http://{address}:{port}"], check=False).stdout.strip()


def test_one_port_of_two_addresses_leads_to_two_containers(kk: Kernelkit) -> None:
    serve(kk, "one", "-p", "127.0.0.1:8087:80")
    serve(kk, "two", "-p", "127.0.0.2:8087:80", "-p", f"{MACHINE}:8087:80")
    asked = [fetch(kk, address, 8087) for address in ("127.0.0.1", "127.0.0.2", MACHINE, "127.0.0.3")]
    assert asked == ["one", "two", "two", ""]
    clash = kk.docker("run", "-d", "-p", "8087:80", "busybox", "true", check=False)
    assert "Bind for 0.0.0.0:8087 failed: port is already allocated" in clash.stderr
    restart_engine(kk)
    kk.docker("rm", "-f", "one")
    serve(kk, "three", "-p", "127.0.0.3:8087:80")
    asked = [fetch(kk, address, 8087) for address in ("127.0.0.1", "127.0.0.2", MACHINE, "127.0.0.3")]
    assert asked == ["", "two", "two", "three"]
    kk.docker("rm", "-f", "two", "three")
    assert "127.0.0" not in kk.run(["nft", "list", "ruleset"]).stdout.replace("127.0.0.0/8", "")
    assert "8087" not in kk("shell", "nft", "list", "ruleset").stdout


def test_published_at_one_address_it_is_not_at_the_bridge(kk: Kernelkit) -> None:
    serve(kk, "one", "-p", "127.0.0.1:8088:80")
    serve(kk, "two", "-p", "8089:80")
    run(kk, "asks")
    assert asks(kk, "asks", "http://172.17.0.1:8089") == "two\n"
    assert asks_in_vain(kk, "asks", "http://172.17.0.1:8088")


def test_a_published_port_is_reached_by_ipv6(kk: Kernelkit) -> None:
    serve(kk, "one", "-p", "8090:80")
    serve(kk, "two", "-p", "[::1]:8091:80", "-p", "0.0.0.0:8092:80")
    shown = kk("ps", "--format", "{{.Names}} {{.Ports}}").stdout
    assert "one 0.0.0.0:8090->80/tcp, [::]:8090->80/tcp\n" in shown
    assert "[::1]:8091->80/tcp" in shown
    assert "[::]:8092" not in shown
    assert kk("port", "one").stdout == "80/tcp -> 0.0.0.0:8090\n80/tcp -> [::]:8090\n"
    assert (fetch(kk, "127.0.0.1", 8090), proxies(kk)) == ("one", [])  # nobody has called by IPv6
    asked = [("[::1]", 8090), ("[::1]", 8091), ("127.0.0.1", 8091), ("[::1]", 8092), ("127.0.0.1", 8092)]
    assert [fetch(kk, *each) for each in asked] == ["one", "two", "", "", "two"]
    assert len(proxies(kk)) == 1
    kk.docker("restart", "-t", "0", "one")
    assert fetch(kk, "[::1]", 8090) == "one"
    kk.docker("rm", "-f", "one")
    assert (fetch(kk, "[::1]", 8090), fetch(kk, "[::1]", 8091)) == ("", "two")
    kk.docker("rm", "-f", "two")
    assert proxies(kk) == []


def test_ipv6_goes_on_when_the_engine_or_the_program_for_it_is_killed(kk: Kernelkit) -> None:
    serve(kk, "one", "-p", "8090:80")
    assert fetch(kk, "[::1]", 8090) == "one"
    kk.run(["kill", "-KILL", *proxies(kk)])
    assert fetch(kk, "[::1]", 8090) == "one"
    restart_engine(kk)
    assert proxies(kk) == []
    assert fetch(kk, "[::1]", 8090) == "one"


def test_a_port_that_somebody_has_at_ipv6_is_said(kk: Kernelkit) -> None:
    listen = (
        "import socket; s = socket.create_server(('::', 8093), family=socket.AF_INET6); print('on', flush=1); input()"
    )
    with kk.start([sys.executable, "-c", listen], stdin=subprocess.PIPE) as somebody:
        assert somebody.stdout
        assert somebody.stdout.readline() == "on\n", somebody.stderr and somebody.stderr.read()
        refused = kk.docker("run", "--rm", "-p", "8093:80", "busybox", "true", check=False)
        assert "listen tcp6 [::]:8093: bind: address already in use" in refused.stderr
        somebody.communicate()
    assert kk.docker("run", "--rm", "-p", "8093:80", "busybox", "echo", "now").stdout == "now\n"
