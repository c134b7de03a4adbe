"""What cannot be asked of a container is refused before anything is made, in Docker's words."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.engine import checks, settings
from kernelkit.errors import InvalidRequest, KernelkitError


def check(config: dict[str, Any] | None = None, host: dict[str, Any] | None = None) -> None:
    """Have a create request looked at that is in order but for this."""
    checks.settings(settings.config({"Cmd": ["true"], **(config or {})}, {}), settings.host_config(host or {}))


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ({"CgroupParent": "a\0b"}, "invalid cgroup parent: a path contains no null byte"),
        ({"IOMaximumIOps": 1}, "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps"),
        ({"IOMaximumBandwidth": 1}, "Invalid QoS settings"),
        (
            {"CpuRealtimePeriod": 100, "CpuRealtimeRuntime": 101},
            "real-time runtime cannot be higher than cpu real-time",
        ),
        ({"BlkioWeight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 5}]}, "invalid weight for device: /dev/sda:5"),
        ({"BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": -1}]}, "invalid rate for device: /dev/sda:-1"),
        ({"BlkioDeviceReadBps": [{"Path": "/dev/sda"}]}, "should be a list of objects with 'Path' and 'Rate'"),
        ({"BlkioDeviceReadBps": ["/dev/sda:1"]}, "should be a list of objects with 'Path' and 'Rate'"),
        ({"DeviceRequests": ["gpu"]}, "'DeviceRequests' should be a list of objects"),
        ({"SecurityOpt": ["nosuch=1"]}, 'invalid --security-opt 1: "nosuch=1"'),
        ({"SecurityOpt": ["seccomp=unconfined", "label"]}, 'invalid --security-opt 2: "label"'),
        ({"SecurityOpt": ["no-new-privileges=perhaps"]}, "true or false"),
        ({"SecurityOpt": ["apparmor=mine"]}, "'--security-opt apparmor=mine' is not supported by kernelkit"),
        ({"SecurityOpt": ["label=user:me"]}, "'--security-opt label=user:me' is not supported by kernelkit"),
        ({"Sysctls": {"kernel.panic": "1"}}, "sysctl 'kernel.panic' is not in a separate kernel namespace"),
        ({"Sysctls": {"kernel.core_pattern": "|/x"}}, "is not in a separate kernel namespace"),
        ({"Sysctls": {"net/../kernel/panic": "1"}}, "is not in a separate kernel namespace"),
        ({"Sysctls": {"net.core.somaxconn": "1"}, "NetworkMode": "host"}, "not allowed in host network namespace"),
        ({"Sysctls": {"kernel.msgmax": "1"}, "IpcMode": "host"}, "not allowed in host ipc namespace"),
        ({"Tmpfs": {"/x": "bogus"}}, r'invalid tmpfs option \["bogus"\] for /x'),
        ({"Tmpfs": {"/x": "size=abc"}}, 'invalid value for tmpfs option "size=abc" for /x'),
        ({"Tmpfs": {"/x": "mode=999"}}, 'invalid value for tmpfs option "mode=999" for /x'),
        ({"NanoCpus": 1_000_000}, "Range of CPUs is from 0.01 to"),
        ({"Memory": 1 << 20}, "Minimum memory limit allowed is 6MB"),
        ({"MemorySwap": 1 << 30}, "You should always set the Memory limit when using Memoryswap limit"),
        ({"PidMode": "bogus"}, "invalid Pid mode: bogus"),
        ({"RestartPolicy": {"Name": "always"}, "AutoRemove": True}, "can't create 'AutoRemove' container"),
    ],
)
def test_what_means_nothing_or_is_not_there_is_refused_by_name(host: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        check(host=host)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    [
        {},
        {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined", "apparmor=unconfined", "label=disable"]},
        {"SecurityOpt": ["no-new-privileges:true", 'seccomp={"defaultAction": "SCMP_ACT_ALLOW", "a": "b=c"}']},
        {"Sysctls": {"net.ipv4.ip_forward": "1", "kernel.shmmax": "1", "fs.mqueue.msg_max": "9"}},
        {"Tmpfs": {"/x": "size=64m,mode=1777,uid=3,noexec,ro,nr_inodes=1k", "/y": "", "/z": "size=50%"}},
        {"Memory": 64 << 20},
        {"CgroupParent": "/a/../b", "CpuRealtimePeriod": 100, "CpuRealtimeRuntime": 100},
        {"BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 0}], "DeviceRequests": [{"Count": -1}]},
    ],
)
def test_what_is_in_order_passes(host: dict[str, Any]) -> None:
    check(host=host)


def test_storage_options_are_refused_as_docker_s_driver_refuses_them() -> None:
    for options, said in (
        ({"size": "1G"}, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
        ({"Size": "nonsense"}, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
        ({"foo": "bar"}, "Unknown option foo"),
    ):
        with pytest.raises(KernelkitError) as refused:
            checks.storage({"StorageOpt": options})
        assert (str(refused.value), refused.value.status) == (said, 500)
    checks.storage({})


def test_swap_is_as_much_as_memory_unless_said_otherwise() -> None:
    assert settings.host_config({"Memory": 64 << 20})["MemorySwap"] == 128 << 20
    assert settings.host_config({"Memory": 64 << 20, "MemorySwap": -1})["MemorySwap"] == -1
    assert settings.host_config({})["MemorySwap"] == 0


def test_no_volumes_are_null_as_docker_has_it() -> None:
    """Whether nothing was said of them, or by Docker's client an empty object."""
    assert settings.config({"Cmd": ["true"], "Volumes": {}}, {})["Volumes"] is None
    assert settings.config({"Cmd": ["true"]}, {"Volumes": {"/data": {}}})["Volumes"] == {"/data": {}}
