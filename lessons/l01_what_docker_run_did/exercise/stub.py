"""What the student begins with: the same text as in the notebook."""

from kernelkit.kernel.ip import AddAddress, AddRoute, SetLinkUp


def give_address(link, address, gateway):
    """The plan that gives a container its place in the network."""
    return [
        # TODO: what the engine did in step 6
    ]
