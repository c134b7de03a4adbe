"""What `nft list` shows, as plain values."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

PATH = f"{os.environ.get('PATH', '/bin')}:/usr/sbin:/sbin"  # where Debian has it, and an ordinary user's PATH has not


def elements(table: str, name: str) -> list[str]:
    """The elements of a set in a table of IPv4; none when there is no such table or no nft."""
    found = _listed("set", "ip", table, name)
    return [str(element) for each in found if "set" in each for element in each["set"].get("elem", [])]


def dropping(hook: str) -> list[str]:
    """The chains, as `ip filter FORWARD`, that drop at this hook whatever no rule of theirs accepts."""
    chains = (each["chain"] for each in _listed("chains") if "chain" in each)
    return [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in chains
        if chain.get("hook") == hook and chain.get("policy") == "drop"
    ]


def _listed(*words: str) -> list[dict[str, Any]]:
    try:
        ran = subprocess.run(
            ["nft", "-j", "list", *words], capture_output=True, text=True, env={**os.environ, "PATH": PATH}
        )
    except FileNotFoundError:
        return []
    found: list[dict[str, Any]] = json.loads(ran.stdout)["nftables"] if not ran.returncode else []
    return found
