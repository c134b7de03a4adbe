"""Exercises: a stub, a solution, hints and a check, each by itself; the check looks at the kernel."""
