"""The command that starts quickest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kernelkit.cli.launcher import launcher


def test_the_command_skips_site_and_names_both_folders() -> None:
    lines = launcher("/v/bin/python", "/checkout", "/v/lib/site-packages").splitlines()
    assert lines[0] == "#!/v/bin/python -IS"
    assert "sys.path[:0] = ['/checkout']" in lines
    assert "sys.path.append('/v/lib/site-packages')" in lines


def test_a_path_that_a_shebang_cannot_hold_leaves_pip_s_command_alone() -> None:
    assert launcher("/with a blank/python", "/c", "/p") == ""
    assert launcher(f"/{'long' * 40}/python", "/c", "/p") == ""


def test_it_is_written_as_an_executable_that_runs(tmp_path: Path) -> None:
    command = tmp_path / "kernelkit"
    subprocess.run([sys.executable, "-m", "kernelkit.cli.launcher", command], check=True)
    said = subprocess.run([command, "--help"], capture_output=True, text=True)
    assert "run" in said.stdout + said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kernelkit"]
