"""Take the README's images from a running local stack: ``python docs/make_images.py PREFECT_URL PAGE_URL IMAGE``.

Needs the development tools (Playwright) and a Chromium; use the synthetic stack, whose images may be shown.
"""

import json
import shutil
import sys
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent / "images"
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


def newest_run(prefect: str) -> str:
    """Return the id of the newest completed run of the pipeline."""
    body = {
        "flows": {"name": {"any_": ["pipeline"]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
        "sort": "START_TIME_DESC",
        "limit": 1,
    }
    request = urllib.request.Request(
        f"{prefect}/api/flow_runs/filter", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        return str(json.load(response)[0]["id"])


def show_run(page: Page, prefect: str) -> None:
    """Image a flow run with its stages."""
    page.goto(f"{prefect}/runs/flow-run/{newest_run(prefect)}")
    page.get_by_text("Task Runs", exact=True).click()
    page.get_by_text("approve-model").first.wait_for()
    page.wait_for_timeout(2000)  # the graph draws itself
    page.screenshot(path=FOLDER / "flow-run.png")


def show_page(page: Page, address: str, image: Path) -> None:
    """Image the page with an answer, down to the map."""
    page.set_viewport_size({"width": 1280, "height": 1180})
    page.goto(address)
    page.locator("input[type=file]").first.set_input_files(image)
    page.get_by_text("Choose another file").wait_for()  # the preview, which moves the button, is there
    page.get_by_label("Age").fill("62")
    page.get_by_role("button", name="Classify").click()
    page.get_by_text("Differential").first.wait_for()
    page.wait_for_timeout(2000)
    page.screenshot(path=FOLDER / "page.png")


def main(prefect: str, address: str, image: str) -> None:
    """Take both images."""
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        show_run(page, prefect)
        show_page(page, address, Path(image))
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
