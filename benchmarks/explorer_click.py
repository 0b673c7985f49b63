"""How long a click in the explorer takes until the new image is there, measured in a headless Chromium.

python -m benchmarks.explorer_click --workdir runs/mnist
"""

import argparse
import math
import pathlib
import shutil
import statistics
import sys
import threading
import time

import numpy as np
from playwright.sync_api import sync_playwright
from rich.console import Console
from tornado.ioloop import IOLoop

from cae_jax.cli import console as program
from cae_jax.errors import InputError
from cae_jax.explaining import Explainer
from cae_jax.explorer import make_atlas, serve

PATIENCE = 10  # seconds that a new image is waited for


def click_seconds(url: str, chromium: str, clicks: int) -> list[float]:
    """Seconds from each click on a random place of the map to the new image; NaN after ten without one."""
    rng = np.random.default_rng(0)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(url)
        page.wait_for_selector(".pictures img", timeout=60_000)
        page.get_by_text("click: move the code").click()
        picture = page.locator(".pictures img").nth(1)
        seconds = []
        for x, y in rng.uniform((60, 40), (580, 500), (clicks, 2)):
            page.wait_for_timeout(600)  # or it is a double click
            before, began = picture.get_attribute("src"), time.perf_counter()
            page.mouse.click(x, y)
            while (same := picture.get_attribute("src") == before) and time.perf_counter() - began < PATIENCE:
                pass
            seconds.append(float("nan") if same else time.perf_counter() - began)
        browser.close()
    return seconds


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--clicks", type=int, default=30)
    options = parser.parse_args()

    def benchmark(console: Console) -> None:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        if chromium is None:
            raise InputError("this needs Chromium (Debian: apt-get install chromium)")
        atlas = make_atlas(Explainer.load(options.workdir))
        found: list[float] = []

        def measure(url: str, loop: IOLoop) -> None:
            try:
                found.extend(click_seconds(url, chromium, options.clicks))
            finally:
                loop.add_callback(loop.stop)

        def ready(url: str) -> None:
            threading.Thread(target=measure, args=(url, IOLoop.current()), daemon=True).start()

        serve(atlas, ready=ready)
        changed = [seconds for seconds in found if not math.isnan(seconds)]
        if not changed:
            raise InputError(f"of {len(found)} clicks none changed the picture within {PATIENCE} s")
        console.print(
            f"{len(changed)} of {len(found)} clicks changed the picture: median "
            f"{1000 * statistics.median(changed):.0f} ms, slowest {1000 * max(changed):.0f} ms"
        )

    return program.run(benchmark)


if __name__ == "__main__":
    sys.exit(main())
