"""The Docker Engine API as its own description has it, asked with raw HTTP and with PyPI's `docker`."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests import schema
from tests.conftest import Kernelkit
from tests.e2e.conftest import Api
from tests.patience import wait_until

described = pytest.mark.skipif(not schema.available(), reason="needs the description of the API in specs/")


@pytest.fixture
def running(api: Api) -> str:
    """A container that runs, with a volume, a label and a published port."""
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "1000"],
        "Labels": {"a": "b"},
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"Binds": ["vol1:/data"], "PortBindings": {"80/tcp": [{"HostPort": ""}]}},
    }
    _, made = api.ask("POST", "/containers/create", body, name="running")
    assert api.ask("POST", f"/containers/{made['Id']}/start") == (204, b"")
    return str(made["Id"])


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/version", {}),
        ("/info", {}),
        ("/containers/json", {"all": 1, "size": 1}),
        ("/containers/{id}/json", {"size": 1}),
        ("/containers/{id}/top", {}),
        ("/containers/{id}/stats", {"stream": 0, "one-shot": 1}),
        ("/images/json", {"shared-size": 1}),
        ("/images/{name}/json", {}),
        ("/images/{name}/history", {}),
        ("/volumes", {}),
        ("/volumes/{name}", {}),
        ("/networks", {}),
        ("/networks/{id}", {}),
        ("/system/df", {}),
    ],
)
@pytest.mark.parametrize("version", schema.VERSIONS)
@described
def test_answers_are_as_described(api: Api, running: str, path: str, query: dict[str, Any], version: str) -> None:
    names = {"/images": "busybox", "/volumes": "vol1", "/networks": "bridge"}
    name = next((value for prefix, value in names.items() if path.startswith(prefix)), running)
    status, answer = api.ask("GET", f"/{version}{path.format(id=name, name=name)}", **query)

    assert status == 200
    schema.check(answer, "GET", path, version=version)


@described
def test_inspect_has_every_field_that_docker_s_has(api: Api, running: str) -> None:
    golden = json.loads((schema.SPECS.parent / "golden/inspect-running.json").read_text())[0]
    _, found = api.ask("GET", f"/v1.41/containers/{running}/json")
    # Gone from Docker itself since.
    gone = {"KernelMemory", "KernelMemoryTCP"}

    def compare(ours: Any, theirs: Any, where: str) -> None:
        if isinstance(theirs, dict) and where not in (
            ".Config.Labels",
            ".NetworkSettings.Ports",
            ".HostConfig.PortBindings",
        ):
            missing = theirs.keys() - ours.keys() - gone
            assert not missing, f"{where} lacks {missing}"
            for key in theirs.keys() & ours.keys():
                compare(ours[key], theirs[key], f"{where}.{key}")
        elif theirs is not None and ours is not None:
            assert type(ours) is type(theirs), where

    compare(found, golden, "")


def test_wait_answers_its_head_at_once_and_its_body_at_the_end(api: Api, shared_kk: Kernelkit) -> None:
    body = {"Image": "busybox", "Cmd": ["sh", "-c", "sleep 0.3; exit 4"]}
    _, made = api.ask("POST", "/containers/create", body)
    other = Api(shared_kk)
    other.request("POST", f"/containers/{made['Id']}/wait?condition=next-exit")
    answer = other.getresponse()
    assert answer.status == 200
    api.ask("POST", f"/containers/{made['Id']}/start")
    found = json.loads(answer.read())
    assert found == {"StatusCode": 4}
    status, error = api.ask("POST", f"/containers/{made['Id']}/wait", condition="nosuch")
    assert (status, error["message"]) == (400, 'invalid condition: "nosuch"')


def test_attach_without_upgrade_gives_frames_on_the_same_connection(api: Api, shared_kk: Kernelkit) -> None:
    body = {"Image": "busybox", "Cmd": ["sh", "-c", "echo out; echo err >&2"]}
    _, made = api.ask("POST", "/containers/create", body)
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(str(shared_kk.socket))
    stream.sendall(
        f"POST /containers/{made['Id']}/attach?stream=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += stream.recv(1)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"application/vnd.docker.multiplexed-stream" in head
    api.ask("POST", f"/containers/{made['Id']}/start")
    content = b""
    while piece := stream.recv(4096):
        content += piece
    frames = {}
    while content:
        kind, length = struct.unpack(">BxxxI", content[:8])
        frames[kind], content = content[8 : 8 + length], content[8 + length :]
    assert frames == {1: b"out\n", 2: b"err\n"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("GET", "/containers/nosuch/json", None, 404, "No such container: nosuch"),
        ("GET", "/images/nosuch/json", None, 404, "No such image: nosuch:latest"),
        ("GET", "/exec/nosuch/json", None, 404, "No such exec instance: nosuch"),
        ("GET", "/volumes/nosuch", None, 404, "get nosuch: no such volume"),
        ("GET", "/networks/nosuch", None, 404, "network nosuch not found"),
        ("GET", "/nosuch", None, 404, "page not found"),
        ("POST", "/containers/create", None, 400, "config cannot be empty in order to create a container"),
        ("POST", "/containers/create", {"Image": "nosuch", "Cmd": ["x"]}, 404, "No such image: nosuch:latest"),
        ("POST", "/containers/create", {"Image": "busybox", "Cmd": 3}, 400, "'Cmd' should be a list of strings"),
        ("GET", "/containers/json?filters=nonsense", None, 400, "invalid filter"),
        ("PUT", "/containers/json", None, 405, "method PUT is not allowed"),
        ("GET", "/v1.99/info", None, 400, "client version 1.99 is too new. Maximum supported API version is 1.50"),
    ],
)
def test_errors_have_docker_s_status_and_words(
    api: Api, method: str, path: str, body: Any, status: int, message: str
) -> None:
    found, answer = api.ask(method, path, body)

    assert found == status
    assert message in answer["message"]
    assert list(answer) == ["message"]


def test_start_and_stop_twice_is_not_modified(api: Api, running: str) -> None:
    assert api.ask("POST", f"/containers/{running}/start")[0] == 304
    assert api.ask("POST", f"/containers/{running}/stop", t=0)[0] == 204
    assert api.ask("POST", f"/containers/{running}/stop", t=0)[0] == 304


def test_a_client_that_vanishes_in_the_middle_harms_nobody(api: Api, shared_kk: Kernelkit, running: str) -> None:
    for path in (f"/containers/{running}/logs?follow=1&stdout=1", f"/containers/{running}/stats", "/events"):
        for _ in range(5):
            other = Api(shared_kk)
            other.request("GET", path)
            other.getresponse()
            other.close()
    for _ in range(5):
        other = Api(shared_kk)
        other.request("POST", f"/containers/{running}/wait")
        other.close()
    assert api.ask("GET", "/_ping") == (200, b"OK")
    wait_until(lambda: api.ask("GET", "/info")[1]["NEventsListener"] == 0)


def test_a_follower_of_the_record_who_says_no_more_hears_what_has_been(
    api: Api, shared_kk: Kernelkit, running: str
) -> None:
    follower = Api(shared_kk)
    follower.request("GET", "/kernelkit/trace?follow=1")
    answer = follower.getresponse()
    api.ask("POST", f"/containers/{running}/stop", t=0)
    follower.sock.shutdown(socket.SHUT_WR)
    steps = [json.loads(line) for line in answer.read().splitlines()]
    follower.close()
    assert "RemoveCgroup" in [step["operation"] for step in steps if step["container"] == running]


# the `docker` package ---------------------------------------------------------------------------------------------


@pytest.fixture
def client(shared_kk: Kernelkit) -> Iterator[docker.DockerClient]:
    made = docker.DockerClient(base_url=f"unix://{shared_kk.socket}")
    yield made
    for container in made.containers.list(all=True):
        container.remove(force=True, v=True)
    made.close()


def test_the_docker_package_runs_and_reads(client: docker.DockerClient) -> None:
    assert client.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"
    with pytest.raises(docker.errors.ContainerError) as failed:
        client.containers.run("busybox", ["sh", "-c", "echo no >&2; exit 3"], remove=True)
    assert (failed.value.exit_status, failed.value.stderr) == (3, b"no\n")
    with pytest.raises(docker.errors.NotFound, match="No such container: nosuch"):
        client.containers.get("nosuch")


def test_the_docker_package_lives_with_a_container(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True, name="py", labels={"x": "y"}, tty=True)
    assert [c.name for c in client.containers.list(filters={"label": "x=y"})] == ["py"]
    # The package loses what comes in one piece with the head of the answer: it may have to ask again.
    both = ["sh", "-c", "echo out; echo err >&2"]
    wait_until(lambda: container.exec_run(both, demux=True).output == (b"out\n", b"err\n"))
    assert container.exec_run("sh -c 'exit 6'").exit_code == 6
    count = ["sh", "-c", "for i in 1 2 3; do echo $i; done"]
    wait_until(lambda: b"".join(container.exec_run(count, stream=True).output) == b"1\n2\n3\n")
    assert container.stats(stream=False)["pids_stats"]["current"] == 1
    assert container.top()["Processes"][0][-1] == "sleep 1000"
    container.pause()
    container.reload()
    assert container.status == "paused"
    container.unpause()
    container.rename("renamed")
    container.update(mem_limit="64m")
    container.stop(timeout=0)
    assert container.wait()["StatusCode"] == 137
    container.remove()
    assert client.containers.list(all=True) == []


def test_the_docker_package_follows_logs_and_events(client: docker.DockerClient) -> None:
    events = client.events(decode=True, filters={"type": "container"})
    container = client.containers.run("busybox", ["sh", "-c", "echo 1; sleep 0.2; echo 2"], detach=True)
    assert list(container.logs(stream=True, follow=True)) in ([b"1\n", b"2\n"], [b"1\n2\n"])
    assert container.wait()["StatusCode"] == 0
    seen = []
    for event in events:
        seen.append(event["Action"])
        if event["Action"] == "die":
            break
    events.close()
    assert seen == ["create", "start", "die"]


def test_the_docker_package_knows_images(client: docker.DockerClient) -> None:
    image = client.images.get("busybox")
    assert image.tags == ["busybox:latest"]
    assert image.tag("mine", "1")
    assert {tag for i in client.images.list() for tag in i.tags} >= {"busybox:latest", "mine:1"}
    client.images.remove("mine:1")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("mine:1")
    assert image.history()[0]["Id"] == image.id
