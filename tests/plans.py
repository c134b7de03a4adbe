"""Plans in the real kernel: performed one operation after the other, or typed into a shell line by line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from kernelkit.kernel import libc, netlink
from kernelkit.trace import Operation
from tests.child import in_child


def perform(plan: Sequence[Operation]) -> None:
    """Ask the kernel for all of it, here and now; raises what the first one that is refused raises."""
    for operation in plan:
        operation.perform()


def type_in(plan: Sequence[Operation]) -> None:
    """Do the same by typing what the operations say."""
    script = "set -e\n" + "".join(f"{operation.shell()}\n" for operation in plan)
    subprocess.run(["sh", "-c", script], check=True)


def alone(work: Callable[[], Any], before: Sequence[Operation] = ()) -> Any:
    """What `work` returns in a network namespace of its own, whose sockets are the host's too, `before` performed."""

    def there() -> Any:
        libc.unshare(libc.CLONE_NEWNET)
        netlink.open_host_sockets()
        perform(before)
        return work()

    return in_child(there)
