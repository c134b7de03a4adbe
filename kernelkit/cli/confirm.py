"""The question before something is removed that cannot be brought back."""

from __future__ import annotations

from kernelkit.cli.output import Failure, write
from kernelkit.cli.terminal import read_line


def confirm(warning: str) -> None:
    """Ask on standard input whether to go on; unless the answer is yes, the command ends here, and well."""
    write(f"{warning}\nAre you sure you want to continue? [y/N] ")
    try:
        answer = read_line(0)
    except KeyboardInterrupt:
        write("\n")
        raise
    if answer.strip().lower() not in (b"y", b"yes"):
        raise Failure("", 0)
