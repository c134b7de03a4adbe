"""Writes a `kernelkit` command that starts in half the time of the one pip makes.

    python -m kernelkit.cli.launcher .venv/bin/kernelkit

pip's command lets Python read `site`, every .pth file and the environment before it gets to us.  This one runs Python
with `-IS` (python(1)), which skips all that, and names the two folders that imports need.  `make install` uses it.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

# execve(2): Linux cuts a #! line at 255 bytes and older kernels at 127, and it has no way to quote a blank.
LONGEST_SHEBANG = 127


def launcher(python: str, checkout: str, packages: str) -> str:
    """The text of the command; empty if a #! line cannot hold the path of this Python."""
    shebang = f"#!{python} -IS"
    if " " in python or len(shebang) > LONGEST_SHEBANG:
        return ""
    return "\n".join(
        [
            shebang,
            "import sys",
            f"sys.path[:0] = [{checkout!r}]",
            f"sys.path.append({packages!r})",
            "from kernelkit.cli.main import main",
            "sys.exit(main())",
            "",
        ]
    )


def main() -> int:
    """Write the command to the path given, or leave what is there if the short form cannot work here."""
    checkout = Path(__file__).resolve().parents[2]
    text = launcher(sys.executable, str(checkout), sysconfig.get_path("purelib"))
    if text:
        path = Path(sys.argv[1])
        new = path.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o755)
        new.rename(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
