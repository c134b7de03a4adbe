"""`kernelkit tour`: eight steps, each seen in the kernel, and nothing left when it is over."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect

from tests.conftest import Kernelkit

KERNELKIT = str(Path(sys.executable).with_name("kernelkit"))


def test_the_tour_sees_all_eight_steps_and_cleans_up(shared_kk: Kernelkit) -> None:
    toured = shared_kk("tour")
    assert toured.stdout.count("✓") == 8
    assert "✗" not in toured.stdout
    assert [f"{n}. " in toured.stdout for n in range(1, 9)] == [True] * 8
    assert toured.stdout.endswith("8 of 8 steps were seen in the kernel.\n")
    for shell in ("$ curl ", "$ hostname ", "$ mount -t overlay ", "$ ip link add ", "$ ip address add ", "$ nft "):
        assert shell in toured.stdout
    assert shared_kk("ps", "-aq").stdout == ""
    assert shared_kk("status").returncode == 0


def test_its_lines_fit_into_a_terminal_of_80_columns_and_are_coloured_only_there(shared_kk: Kernelkit) -> None:
    toured = shared_kk("tour").stdout
    assert "\x1b" not in toured
    # What cannot be broken, an address or a search path, may stick out.
    assert [line for line in toured.splitlines() if len(line) > 80 and " " in line.strip()] == []
    child = shared_kk.terminal([KERNELKIT, "tour"], (50, 80), {"NO_COLOR": ""})
    child.expect_exact("\x1b[1m1. ")
    child.expect_exact("ctrl-C leaves ")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()


def test_in_a_terminal_it_waits_for_enter(shared_kk: Kernelkit) -> None:
    child = shared_kk.terminal([KERNELKIT, "tour"], (50, 200), {"NO_COLOR": "1"})
    for number in range(1, 9):
        child.expect_exact(f"{number}. ")
        child.expect_exact("Enter ")
        assert child.expect([pexpect.TIMEOUT, "✓"], timeout=0.3) == 0
        child.sendline()
        child.expect_exact("✓")
    child.expect_exact("8 of 8 steps")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_leaving_in_the_middle_leaves_nothing(shared_kk: Kernelkit) -> None:
    child = shared_kk.terminal([KERNELKIT, "tour"])
    for number in range(1, 6):
        child.expect_exact(f"{number}. ")
        child.expect_exact("Enter ")
        if number < 5:
            child.sendline()
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert shared_kk("ps", "-aq").stdout == ""


def test_it_sees_the_same_on_the_machine_itself(kk_alone: Kernelkit) -> None:
    kk_alone.env["KERNELKIT_HOST"] = "real"
    toured = kk_alone("tour", check=False)
    assert toured.stdout.endswith("8 of 8 steps were seen in the kernel.\n")
    assert toured.returncode == 0


def test_a_host_that_it_booted_is_gone_afterwards(kk: Kernelkit) -> None:
    assert kk("tour").returncode == 0
    assert kk("status", check=False).returncode == 1
