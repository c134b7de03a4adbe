"""What a container is told of those it is linked to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from kernelkit.engine import links
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import InvalidRequest, KernelkitError, NotFound


class Book:
    """The containers of an engine."""

    def __init__(self, *known: Container) -> None:
        self._known = known

    def containers(self) -> list[Container]:
        return list(self._known)

    def container(self, word: str) -> Container:
        for container in self._known:
            if word in (container.id, container.name):
                return container
        raise NotFound(f"No such container: {word}")


def container(name: str, linked: list[str] | None = None, mode: str = "default", **config: Any) -> Container:
    networks = {} if mode == "host" else {"bridge": {"IPAddress": f"172.17.0.{len(name)}"}}
    host = {"NetworkMode": mode, "Links": linked}
    made = Container(f"id-{name}", name, "", "i", "i", {"Hostname": f"h-{name}", **config}, host, networks)
    made.state.status = "running"
    return made


def engine(*known: Container) -> Engine:
    return cast(Engine, SimpleNamespace(state=Book(*known), linked=None))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("db", ("db", "db")),
        ("db:alias", ("db", "alias")),
        ("/db:/web/alias", ("db", "alias")),
    ],
)
def test_a_link_is_a_name_and_an_alias(text: str, meant: tuple[str, str]) -> None:
    assert links.parse(text) == meant


def test_links_are_kept_by_id_and_shown_by_name() -> None:
    db = container("db")
    web = container("web", ["id-db:alias", "id-gone:other"])
    there = engine(db, web)

    assert links.resolve(there, {"NetworkMode": "default", "Links": ["db:alias"]}) == ["id-db:alias"]
    assert links.shown(there, web) == ["/db:/web/alias"]
    assert links.shown(there, db) is None
    assert links.names(there, db) == ["/web/alias"]
    assert links.names(there, web) == []


def test_in_a_network_of_one_s_own_they_are_the_endpoint_s() -> None:
    assert links.resolve(engine(), {"NetworkMode": "mine", "Links": ["db"]}) is None


@pytest.mark.parametrize(
    ("mode", "link", "said"),
    [
        ("default", "a:b:c", "bad format for links: a:b:c"),
        ("default", "", "empty string specified for links"),
        ("default", "nosuch:x", "could not get container for nosuch: No such container: nosuch"),
        ("default", "open", "conflicting options: host type networking can't be used with links"),
        ("host", "db", "conflicting options: host type networking can't be used with links"),
        ("container:x", "db", "conflicting options: container type network can't be used with links"),
    ],
)
def test_what_cannot_be_linked_is_refused(mode: str, link: str, said: str) -> None:
    there = engine(container("db"), container("open", mode="host"))
    with pytest.raises(InvalidRequest) as refused:
        links.resolve(there, {"NetworkMode": mode, "Links": [link]})
    assert refused.value.message.startswith(said)


def test_hosts_have_the_alias_the_host_name_and_the_name() -> None:
    db = container("db")

    assert links.hosts(engine(db), container("web", ["id-db:alias"])) == ["alias h-db db=172.17.0.2"]
    assert links.hosts(engine(db), container("web", ["id-db:db"])) == ["db h-db=172.17.0.2"]


def test_the_variables_of_a_link_are_docker_s() -> None:
    ports = ["53/udp", "8081/tcp", "80/tcp", "8080/tcp"]
    found = links.variables("/web/my-db", "172.17.0.2", ports, ["A=1=2", "PATH=/bin", "HOME=/", "UNSET"])

    def port(number: int, proto: str = "tcp") -> list[str]:
        prefix = f"MY_DB_PORT_{number}_{proto.upper()}"
        whole = f"{prefix}={proto}://172.17.0.2:{number}"
        return [whole, f"{prefix}_ADDR=172.17.0.2", f"{prefix}_PORT={number}", f"{prefix}_PROTO={proto}"]

    assert found == [
        "MY_DB_PORT=tcp://172.17.0.2:80",
        *(*port(80), *port(8080), *port(8081), *port(53, "udp")),
        "MY_DB_PORT_8080_TCP_START=tcp://172.17.0.2:8080",
        "MY_DB_PORT_8080_TCP_PORT_START=8080",
        "MY_DB_PORT_8080_TCP_END=tcp://172.17.0.2:8081",
        "MY_DB_PORT_8080_TCP_PORT_END=8081",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_A=1=2",
    ]
    assert links.variables("/web/db", "172.17.0.2", [], []) == ["DB_NAME=/web/db"]


def test_who_does_not_run_cannot_be_linked_to() -> None:
    db, web = container("db"), container("web", ["id-db:alias"])
    db.state.status = "exited"
    with pytest.raises(KernelkitError, match="Cannot link to a non running container: /db AS /web/alias"):
        links.environment(engine(db, web), web)


def test_who_is_elsewhere_cannot_be_linked_to() -> None:
    db, web = container("db"), container("web", ["id-db:alias"])
    db.networks = {"mine": {"IPAddress": "172.18.0.2"}}
    with pytest.raises(KernelkitError, match="Cannot link to /db, as it does not belong to the default network"):
        links.environment(engine(db, web), web)
