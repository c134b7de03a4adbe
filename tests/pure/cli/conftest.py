"""The command line in this process, talking to a fake engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kernelkit.cli import main
from kernelkit.cli.output import Failure
from tests.machine import short_folder
from tests.pure.cli.fake_engine import FakeEngine


class Said:
    """What a command said, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    """An engine that knows nothing yet."""
    folder = short_folder()
    engine = FakeEngine(folder / "s")
    monkeypatch.setenv("KERNELKIT_SOCKET", str(folder / "s"))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setenv("TZ", "UTC")
    yield engine
    engine.close()
    for path in [*folder.iterdir(), folder]:
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.fixture
def cli(fake: FakeEngine, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs a command in this process: `cli("ps", "-a").out`."""

    def run(*words: str) -> Said:
        try:
            code = main.command_line(list(words))
        except Failure as failure:
            if failure.message:
                main.complain(failure.message)
            code = failure.code
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return run
