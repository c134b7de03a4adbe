"""`--device`, `--gpus` and the limits of one block device, as the API has them."""

from __future__ import annotations

import pytest

from kernelkit.cli.devices import check_device_rule, device_rate, device_weight, gpu_request, split_devices


@pytest.mark.parametrize(
    ("text", "target", "mode"),
    [("/dev/a", "/dev/a", "rwm"), ("/dev/a:/dev/b", "/dev/b", "rwm"), ("/dev/a:r", "/dev/a", "r"),
     ("/dev/a:/dev/b:rw", "/dev/b", "rw")],
)  # fmt: skip
def test_a_device_has_a_place_and_a_mode(text: str, target: str, mode: str) -> None:
    device = {"PathOnHost": "/dev/a", "PathInContainer": target, "CgroupPermissions": mode}
    assert split_devices([text]) == ([device], [])


def test_a_device_that_a_driver_knows_by_name_is_asked_of_the_driver() -> None:
    devices, (request,) = split_devices(["vendor.com/class=name"])
    assert (devices, request["Driver"], request["DeviceIDs"]) == ([], "cdi", ["vendor.com/class=name"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dev", "dev is not an absolute path"),
        ("/a:/b:x", "bad mode specified: x"),
        ("/a:/b:r:w", "invalid device spec"),
    ],
)
def test_what_is_no_device_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        split_devices([text])


def test_all_gpus_or_some() -> None:
    assert (gpu_request("all")["Count"], gpu_request("2")["Count"]) == (-1, 2)
    some = gpu_request('"device=0,1",driver=nvidia,capabilities=compute')
    assert (some["DeviceIDs"], some["Driver"], some["Capabilities"]) == (["0", "1"], "nvidia", [["compute", "gpu"]])
    with pytest.raises(ValueError, match="unexpected key 'colour'"):
        gpu_request("colour=red")


def test_rates_are_in_bytes_or_operations_and_weights_between_10_and_1000() -> None:
    assert device_rate("/dev/sda:1mb", in_bytes=True) == {"Path": "/dev/sda", "Rate": 1 << 20}
    assert device_rate("/dev/sda:300", in_bytes=False) == {"Path": "/dev/sda", "Rate": 300}
    assert device_weight("/dev/sda:10") == {"Path": "/dev/sda", "Weight": 10}
    for text, in_bytes in (("/dev/sda:x", True), ("/dev/sda:1mb", False), ("sda:1", True), ("/dev/sda", True)):
        with pytest.raises(ValueError):
            device_rate(text, in_bytes=in_bytes)
    with pytest.raises(ValueError, match="invalid weight for device"):
        device_weight("/dev/sda:9")


@pytest.mark.parametrize("text", ["c 1:3", "x 1:3 r", "c 1 r", "c 1:3 rx", "c 1:x r"])
def test_a_rule_that_cannot_be_is_refused(text: str) -> None:
    check_device_rule("c 1:* rwm")
    with pytest.raises(ValueError, match="invalid device cgroup format"):
        check_device_rule(text)
