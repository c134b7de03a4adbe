"""One answer that works."""

from __future__ import annotations

from kernelkit.kernel.ip import AddAddress, AddRoute, SetLinkUp
from kernelkit.trace import Operation


def give_address(link: str, address: str, gateway: str) -> list[Operation]:
    """Up first: the kernel takes no route through a link that is down."""
    return [SetLinkUp(link), AddAddress(link, address), AddRoute("default", gateway)]
