"""What Chromium shows of files: each drawn on a white canvas in sRGB."""

import base64
from collections.abc import Sequence

import numpy as np

from tests.conftest import CHROMIUM_ARGUMENTS

_DRAW = """async (bodies) => {
  const shown = [];
  for (const body of bodies) {
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    const url = URL.createObjectURL(new Blob([bytes]));
    const image = new Image();
    image.src = url;
    try { await image.decode(); } catch (error) { shown.push(null); continue; }
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext('2d', {colorSpace: 'srgb', willReadFrequently: true});
    context.fillStyle = 'white';
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    shown.push([canvas.height, canvas.width, btoa(String.fromCharCode(...pixels))]);
    URL.revokeObjectURL(url);
  }
  return shown;
}"""


def show(chromium: str, bodies: Sequence[bytes]) -> tuple[str, list[np.ndarray | None]]:
    """Return Chromium's version, and uint8 ``(height, width, 3)`` of each file, ``None`` where it shows nothing."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = [*CHROMIUM_ARGUMENTS, "--force-color-profile=srgb"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        shown = browser.new_page().evaluate(_DRAW, [base64.b64encode(body).decode() for body in bodies])
        version = browser.version
        browser.close()
    return version, [None if one is None else _pixels(*one) for one in shown]


def _pixels(height: int, width: int, coded: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(coded), np.uint8).reshape(height, width, 4)[..., :3]
