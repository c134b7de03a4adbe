"""Docker's settings as an OCI runtime specification."""

from __future__ import annotations

from typing import Any

from kernelkit.container.security import DEFAULT
from kernelkit.container.spec import Facts, User, config

SETTINGS: dict[str, Any] = {"Cmd": ["httpd", "-f"], "Entrypoint": None, "Env": ["FOO=bar"], "Tty": False}


def facts(**more: Any) -> Facts:
    given: dict[str, Any] = {
        "id": "c0ffee",
        "hostname": "webhost",
        "root": "/c/merged",
        "user": User(),
        "capabilities": DEFAULT,
        "cgroup_path": "containers/c0ffee",
        "etc": {"/etc/hosts": "/c/hosts"},
    }
    return Facts(**{**given, **more})


def made(settings: dict[str, Any] | None = None, host: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return config({**SETTINGS, **(settings or {})}, host or {}, facts(**more))


def mount(spec: dict[str, Any], destination: str) -> dict[str, Any]:
    return next(entry for entry in spec["mounts"] if entry["destination"] == destination)


def test_without_options_it_is_what_docker_gives_its_runtime() -> None:
    spec = made()

    assert spec["hostname"] == "webhost"
    assert spec["process"]["args"] == ["httpd", "-f"]
    assert spec["process"]["env"] == [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME=webhost",
        "FOO=bar",
        "HOME=/root",
    ]
    assert spec["process"]["capabilities"]["bounding"] == list(DEFAULT)
    assert spec["process"]["capabilities"]["inheritable"] == []
    assert spec["process"]["noNewPrivileges"] is False
    assert [n["type"] for n in spec["linux"]["namespaces"]] == ["mount", "network", "uts", "pid", "ipc", "cgroup"]
    assert mount(spec, "/dev")["options"] == ["nosuid", "strictatime", "mode=755", "size=65536k"]
    assert mount(spec, "/sys")["options"] == ["nosuid", "noexec", "nodev", "ro"]
    assert mount(spec, "/sys/fs/cgroup")["options"] == ["ro", "nosuid", "noexec", "nodev"]
    assert mount(spec, "/dev/shm")["options"] == ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]
    assert mount(spec, "/etc/hosts") == {
        "destination": "/etc/hosts",
        "type": "bind",
        "source": "/c/hosts",
        "options": ["rbind", "rprivate"],
    }


def test_what_is_mounted_on_comes_before_what_is_mounted_in_it() -> None:
    inner = {"destination": "/data/in", "type": "bind", "source": "/a", "options": ["rbind"]}
    outer = {"destination": "/data", "type": "bind", "source": "/b", "options": ["rbind"]}
    places = [entry["destination"] for entry in made(mounts=[inner, outer])["mounts"]]

    assert places.index("/data") < places.index("/data/in")
    assert places.index("/sys") < places.index("/sys/fs/cgroup")


def test_with_the_host_s_network_its_sys_comes_without_its_cgroups() -> None:
    sys = mount(made(shared=frozenset(("network",))), "/sys")
    assert (sys["type"], sys["options"][0]) == ("bind", "bind")


def test_a_user_has_the_capabilities_only_within_reach() -> None:
    held = made(user=User(1000, 1000, (1000,), "/home/me"))["process"]["capabilities"]

    assert (held["bounding"], held["effective"], held["permitted"]) == (list(DEFAULT), [], [])


def test_privileged_opens_what_is_hidden_and_read_only() -> None:
    linux = made(host={"Privileged": True})["linux"]

    assert (linux["maskedPaths"], linux["readonlyPaths"]) == ([], [])
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert mount(made(host={"Privileged": True}), "/sys")["options"] == ["nosuid", "noexec", "nodev"]


def test_the_engine_s_files_are_read_only_when_the_rest_is() -> None:
    spec = made(host={"ReadonlyRootfs": True})

    assert spec["root"]["readonly"] is True
    assert "ro" in mount(spec, "/etc/hosts")["options"]


def test_shared_memory_is_as_large_as_wanted_somebody_else_s_or_not_there() -> None:
    assert "size=1048576" in mount(made(host={"ShmSize": 1 << 20}), "/dev/shm")["options"]
    assert mount(made(joined={"ipc": 77}), "/dev/shm")["source"] == "/proc/77/root/dev/shm"
    assert mount(made(shared=frozenset(("ipc",))), "/dev/shm")["source"] == "/dev/shm"
    places = [entry["destination"] for entry in made(host={"IpcMode": "none"})["mounts"]]
    assert "/dev/shm" not in places


def test_namespaces_are_joined_or_left_out() -> None:
    spec = made(joined={"network": 77}, shared=frozenset(("uts",)))

    assert {"type": "network", "path": "/proc/77/ns/net"} in spec["linux"]["namespaces"]
    assert "uts" not in [n["type"] for n in spec["linux"]["namespaces"]]
    assert spec["linux"]["sysctl"] == {}, "it is not ours to set"


def test_a_device_of_one_s_own_takes_the_place_of_a_usual_one() -> None:
    mine = {"path": "/dev/null", "type": "c", "major": 1, "minor": 5}
    devices = made(devices=[mine])["linux"]["devices"]

    assert [device for device in devices if device["path"] == "/dev/null"] == [mine]


def test_limits_are_those_that_were_asked_for() -> None:
    host = {"Memory": 64 << 20, "NanoCpus": 500_000_000, "CpuShares": 512, "PidsLimit": 20, "CpusetCpus": "0"}
    limits = made(host=host)["linux"]["resources"]

    assert limits["memory"] == {"limit": 64 << 20, "swap": 128 << 20}
    assert limits["cpu"] == {"shares": 512, "period": 100_000, "quota": 50_000, "cpus": "0"}
    assert limits["pids"] == {"limit": 20}
    assert set(made()["linux"]["resources"]) == {"devices"}


def test_limits_of_block_devices_go_with_the_weight_and_real_time_with_the_processor() -> None:
    rates = {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}]}
    host = {"BlkioWeight": 300, "CpuRealtimePeriod": 1000, "CpuRealtimeRuntime": 10}
    limits = made(host=host, block=rates)["linux"]["resources"]

    assert limits["blockIO"] == {"weight": 300, **rates}
    assert limits["cpu"] == {"realtimePeriod": 1000, "realtimeRuntime": 10}


def test_annotations_and_the_domain_are_handed_on() -> None:
    spec = made({"Domainname": "x.org"}, {"Annotations": {"a": "b"}})

    assert (spec["domainname"], spec["annotations"]) == ("x.org", {"a": "b"})
