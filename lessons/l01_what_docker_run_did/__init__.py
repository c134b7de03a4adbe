"""Lesson 1: what `docker run` did, in eight steps, each seen in the kernel.

`lesson.py` is the notebook's source; here is what its cells call.
"""

from lessons.l01_what_docker_run_did.verbs import Lesson

__all__ = ["Lesson"]
