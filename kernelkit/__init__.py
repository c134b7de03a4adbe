"""A container engine that remembers every request it makes to the kernel."""
