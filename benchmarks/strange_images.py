"""Images that are no ordinary dermoscopic images, by kind: photographs, texts, drawings, noise, other medicine.

Nothing is downloaded: photographs are those inside the installed scikit-image, all else is drawn here.
"""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage import data
from skimage.color import gray2rgb

from lesion_core.errors import ImageRejected
from lesion_core.images import decode
from lesion_core.modeling.feed.overlays import add_cutout, add_hairs, add_ink, add_ruler
from lesion_core.synthetic.archive import FEWEST_IMAGES, write_archive

SIDE = 256
Images = list[np.ndarray]  # uint8 (h, w, 3) each
_VIEWS = 6  # of each photograph: the whole, and five parts
_SAMPLES: dict[str, tuple[str, ...]] = {
    "photographs": ("astronaut", "cat", "chelsea", "coffee", "rocket", "camera", "stereo_motorcycle", "horse"),
    "texts and boards": ("page", "text", "clock", "checkerboard", "logo"),
    "coins, moon, galaxies": ("coins", "moon", "hubble_deep_field"),
    "histology, fundus, cells": ("immunohistochemistry", "retina", "cell", "microaneurysms", "shepp_logan_phantom"),
    "bricks, grass, gravel": ("brick", "grass", "gravel"),
}


def photographs(rng: np.random.Generator) -> dict[str, Images]:
    """Return scikit-image's own images by kind, each as a whole and in five parts of it; and small faces."""
    kinds = {}
    for kind, names in _SAMPLES.items():
        kinds[kind] = [view for name in names if (image := _sample(name)) is not None for view in _views(image, rng)]
    kinds["faces"] = [_enlarged(_bytes(face)) for face in data.lfw_subset()[:40]]
    return kinds


def drawn(rng: np.random.Generator, n: int) -> dict[str, Images]:
    """Return ``n`` images of each kind that is drawn."""
    makers: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
        "noise": _noise,
        "plain fields of skin colours": _plain,
        "gradients of skin colours": _gradient,
        "diagrams": _diagram,
        "screens of a program": _screen,
        "X-ray-like": _xray,
    }
    return {kind: [make(rng) for _ in range(n)] for kind, make in makers.items()}


def generated(n: int) -> Images:
    """Return ``n`` images of our own generator, which look somewhat like dermoscopy."""
    with tempfile.TemporaryDirectory() as folder:
        write_archive(Path(folder) / "archive", n_images=max(FEWEST_IMAGES, n + 5))
        bodies = [path.read_bytes() for path in sorted((Path(folder) / "archive").glob("*.jpg"))]
    return [pixels for body in bodies if (pixels := _decoded(body)) is not None][:n]


def overlaid(images: Images, rng: np.random.Generator) -> Images:
    """Return real images with all that may lie over a lesion at once: ink, ruler, many hairs, a hidden square."""
    found = []
    for pixels in images:
        image = Image.fromarray(pixels).resize((SIDE, SIDE))
        for artist in (add_ink, add_ink, add_ruler, add_hairs, add_hairs, add_hairs, add_cutout):
            image = artist(image, rng)
        found.append(np.asarray(image))
    return found


def skin_crops(images: Images) -> Images:
    """Return the plainest corner of each image, a fifth of each side, enlarged: skin without a lesion."""
    found = []
    for pixels in images:
        height, width = (side // 5 for side in pixels.shape[:2])
        rows, columns = (slice(None, height), slice(-height, None)), (slice(None, width), slice(-width, None))
        corners = [pixels[row, column] for row in rows for column in columns]
        bright = [corner for corner in corners if corner.mean() > 80] or corners
        found.append(_enlarged(min(bright, key=lambda corner: float(corner.std()))))
    return found


def _sample(name: str) -> np.ndarray | None:
    """Return one of scikit-image's images where it ships with the package; nothing is downloaded for it."""
    try:
        found = getattr(data, name)()
    except (AttributeError, ModuleNotFoundError, OSError):
        return None
    image = np.asarray(found[0] if isinstance(found, tuple) else found)
    return _bytes(gray2rgb(image) if image.ndim == 2 else image[..., :3])


def _bytes(image: np.ndarray) -> np.ndarray:
    image = gray2rgb(image) if image.ndim == 2 else image
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    return (np.clip(image.astype(np.float64) / max(float(image.max()), 1e-9), 0, 1) * 255).astype(np.uint8)


def _views(image: np.ndarray, rng: np.random.Generator) -> Images:
    height, width = (side * 3 // 5 for side in image.shape[:2])
    starts = [
        (int(rng.integers(image.shape[0] - height)), int(rng.integers(image.shape[1] - width))) for _ in range(5)
    ]
    return [image, *(np.ascontiguousarray(image[y : y + height, x : x + width]) for y, x in starts)][:_VIEWS]


def _enlarged(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _decoded(body: bytes) -> np.ndarray | None:
    try:
        return decode(body, image_id="generated")
    except ImageRejected:
        return None


def _noise(rng: np.random.Generator) -> np.ndarray:
    cell = int(rng.choice([1, 2, 4, 8, 16]))
    small = rng.integers(0, 256, (SIDE // cell, SIDE // cell, 3), dtype=np.uint8)
    return np.kron(small, np.ones((cell, cell, 1), np.uint8))


def _skin(rng: np.random.Generator) -> np.ndarray:
    return np.array([220, 170, 150]) * rng.uniform(0.35, 1.1) + rng.normal(0, 8, 3)


def _plain(rng: np.random.Generator) -> np.ndarray:
    grain = rng.normal(0, rng.uniform(0, 4), (SIDE, SIDE, 3))
    return np.clip(_skin(rng) + grain, 0, 255).astype(np.uint8)


def _gradient(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    share = np.clip(x * np.cos(angle) + y * np.sin(angle) + 0.5, 0, 1)[..., None]
    return np.clip(share * _skin(rng) + (1 - share) * _skin(rng), 0, 255).astype(np.uint8)


def _diagram(rng: np.random.Generator) -> np.ndarray:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), dpi=SIDE // 4)
    axes = figure.add_subplot()
    kind = int(rng.integers(4))
    if kind == 0:
        axes.plot(np.cumsum(rng.normal(size=(60, 3)), axis=0))
    elif kind == 1:
        axes.bar(range(8), rng.random(8), color=rng.random((8, 3)))
    elif kind == 2:
        axes.scatter(*rng.normal(size=(2, 80)), c=rng.random(80))
    else:
        axes.imshow(rng.random((8, 8)), cmap="RdBu")
    axes.set_title("balanced accuracy")
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return np.asarray(Image.open(stream).convert("RGB"))


def _screen(rng: np.random.Generator) -> np.ndarray:
    is_dark = rng.random() < 0.4
    image = Image.new("RGB", (SIDE, SIDE), (30, 30, 34) if is_dark else (250, 250, 250))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, SIDE, 18), fill=tuple(int(each) for each in rng.integers(60, 200, 3)))
    for y in range(28, SIDE - 12, 13):
        if rng.random() < 0.15:
            box = (12, y, int(rng.integers(60, 200)), y + 10)
            pen.rectangle(box, fill=tuple(int(each) for each in rng.integers(60, 230, 3)))
        elif rng.random() < 0.85:
            words = " ".join("".join(rng.choice(list("abcdefghiklmnorstu"), rng.integers(2, 9))) for _ in range(6))
            pen.text((12, y), words, fill=(210, 210, 210) if is_dark else (20, 20, 20))
    return np.asarray(image)


def _xray(rng: np.random.Generator) -> np.ndarray:
    """Grey, dark at the rim, brighter ribs and spine: a chest, roughly."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    body = np.exp(-((x / 0.42) ** 4) - (y / 0.5) ** 6)
    lungs = np.exp(-(((np.abs(x) - 0.2) / 0.13) ** 2) - (y / 0.32) ** 2)
    ribs = 0.12 * (np.sin((y + 0.8 * x**2) * rng.uniform(55, 75)) > 0.3) * lungs
    spine = 0.35 * np.exp(-((x / 0.04) ** 2))
    grey = body * (0.65 - 0.5 * lungs + ribs + spine) + rng.normal(0, 0.02, x.shape)
    return np.repeat((np.clip(grey, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=-1)
