"""What a start does beside the container: volumes that are file systems, the /etc/hosts of who is linked to it."""

from __future__ import annotations

from kernelkit.engine import links, volume_mounts
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import OperationFailed
from kernelkit.kernel.mount_volume import MountVolume
from kernelkit.trace import Operation


def operations(engine: Engine, container: Container) -> tuple[Operation, ...]:
    """What the engine performs before the container is made; from now on its volumes are in use."""
    held = volume_mounts.hold(engine, container) if container.mounts else ()
    return (*held, *links.tell(engine, container))


def refused(operation: Operation, errno: int) -> OperationFailed | None:
    """Docker's words for such an operation that the kernel has refused; None for any other."""
    if isinstance(operation, MountVolume):
        return OperationFailed(volume_mounts.refused(operation, errno))
    return None
