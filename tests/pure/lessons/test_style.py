"""The course's colours: readable on light and dark pages, and told apart by colour-blind people, too."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[3] / "lessons" / "widgets" / "style.css").read_text()
NAMES = ("host", "inside", "layer", "rule", "new")
PAPER = {"light": "#ffffff", "dark": "#212121"}  # JupyterLab's --jp-layout-color1
# Viénot, Brettel and Mollon 1999: what remains of linear red, green and blue without one kind of cone.
BLIND = {
    "protan": ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0)),
    "deutan": ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)),
}


def palette(theme: str) -> dict[str, str]:
    block = CSS.split('[data-jp-theme-light="false"] .kk {')[theme == "dark"]
    return {name: found[1] for name in NAMES if (found := re.search(rf"--{name}: (#[0-9a-f]{{6}})", block))}


def linear(colour: str) -> tuple[float, ...]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", PAPER)
def test_every_colour_can_be_read_as_text(theme: str) -> None:
    """WCAG 2.1, 1.4.3: a contrast of 4.5 to 1."""
    for name, colour in palette(theme).items():
        light, dark = sorted((luminance(colour), luminance(PAPER[theme])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, name


@pytest.mark.parametrize("kind", BLIND)
@pytest.mark.parametrize("theme", PAPER)
def test_what_is_new_differs_from_the_host_and_the_container_for_colour_blind_eyes(theme: str, kind: str) -> None:
    seen = {}
    for name, colour in palette(theme).items():
        seen[name] = [sum(a * b for a, b in zip(row, linear(colour), strict=True)) for row in BLIND[kind]]
    for one, other in itertools.combinations(("host", "inside", "new"), 2):
        assert max(abs(a - b) for a, b in zip(seen[one], seen[other], strict=True)) > 0.05, (one, other)


def test_nothing_is_said_by_colour_alone() -> None:
    """What is new has a thick edge as well, and what is absent a dashed one."""
    assert re.search(r"\.node:is\(\.new, \.changed\)[^}]*stroke-width: 2\.4", CSS)
    assert re.search(r"\.node\.absent[^}]*stroke-dasharray", CSS)
