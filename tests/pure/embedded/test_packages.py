"""Finding a program: what counts as static, and what is said when there is none."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from kernelkit.embedded.packages import Wanted, find, is_static, last_complaint
from kernelkit.errors import Unavailable

PT_LOAD, PT_INTERP = 1, 3


def elf(*segments: int) -> bytes:
    """A 64-bit little-endian program with these segments, and nothing in them."""
    head = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    )
    return head + b"".join(struct.pack("<I", kind) + bytes(52) for kind in segments)


def test_a_program_without_an_interpreter_is_static() -> None:
    assert is_static(elf(PT_LOAD, PT_LOAD))
    assert not is_static(elf(PT_LOAD, PT_INTERP))


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", elf(), elf(PT_LOAD)[:66], b"\x7fELF"])
def test_what_is_no_program_is_not_static(content: bytes) -> None:
    assert not is_static(content)


def test_an_installed_program_is_used_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_bytes(elf(PT_LOAD))
    said: list[str] = []
    program = find(Wanted("tool-static", ("bin/tool",), tmp_path), tmp_path, say=said.append)
    assert program.content == elf(PT_LOAD)
    assert said == []


def test_without_program_and_package_tools_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable) as caught:
        find(Wanted("tool-static", ("bin/tool",), tmp_path), tmp_path, say=print)
    assert "'dpkg-deb' is not installed" in caught.value.message
    assert "'tool-static'" in caught.value.message
    assert caught.value.hint == "apt-get install tool-static"


def test_of_a_tool_s_output_the_first_error_is_the_reason() -> None:
    said = "W: be warned\nE: Unable to locate package nosuch\nE: another\n"
    assert last_complaint(said) == "Unable to locate package nosuch"
    assert last_complaint("dpkg-deb: error: no such file\n") == "dpkg-deb: error: no such file"
    assert last_complaint("") == ""
