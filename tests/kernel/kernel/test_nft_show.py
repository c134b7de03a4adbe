"""What nft lists, read in a network namespace of the test's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ASK = """
from kernelkit.kernel import nft_show
print(nft_show.dropping("forward"), nft_show.elements("mine", "names"), nft_show.elements("mine", "nothing"))
"""
RULES = """
table ip filter {
    chain FORWARD {
        type filter hook forward priority 0; policy drop;
    }
}
table ip mine {
    set names {
        type ifname
        elements = { "a", "b" }
    }
    chain forward {
        type filter hook forward priority 0; policy accept;
    }
}
"""


def asked(rules: str) -> str:
    script = f'nft -f - && exec {sys.executable} -c "$0"'
    ran = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, ASK],
        input=rules, capture_output=True, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_chains_that_drop_and_elements_of_sets_are_listed() -> None:
    assert asked(RULES) == "['ip filter FORWARD'] ['a', 'b'] []"


def test_a_machine_without_rules_drops_nothing() -> None:
    assert asked("") == "[] [] []"
