"""A JupyterLab and a Chromium of a test's own, and a notebook in them."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
# Nothing but the page under test: no sandbox of its own (we are root), no calls home.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
TOKEN = "lesson"
NEWS = "@jupyterlab/apputils-extension:announcements"  # asks whether to fetch news from the web

expect.set_options(timeout=PATIENCE * 1000)


class Lab:
    """A JupyterLab on loopback, with a copy of one notebook in its folder."""

    def __init__(self, folder: Path, notebook: Path, env: dict[str, str]) -> None:
        self.notebook = notebook.name
        self.log = folder / "lab.log"
        work = folder / "notebooks"
        work.mkdir()
        shutil.copy(notebook, work)
        self.port = _free_port()
        # Of the user's own settings nothing is read, and nothing is written there.
        own = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
        own["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")
        command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1"]
        command += [f"--port={self.port}", "--port-retries=0", f"--IdentityProvider.token={TOKEN}"]
        command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        settings = Path(own["JUPYTER_CONFIG_DIR"]) / "labconfig"
        settings.mkdir(parents=True)
        (settings / "page_config.json").write_text(json.dumps({"disabledExtensions": {NEWS: True}}))
        self._process = subprocess.Popen(
            command, cwd=work, env={**os.environ, **env, **own}, stdout=self.log.open("w"), stderr=subprocess.STDOUT
        )

    @property
    def url(self) -> str:
        """Where the notebook is."""
        return f"http://127.0.0.1:{self.port}/doc/tree/{self.notebook}?token={TOKEN}"

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api?token={TOKEN}", timeout=2) as answer:
                    json.load(answer)
                    return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"JupyterLab does not start: {self.log.read_text()[-2000:]}") from None
                time.sleep(0.1)

    def stop(self) -> None:
        """End it, its kernels first."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _free_port() -> int:
    """One that the kernel gives to nobody by itself before JupyterLab takes it: ip(7), ip_local_port_range."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = random.randrange(20_000, 32_000)
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def lab(folder: Path, notebook: Path, env: dict[str, str]) -> Iterator[Lab]:
    """A JupyterLab for the length of the block."""
    running = Lab(folder, notebook, env)
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own, for the length of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def open_notebook(browser: Browser, lab: Lab, *, width: int = 1280, height: int = 1500) -> Page:
    """The notebook in a page, its kernel ready."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(lab.url)
    page.locator(".jp-Notebook").wait_for()
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()
    return page


def run_until(page: Page, notebook: Path, code: str) -> None:
    """Run the cells from the top, one by one with Shift-Enter, to the one that holds this code.

    They are counted in the file: the page does not draw those that are out of sight.
    """
    sources = ["".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"]]
    last = next(number for number, source in enumerate(sources, 1) if code in source and "#" not in source)
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.keyboard.press("Escape")
    while (active := _active_cell(page)) <= last:
        page.locator(".jp-Notebook").press("Shift+Enter")
        try:
            expect(page.locator("#jp-bottom-panel")).not_to_contain_text(f"Cell {active}/", timeout=5000)
        except AssertionError:
            # A page that is busy drawing may miss a key, as it does a person's: once more, when it has drawn.
            page.evaluate("new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")


def _active_cell(page: Page) -> int:
    """The number that JupyterLab's status bar gives the cell which would be run, from 1."""
    status = page.locator("#jp-bottom-panel").get_by_text(re.compile(r"^Cell \d+/\d+$"))
    return int(status.inner_text().split()[1].partition("/")[0])


def run_all(page: Page) -> None:
    """Run ▸ Run All Cells."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
