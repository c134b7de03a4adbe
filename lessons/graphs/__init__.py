"""Pictures of the kernel's state: pure functions from a state to a graph, and from a graph to text that draws it."""
