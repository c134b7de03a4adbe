"""What the README says to type is typed, line by line, in a terminal of a machine that has nothing yet."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pexpect

from tests.conftest import ROOT, Kernelkit
from tests.patience import wait_until

SETTINGS = ("export ", "eval ")


def commands() -> Iterator[str]:
    """The lines behind a `$`, without what is said about them."""
    for block in re.findall(r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S):
        yield from re.findall(r"^\$ (.*?)(?:\s+# .*)?$", block, re.M)


def typed(kk: Kernelkit, line: str) -> tuple[int, str]:
    """The exit code and the output of a line typed into a terminal; what opens a shell is left with `exit`."""
    child = kk.terminal(["bash", "-c", line], (50, 200))
    if "--step" in line:
        child.expect_exact("Enter:")
        child.send("c")
    if re.search(r" -it |kernelkit shell", line):
        child.expect(r"[#$] ")
        child.sendline("exit")
    child.expect(pexpect.EOF)
    said = str(child.before)
    child.wait()
    child.close()
    assert child.exitstatus is not None
    return child.exitstatus, said


def test_what_the_readme_says_to_type_works(kk_alone: Kernelkit) -> None:
    settings = ""
    for command in commands():
        if command.startswith(SETTINGS):
            settings += f"{command}; "
            continue
        # A Debian is made of packages from a mirror, and this machine has no network.
        line = settings + re.sub(r"\bdebian\b", "bash", command)
        if command.startswith("curl "):  # the server may take a moment, and a person takes it
            wait_until(lambda: typed(kk_alone, line)[0] == 0)  # noqa: B023
        code, said = typed(kk_alone, line)
        assert code == 0, f"`{command}` left with {code}: {said}"
    assert settings.count(";") >= 2
