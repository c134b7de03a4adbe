"""kernelkit: a container engine that remembers every request it makes to the kernel."""

__version__ = "0.1.0"
