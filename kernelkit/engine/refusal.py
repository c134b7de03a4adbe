"""What the kernel refused, in the words of Docker's runtime."""

from __future__ import annotations

import json
import os


def chdir(path: str, errno: int) -> str:
    """A working directory that cannot be entered."""
    return f"chdir to cwd ({json.dumps(path)}) set in config.json failed: {os.strerror(errno).lower()}"
