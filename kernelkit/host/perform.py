"""Performs a plan in somebody's namespaces, in a process of its own: a threaded engine must not go there itself.

python -m kernelkit.host.perform < job > steps        both pickled: they come from the engine and go to it
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass

from kernelkit.errors import Unavailable
from kernelkit.kernel.unshare import EnterNamespaces
from kernelkit.trace import Operation, Step, Trace

PATIENCE = 60.0  # seconds for a plan


@dataclass(frozen=True)
class Job:
    """Operations to perform, in this order, as steps of `stage`; first the namespaces of `pid` to be entered."""

    stage: str
    operations: tuple[Operation, ...]
    pid: int = 0
    kinds: tuple[str, ...] = ()
    where: str = "host"


def perform(job: Job) -> list[Step]:
    """Have a job done in a new process; its steps up to the first that failed. Unavailable when that died."""
    program = [sys.executable, "-P", "-m", "kernelkit.host.perform"]
    try:
        ran = subprocess.run(program, input=pickle.dumps(job), capture_output=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the operations took longer than {PATIENCE:.0f} seconds") from None
    if ran.returncode:
        raise Unavailable(f"perform: {ran.stderr.decode(errors='replace').strip().splitlines()[-1:]}")
    steps: list[Step] = pickle.loads(ran.stdout)
    return steps


def main() -> None:
    """Do the job that comes in, say how it went."""
    job: Job = pickle.load(sys.stdin.buffer)
    trace = Trace()
    plan = [EnterNamespaces(job.pid, job.kinds)] if job.kinds else []
    # What an operation prints must not come between the steps.
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        for operation in (*plan, *job.operations):
            trace.perform(job.stage, operation, actor="lesson", where=job.where)
    except OSError:
        pass  # it is in the trace
    with os.fdopen(answer, "wb") as out:
        pickle.dump(trace.steps, out)


if __name__ == "__main__":
    main()
