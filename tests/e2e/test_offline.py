"""With no network at all: what comes anyway, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Kernelkit


def test_the_embedded_images_come_and_of_others_it_is_said_what_would_help(kk_alone: Kernelkit) -> None:
    assert kk_alone("run", "--rm", "busybox", "echo", "here").stdout == "here\n"
    other = kk_alone("pull", "nosuch", check=False)
    assert other.returncode == 1
    assert other.stderr.startswith("Error response from daemon: no answer from registry 'registry-1.docker.io': ")
    assert other.stderr.endswith(
        "(without the internet there are busybox, bash, debian; KERNELKIT_REGISTRY_MIRRORS names mirrors)\n"
    )
    assert other.stderr.count("\n") == 1


def test_a_home_with_too_long_a_name_is_named(kk: Kernelkit) -> None:
    kk.env["KERNELKIT_HOME"] = str(Path("/dev/shm") / ("x" * 100))
    ran = kk("ps", check=False)
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "is longer than 107 bytes (choose a shorter KERNELKIT_HOME)" in ran.stderr
