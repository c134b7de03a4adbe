"""Rules and elements of maps in the real kernel: what is performed, and what the same lines typed into a shell do."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from kernelkit.container import nat
from kernelkit.container.nat import Publication
from kernelkit.kernel import libc, netlink, nft, nft_show
from kernelkit.kernel.nft import AddMapElement, AddSetElement, DeleteMapElement, DeleteSetElement, RunNft
from kernelkit.trace import Operation
from tests import plans
from tests.plans import perform, type_in

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="changing rules takes CAP_NET_ADMIN: root"),
    pytest.mark.skipif(not shutil.which("nft"), reason="needs the program nft (package nftables)"),
]

TABLE = nat.TABLE
WEB = AddMapElement(TABLE, "tcp_ports", "8080", "172.17.0.2 . 80")


def alone(work: Callable[[], Any]) -> Any:
    """What `work` returns in a network namespace of its own that has our table."""
    return plans.alone(work, nat.table())


def rules() -> str:
    return subprocess.run(["nft", "-s", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def elements(name: str, kind: str = "map") -> str:
    """What one map or set holds, as nft prints it."""
    command = ["nft", "list", kind, "ip", TABLE, name]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return " ".join(printed.partition("elements = {")[2].partition("}")[0].split())


PUBLISHED = [
    Publication("tcp", "", 8080, "172.17.0.2", 80),
    Publication("udp", "0.0.0.0", 53, "172.17.0.3", 5353),
    Publication("tcp", "127.0.0.1", 8080, "172.17.0.4", 81),
    Publication("udp", "10.1.2.3", 65535, "172.17.0.5", 1),
]
ALL: list[Operation] = [
    *nat.masquerade("172.17.0.0/16", "kk0"),
    *nat.masquerade("172.18.0.0/20", "br-0", internal=True),
    *nat.masquerade("172.19.0.0/24", "br-1"),
    *nat.unmasquerade("172.19.0.0/24", "br-1"),
    *nat.publish(PUBLISHED),
    *nat.unpublish(PUBLISHED[1:2]),
    *nat.let_out(["172.17.0.2", "172.17.0.3", "172.18.0.2"]),
    *nat.keep_in(["172.17.0.3"]),
]


def test_the_same_typed_into_a_shell_gives_the_same() -> None:
    performed = alone(lambda: (perform(ALL), rules())[1])
    typed = alone(lambda: (type_in(ALL), rules())[1])
    assert performed == typed
    assert "8080 : 172.17.0.2 . 80" in performed
    assert "127.0.0.1 . 8080 : 172.17.0.4 . 81" in performed
    assert "elements = { 172.17.0.2, 172.18.0.2 }" in performed


def test_the_table_typed_is_the_table_performed() -> None:
    def typed() -> str:
        type_in(nat.table())
        return rules()

    assert plans.alone(typed) == alone(rules)


def test_the_rules_can_be_laid_again_over_what_the_maps_hold() -> None:
    def there() -> tuple[str, str]:
        perform(ALL)
        before = rules()
        perform([*nat.table(), *nat.masquerade("172.17.0.0/16", "kk0")])
        return before, rules()

    before, after = alone(there)
    assert before == after


def test_what_was_published_can_be_taken_back() -> None:
    def there() -> tuple[str, str]:
        before = rules()
        perform(nat.publish(PUBLISHED))
        perform(nat.unpublish(PUBLISHED))
        return before, rules()

    before, after = alone(there)
    assert before == after


def test_everything_can_be_taken_back() -> None:
    assert alone(lambda: (perform(ALL), perform(nat.remove_table()), rules())[2]) == ""


def test_neighbours_are_one_transaction() -> None:
    plan = [AddMapElement(TABLE, "tcp_ports", str(port), "172.17.0.2 . 80") for port in (1, 2, 3)]
    ends = alone(lambda: (AddMapElement.perform_together(plan), elements("tcp_ports")))
    assert ends == ([None] * 3, "1 : 172.17.0.2 . 80, 2 : 172.17.0.2 . 80, 3 : 172.17.0.2 . 80")


def test_one_that_is_taken_keeps_the_others_out() -> None:
    def there() -> Any:
        WEB.perform()
        plan = [AddMapElement(TABLE, "tcp_ports", port, "172.17.0.9 . 9") for port in ("1", "8080", "3")]
        ends = AddMapElement.perform_together(plan)
        return [(error.errno, error.filename) if error else None for error in ends], elements("tcp_ports")

    ends, held = alone(there)
    assert ends == [None, (errno.EEXIST, f"8080 in map tcp_ports of table {TABLE}"), None]
    assert held == "8080 : 172.17.0.2 . 80"


def test_a_set_has_an_address_or_has_it_not() -> None:
    plan = [AddSetElement(TABLE, nat.MASQUERADED, f"172.17.0.{number}") for number in (2, 2, 3)]
    gone = [DeleteSetElement(TABLE, nat.MASQUERADED, f"172.17.0.{number}") for number in (2, 9)]

    def there() -> Any:
        added = AddSetElement.perform_together(plan)
        held = elements(nat.MASQUERADED, "set")
        return added, held, DeleteSetElement.perform_together(gone), elements(nat.MASQUERADED, "set")

    assert alone(there) == ([None] * 3, "172.17.0.2, 172.17.0.3", [None] * 2, "172.17.0.3")


def test_processes_that_share_a_socket_do_not_read_each_others_answers() -> None:
    """As containers' first processes do; some are killed at any instant, and what they did not read is nobody's."""

    def work(first: int, rounds: int) -> None:
        for port in range(first, first + rounds):
            element = AddMapElement(TABLE, "tcp_ports", str(port), "172.17.0.2 . 80", where="host")
            element.perform()
            with pytest.raises(FileExistsError, match=f"{port} in map"):
                element.perform()

    def there() -> Any:
        netlink.open_shared_socket()
        pids = []
        for number in range(1, 9):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    work(number * 1000, 10_000 if number > 6 else 100)
                    code = 0
                finally:
                    os._exit(code)
            pids.append(pid)
        ends = [os.waitpid(pid, 0)[1] for pid in pids[:6]]
        for pid in pids[6:]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        work(100, 10)
        return ends

    assert alone(there) == [0] * 6


def test_whether_there_is_a_set() -> None:
    asked = [(TABLE, nat.MASQUERADED), (TABLE, "nosuch"), ("nosuch", nat.MASQUERADED)]

    def there() -> list[bool]:
        return [nft_show.has_set(*each, where) for each in asked for where in ("", "host")]

    assert alone(there) == [True, True, False, False, False, False]


def test_what_is_held_is_read_as_it_is_written() -> None:
    def there() -> Any:
        perform(ALL)
        many = [AddSetElement(TABLE, nat.MASQUERADED, f"10.0.{n // 250}.{n % 250}") for n in range(2000)]
        for start in range(0, 2000, 200):
            AddSetElement.perform_together(many[start : start + 200])
        names = ("tcp_ports", "tcp_at", "udp_at", "nosuch")
        return {name: nft_show.held(TABLE, name) for name in names}, len(nft_show.held(TABLE, nat.MASQUERADED, "host"))

    assert alone(there) == (
        {
            "tcp_ports": [("8080", "172.17.0.2 . 80")],
            "tcp_at": [("127.0.0.1 . 8080", "172.17.0.4 . 81")],
            "udp_at": [("10.1.2.3 . 65535", "172.17.0.5 . 1")],
            "nosuch": [],
        },
        2002,
    )


def test_more_than_fit_into_one_message_buffer() -> None:
    plan = [AddMapElement(TABLE, "tcp_ports", str(port), "172.17.0.2 . 80") for port in range(1, 1501)]
    gone = [DeleteMapElement(TABLE, "tcp_ports", str(port), "172.17.0.2 . 80") for port in range(1, 1501)]

    def there() -> Any:
        added = AddMapElement.perform_together(plan)
        held = elements("tcp_ports").count(":")
        return any(added), held, any(DeleteMapElement.perform_together(gone)), elements("tcp_ports")

    assert alone(there) == (False, 1500, False, "")


def test_one_that_is_not_there_is_already_gone() -> None:
    gone = DeleteMapElement(TABLE, "tcp_ports", "8080", "172.17.0.2 . 80")
    other = DeleteMapElement(TABLE, "tcp_ports", "8081", "172.17.0.2 . 80")

    def there() -> Any:
        gone.perform()
        WEB.perform()
        return DeleteMapElement.perform_together([other, gone]), elements("tcp_ports")

    assert alone(there) == ([None, None], "")


def test_through_the_hosts_socket_it_is_about_the_host() -> None:
    def there() -> Any:
        libc.unshare(libc.CLONE_NEWNET)
        perform([*nat.publish(PUBLISHED[:1]), *nat.masquerade("172.17.0.0/16", "kk0", where="host")])
        own = rules()
        host = netlink.namespace(netlink.HOST_NETFILTER)
        command = ["nsenter", f"--net=/proc/self/fd/{host}", "nft", "list", "ruleset"]
        return own, subprocess.run(command, capture_output=True, text=True, check=True, pass_fds=(host,)).stdout

    own, host = alone(there)
    assert own == ""
    assert "8080 : 172.17.0.2 . 80" in host
    assert '"kk0" . "kk0"' in host


@pytest.mark.parametrize(
    ("operation", "number", "words"),
    [
        (AddMapElement("nosuch", "tcp_ports", "1", "1.2.3.4 . 1"), errno.ENOENT, "1 in map tcp_ports of table nosuch"),
        (AddMapElement(TABLE, "nosuch", "1", "1.2.3.4 . 1"), errno.ENOENT, f"1 in map nosuch of table {TABLE}"),
        (RunNft("add rule ip nosuch some accept"), errno.ENOENT, "No such file or directory.*add rule ip nosuch some"),
        (RunNft("add nonsense"), errno.EINVAL, "syntax error"),
    ],
    ids=["table", "map", "rule", "syntax"],
)
def test_a_refusal_says_what_and_why(operation: Operation, number: int, words: str) -> None:
    with pytest.raises(OSError, match=words) as refused:
        alone(operation.perform)
    assert refused.value.errno == number


def test_nft_is_found_where_a_users_path_does_not_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    alone(lambda: None)


def test_without_nft_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(nft, "SBIN", "/nowhere")
    with pytest.raises(FileNotFoundError, match="install nftables"):
        RunNft("list ruleset").perform()
