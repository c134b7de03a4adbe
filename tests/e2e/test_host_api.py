"""What lessons and checks ask: facts of the practice host, its tools, operations performed in it or in a container."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Kernelkit
from tests.e2e.conftest import Api
from tests.e2e.test_script import in_host
from tests.patience import wait_until


@pytest.fixture
def container(api: Api, shared_kk: Kernelkit) -> str:
    return shared_kk.docker(
        "run", "-d", "--name", "looked-at", "-h", "inside", "busybox", "sleep", "1000"
    ).stdout.strip()


def test_the_host_tells_what_it_is(api: Api, shared_kk: Kernelkit) -> None:
    status, found = api.ask("GET", "/kernelkit/host")

    assert status == 200
    assert (found["mode"], found["home"]) == ("real" if shared_kk.machine else "practice", str(shared_kk.home))
    assert found["hostname"] == in_host(shared_kk, "hostname").strip()
    assert found["bridge"]["subnet"] == "172.17.0.0/16"
    assert "172.17.0.1/16" in in_host(shared_kk, "ip", "-o", "address", "show", found["bridge"]["name"])
    if found["mode"] == "practice":
        assert f"{found['uplink']['inner']}/" in in_host(shared_kk, "ip", "-o", "address", "show", "uplink")
    assert found["cgroups"]["hierarchies"]
    assert found["table"] in in_host(shared_kk, "nft", "list", "tables")


def test_tools_run_in_the_host(api: Api, shared_kk: Kernelkit) -> None:
    _, answer = api.ask("POST", "/kernelkit/shell", {"args": ["hostname"]})
    assert answer == {"code": 0, "stdout": in_host(shared_kk, "hostname"), "stderr": ""}
    bridge = api.ask("GET", "/kernelkit/host")[1]["bridge"]["name"]
    _, links = api.ask("POST", "/kernelkit/shell", {"args": ["ip", "-j", "link", "show", bridge]})
    assert json.loads(links["stdout"])[0]["ifname"] == bridge
    _, copied = api.ask("POST", "/kernelkit/shell", {"args": ["cat"], "input": "typed"})
    assert copied["stdout"] == "typed"
    _, failed = api.ask("POST", "/kernelkit/shell", {"args": ["sh", "-c", "echo no >&2; exit 3"]})
    assert (failed["code"], failed["stderr"]) == (3, "no\n")


def test_tools_run_in_a_container_s_namespaces(api: Api, container: str, shared_kk: Kernelkit) -> None:
    def ask(*words: str, kinds: tuple[str, ...] = ()) -> str:
        body = {"args": list(words), "container": container, "kinds": list(kinds)}
        status, answer = api.ask("POST", "/kernelkit/shell", body)
        assert status == 200, answer
        return str(answer["stdout"])

    assert ask("hostname") == "inside\n"
    assert "172.17.0." in ask("ip", "-o", "address", "show", "eth0")
    assert ask("hostname", kinds=("net",)) == in_host(shared_kk, "hostname")
    pid = ask("sh", "-c", "echo $CONTAINER_PID").strip()
    assert in_host(shared_kk, "cat", f"/proc/{pid}/comm") == "sleep\n"
    assert ask("cat", "/etc/hostname", kinds=("mount",)) == "inside\n"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"args": ["no-such-program"]}, 404, "the practice host has no program 'no-such-program'"),
        ({"args": []}, 400, "'args' should be a list of strings"),
        ({"args": ["true"], "container": "nosuch"}, 404, "No such container: nosuch"),
        ({"args": ["true"], "kinds": ["time"]}, 400, "there is no namespace 'time'"),
    ],
)
def test_what_cannot_be_run_is_refused(api: Api, body: dict[str, object], status: int, said: str) -> None:
    found, answer = api.ask("POST", "/kernelkit/shell", body)

    assert found == status
    assert said in answer["message"]


def test_operations_are_performed_in_a_container_and_recorded(api: Api, container: str, shared_kk: Kernelkit) -> None:
    plan = [
        {"operation": "SetHostname", "fields": {"name": "changed"}},
        {"operation": "AddAddress", "fields": {"link": "lo", "address": "127.0.0.9/8"}},
        {"operation": "SetHostname", "fields": {"name": "x" * 100}},
        {"operation": "SetHostname", "fields": {"name": "never"}},
    ]
    status, answer = api.ask(
        "POST", "/kernelkit/perform", {"stage": "lesson", "operations": plan, "container": container}
    )
    assert status == 200, answer
    steps = answer["steps"]
    assert [step["operation"] for step in steps] == ["EnterNamespaces", "SetHostname", "AddAddress", "SetHostname"]
    assert [step["error"] for step in steps] == ["", "", "", "Invalid argument"]
    assert steps[1]["shell"] == "hostname changed"
    assert {step["stage"] for step in steps} == {"lesson"}
    assert shared_kk.docker("exec", container, "hostname").stdout == "changed\n"
    assert in_host(shared_kk, "hostname") != "changed\n"
    _, record = api.ask("GET", f"/kernelkit/trace/{container}")
    assert [step["operation"] for step in record if step["stage"] == "lesson"] == [s["operation"] for s in steps]


def test_operations_are_performed_in_the_host(api: Api, shared_kk: Kernelkit) -> None:
    plan = [
        {"operation": "AddBridge", "fields": {"name": "lesson0"}},
        {"operation": "AddAddress", "fields": {"link": "lesson0", "address": "10.9.9.1/24"}},
    ]
    _, answer = api.ask("POST", "/kernelkit/perform", {"operations": plan})
    assert [step["error"] for step in answer["steps"] if step["stage"] == "lesson"][-2:] == ["", ""]
    assert "10.9.9.1/24" in in_host(shared_kk, "ip", "-o", "address", "show", "lesson0")
    api.ask("POST", "/kernelkit/perform", {"operations": [{"operation": "DeleteLink", "fields": {"name": "lesson0"}}]})
    assert in_host(shared_kk, "ip", "-o", "link", "show", "lesson0") == ""


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ({"operation": "NoSuch"}, "there is no operation 'NoSuch'"),
        ({"operation": "SetHostname", "fields": {"nme": "x"}}, "'SetHostname' has no field 'nme'"),
        ({"operation": "SetHostname", "fields": {}}, "'SetHostname' cannot be made of these fields"),
        ("SetHostname", "an operation is"),
    ],
)
def test_an_operation_that_is_none_is_refused(api: Api, operation: object, said: str) -> None:
    status, answer = api.ask("POST", "/kernelkit/perform", {"operations": [operation]})

    assert status == 400
    assert said in answer["message"]


def test_the_oci_configuration_is_kept_beside_the_record(container: str, shared_kk: Kernelkit) -> None:
    folder = shared_kk.home / "containers" / container
    wait_until((folder / "config.json").exists)  # it is written off the path of the request
    found = json.loads((folder / "config.json").read_text())
    assert (found["ociVersion"], found["process"]["args"], found["hostname"]) == ("1.0.2", ["sleep", "1000"], "inside")
    lines = [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert set(lines[-1]) == {
        "seq", "stage", "actor", "where", "operation", "fields", "shell", "started", "seconds", "error",
    }  # fmt: skip
