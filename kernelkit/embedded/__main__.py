"""`python -m kernelkit.embedded prepare NAME… [--home DIR] [--background]`: make the embedded images.

Prints a line for each thing it does, exits 1 with one line when something is missing.  With `--background` it returns
at once, and what the making has to say goes to `embedded/prepare.log` in the home.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from kernelkit.embedded import recipes
from kernelkit.errors import KernelkitError


def default_home() -> Path:
    """Where everything is kept: `KERNELKIT_HOME`, else the place for root or for an ordinary user."""
    if home := os.environ.get("KERNELKIT_HOME"):
        return Path(home).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/kernelkit")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "kernelkit"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m kernelkit.embedded")
    verbs = parser.add_subparsers(dest="verb", required=True)
    prepare = verbs.add_parser("prepare", help="make the embedded images that have not been made yet")
    prepare.add_argument("names", nargs="*", default=["busybox", "bash"], metavar="NAME", help=", ".join(recipes.NAMES))
    prepare.add_argument("--home", type=Path, default=default_home())
    prepare.add_argument("--background", action="store_true", help="return at once")
    options = parser.parse_args(arguments)
    home: Path = options.home.absolute()
    try:
        if options.background:
            in_background(home, options.names)
        else:
            recipes.prepare(home, options.names, say=lambda line: print(line, flush=True))
    except KernelkitError as error:
        print(f"kernelkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as the shell counts
    return 0


def in_background(home: Path, names: list[str]) -> None:
    """Make images in a process of their own session, which outlives this one and its terminal."""
    if all(recipes.ready(home, name) for name in names):
        return
    folder = recipes.directory(home)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "kernelkit.embedded", "prepare", *names, "--home", str(home)]
    with (folder / "prepare.log").open("ab") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


if __name__ == "__main__":
    sys.exit(main())
