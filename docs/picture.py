"""The README's picture of a report: its verdicts in the light, and a feature in the dark.

    harness report voices --output report.html
    python docs/picture.py report.html docs/report.png

It needs Pillow, and a chromium beside the playwright of the `test` extra.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH, HEIGHT, GAP = 900, 1010, 24
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def seen(page: Page, part: str) -> Image.Image:
    """The screen with the first such part at its top, once its charts are alive."""
    if part:
        page.goto(f"{page.url}#{page.locator(part).first.get_attribute('id')}")
    page.wait_for_timeout(2500)
    return Image.open(io.BytesIO(page.screenshot()))


def draw(report: Path, picture: Path) -> None:
    """Two screens side by side: the verdicts in the light, a feature in the dark."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(FLAGS)
        )
        screens = []
        for scheme, part in (("light", ""), ("dark", "details[id^=feature-]")):
            page = browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT},
                color_scheme=scheme,
                reduced_motion="reduce",
            )
            page.goto(report.resolve().as_uri())
            screens.append(seen(page, part))
        browser.close()
    whole = Image.new("RGB", (2 * WIDTH + GAP, HEIGHT), "#8a929c")
    for at, screen in enumerate(screens):
        whole.paste(screen, (at * (WIDTH + GAP), 0))
    whole.quantize(128).save(picture, optimize=True)


if __name__ == "__main__":
    draw(*map(Path, sys.argv[1:3]))
