"""Near-duplicates on real images: what is found, what is joined wrongly, and how the search grows.

``python -m benchmarks.duplicates FOLDER`` with a folder as the archive's downloader leaves it (``*.jpg`` and
``metadata.csv``). What it counts:

- **Recall** against a definition that is not ours: all pairs of images whose colour thumbnails (24 × 24) correlate
  by more than 0.995, found by comparing all with all. A pair counts as found if both end in one group.
- **False merges** among the pairs that the archive's lesion ids do not join (where the ids agree, joining is right
  whatever the images show). Each is judged at full resolution: laid upon each other in the orientation found,
  shifted by phase correlation, their fine structure (between 1 and 4 px) is correlated. Photographs of one scene
  agree there; how far others agree is measured on the images most alike by their coarse structure whose lesion ids
  differ and which the finder refused. A pair that does not exceed 99 in 100 of those counts as a false merge. The
  limit is on the safe side: among the refused are images that are of one lesion by eye, in spite of their ids.
- **Growth**: processor time of the search on 1, 2, 4 and 8 times as many thumbnails; the extension are crops of real
  images at random places, sizes and angles with noise, so that the neighbourhoods stay as dense as real ones.
"""

import csv
import hashlib
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter, map_coordinates

from benchmarks.measure import write_result
from lesion_core.dataset.splitting.duplicates import (
    THUMBNAIL_PX,
    WHOLE,
    find_near_duplicates,
    thumbnail_of,
    unit_frames,
)
from lesion_core.dataset.splitting.groups import group_images
from lesion_core.dataset.splitting.near_pairs import candidate_pairs
from lesion_core.images import Preprocessing, decode, resize

REFERENCE_PX, REFERENCE = 24, 0.995
_THUMBNAIL, _REFERENCE, _LARGE = (Preprocessing(size_px=size) for size in (THUMBNAIL_PX, REFERENCE_PX, 128))
N_NEGATIVES = 400
TIMES = (1, 2, 4, 8)
CERTAIN = 0.99
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Archive:
    """Images as arrays, in the order of their ids."""

    images: pd.DataFrame
    thumbnails: np.ndarray
    colours: np.ndarray
    large: np.ndarray
    folder: Path

    def pixels(self, position: int) -> np.ndarray:
        """Return one image's grey values at full resolution."""
        isic_id = self.images["isic_id"].iloc[position]
        return decode((self.folder / f"{isic_id}.jpg").read_bytes(), image_id=isic_id) @ np.full(3, 1 / 3)


def read(folder: Path) -> tuple[Archive, float, float]:
    """Decode every image; return them, and the seconds, also of a processor, that the thumbnails alone took."""
    with (folder / "metadata.csv").open(encoding="utf-8") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: row["isic_id"])

    def one(isic_id: str) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
        body = (folder / f"{isic_id}.jpg").read_bytes()
        pixels = decode(body, image_id=isic_id)
        thumbnail = thumbnail_of(resize(pixels, _THUMBNAIL))
        return (
            hashlib.sha256(body).hexdigest(),
            thumbnail,
            resize(pixels, _REFERENCE),
            thumbnail_of(resize(pixels, _LARGE)),
        )

    def thumbnail_alone(isic_id: str) -> np.ndarray:
        return thumbnail_of(resize(decode((folder / f"{isic_id}.jpg").read_bytes(), image_id=isic_id), _THUMBNAIL))

    ids = [row["isic_id"] for row in rows]
    with ThreadPoolExecutor() as pool:
        begun, begun_processor = time.perf_counter(), time.process_time()
        for _ in pool.map(thumbnail_alone, ids):
            pass
        seconds, processor_seconds = time.perf_counter() - begun, time.process_time() - begun_processor
        digests, thumbnails, colours, large = zip(*pool.map(one, ids), strict=True)
    images = pd.DataFrame({"isic_id": ids, "sha256": digests, "patient_id": None})
    images["lesion_id"] = [row.get("lesion_id") or None for row in rows]
    return Archive(images, *map(np.stack, (thumbnails, colours, large)), folder), seconds, processor_seconds


def reference_pairs(archive: Archive) -> list[Pair]:
    """Return the pairs by the other definition, all against all."""
    flat = archive.colours.reshape(len(archive.colours), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    pairs = []
    for start in range(0, len(flat), 2000):
        one, other = np.nonzero(flat[start : start + 2000] @ flat.T > REFERENCE)
        pairs += [(int(a), int(b)) for a, b in zip(one + start, other, strict=True) if a < b]
    return pairs


def found_pairs(archive: Archive) -> list[Pair]:
    """Return the finder's pairs; identical files are compared once, as in a dataset."""
    once = np.flatnonzero(~archive.images["sha256"].duplicated())
    found = find_near_duplicates(archive.thumbnails[once])
    return [(int(once[a]), int(once[b])) for a, b in zip(found["first"], found["second"], strict=True)]


def joined_by_ids(archive: Archive, pair: Pair) -> bool:
    """Return whether the archive itself says that both show one lesion."""
    one, other = (archive.images["lesion_id"].iloc[position] for position in pair)
    return bool(pd.notna(one) and one == other)


def agreement(archive: Archive, pair: Pair) -> float:
    """Return how far the fine structure of two images agrees when the one is laid upon the other, -1 to 1."""
    left, right = (archive.pixels(position) for position in pair)
    if left.shape != right.shape:
        side = min(*left.shape, *right.shape)
        scale = Preprocessing(size_px=side)
        left, right = (np.repeat(x[..., None], 3, axis=2).astype(np.uint8) for x in (left, right))
        left, right = (resize(x, scale)[..., 0].astype(float) for x in (left, right))
    turns: list[Callable[[np.ndarray], np.ndarray]] = [
        *(lambda x, k=k: np.rot90(x, k) for k in range(4)),
        *(lambda x, k=k: np.rot90(x, k)[:, ::-1] for k in range(4)),
    ]
    fine = _fine(left)
    return max(_shifted(fine, turned) for turn in turns if (turned := _fine(turn(right))).shape == fine.shape)


def _fine(grey: np.ndarray) -> np.ndarray:
    """Return the structure between 1 and 4 px as strong everywhere, faded out towards the rim of the inner disc.

    Else the sharp edge of a vignette, or one hair, would outweigh all skin.
    """
    band = gaussian_filter(grey, 1) - gaussian_filter(grey, 4)
    band /= np.sqrt(gaussian_filter(band**2, 6)) + 0.5
    y, x = (np.arange(side) - (side - 1) / 2 for side in grey.shape)
    distance = np.hypot(y[:, None], x[None, :]) / (0.45 * min(grey.shape))
    weight = np.where(distance < 1, np.cos(np.pi / 2 * np.minimum(distance, 1)) ** 2, 0)
    return (band - (band * weight).sum() / weight.sum()) * weight


def _shifted(left: np.ndarray, right: np.ndarray) -> float:
    """Return the largest correlation over all shifts of at most 8 px."""
    product = np.fft.ifft2(np.fft.fft2(left) * np.conj(np.fft.fft2(right))).real
    reach = np.r_[-8:9]
    return float(product[np.ix_(reach, reach)].max() / max(np.linalg.norm(left) * np.linalg.norm(right), 1e-9))


def negatives(archive: Archive, found: list[Pair]) -> list[Pair]:
    """Return pairs of different lesions that the finder refused, the most alike by their coarse structure first."""
    frames = unit_frames(archive.thumbnails.astype(np.float32))
    lesions, known = archive.images["lesion_id"].to_numpy(), set(found)
    scored = [
        (float((frames[a] * frames[b]).sum()), (int(a), int(b)))
        for a, b in candidate_pairs(frames, WHOLE)
        if (a, b) not in known and pd.notna(lesions[a]) and pd.notna(lesions[b]) and lesions[a] != lesions[b]
    ]
    return [pair for _, pair in sorted(scored, reverse=True)[:N_NEGATIVES]]


def extended(archive: Archive, n: int) -> np.ndarray:
    """Return ``n`` thumbnails: the real ones, then crops of real images at random places, sizes and angles."""
    rng = np.random.default_rng(7)
    offset = (np.arange(THUMBNAIL_PX) - (THUMBNAIL_PX - 1) / 2) / THUMBNAIL_PX
    made = []
    for number in rng.integers(0, len(archive.large), n - len(archive.thumbnails)):
        share, angle = rng.uniform(0.5, 0.85), rng.uniform(0, 2 * np.pi)
        down, across = rng.uniform(-0.4, 0.4, 2) * (1 - share)
        turn = share * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        y, x = np.einsum("ij,jhw->ihw", turn, np.stack(np.meshgrid(offset, offset, indexing="ij")))
        crop = map_coordinates(
            archive.large[number].astype(np.float32),
            [(y + down + 0.5) * 127, (x + across + 0.5) * 127],
            order=1,
            mode="reflect",
        )
        made.append(np.clip(crop + rng.normal(0, 1, crop.shape), 0, 255).astype(np.uint8))
    return np.concatenate([archive.thumbnails, np.stack(made)]) if made else archive.thumbnails


def growth(archive: Archive) -> list[dict[str, Any]]:
    """Return the processor seconds of the search by number of thumbnails."""
    everything, rows = extended(archive, TIMES[-1] * len(archive.thumbnails)), []
    for times in TIMES:
        part = everything[: times * len(archive.thumbnails)]
        begun, wall = time.process_time(), time.perf_counter()
        n_found = len(find_near_duplicates(part))
        rows.append(
            {
                "n_images": len(part),
                "processor_seconds": time.process_time() - begun,
                "seconds": time.perf_counter() - wall,
                "n_found": n_found,
            }
        )
        print(rows[-1], flush=True)
    return rows


def exponent(rows: list[dict[str, Any]], seconds_per_image: float = 0) -> float:
    """Return the slope of log time over log number: 1 is linear, 2 is all against all."""
    sizes = np.array([row["n_images"] for row in rows])
    seconds = np.array([row["processor_seconds"] for row in rows]) + sizes * seconds_per_image
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def measure(folder: Path) -> dict[str, Any]:
    """Measure all of it."""
    archive, decoding_seconds, processor_seconds = read(folder)
    begun = time.perf_counter()
    found = found_pairs(archive)
    search_seconds = time.perf_counter() - begun
    ids = archive.images["isic_id"]
    groups = group_images(archive.images, [(ids.iloc[a], ids.iloc[b]) for a, b in found])
    by_look = group_images(archive.images.assign(lesion_id=None), [(ids.iloc[a], ids.iloc[b]) for a, b in found])
    reference = reference_pairs(archive)
    unconfirmed = [pair for pair in found if not joined_by_ids(archive, pair)]
    limit = [agreement(archive, pair) for pair in negatives(archive, found)]
    judged = {f"{ids.iloc[a]} ~ {ids.iloc[b]}": agreement(archive, (a, b)) for a, b in unconfirmed}
    rows = growth(archive)
    return {
        "n_images": len(ids),
        "n_identical_groups": int((archive.images["sha256"].value_counts() > 1).sum()),
        "n_groups": int(groups.nunique()),
        "n_reference": len(reference),
        "n_reference_found": int(sum(by_look.iloc[a] == by_look.iloc[b] for a, b in reference)),
        "n_found": len(found),
        "n_unconfirmed": len(unconfirmed),
        "n_negatives": len(limit),
        "negatives_median": statistics.median(limit),
        "negatives_limit": float(np.quantile(limit, CERTAIN)),
        "agreement": judged,
        "n_false": int(sum(value <= np.quantile(limit, CERTAIN) for value in judged.values())),
        "decoding_seconds": decoding_seconds,
        "search_seconds": search_seconds,
        "growth": rows,
        "growth_exponent": exponent(rows),
        "growth_exponent_with_decoding": exponent(rows, processor_seconds / len(ids)),
    }


def table(result: dict[str, Any]) -> dict[str, Any]:
    """Return what the docs show."""
    recall = result["n_reference_found"] / result["n_reference"]
    seconds = result["decoding_seconds"] + result["search_seconds"]
    first, last = result["growth"][0], result["growth"][-1]
    return {
        "header": ["what", "measured"],
        "rows": [
            ["images", f"{result['n_images']:,}"],
            ["groups of byte-identical files", f"{result['n_identical_groups']}"],
            ["pairs by the other definition", f"{result['n_reference']}"],
            ["of them in one group", f"{result['n_reference_found']} ({recall:.1%})"],
            ["near-duplicate pairs found", f"{result['n_found']}"],
            ["of them not joined by lesion ids", f"{result['n_unconfirmed']}"],
            ["fine structure of these agrees by at least", f"{min(result['agreement'].values()):.2f}"],
            [
                f"that of the {result['n_negatives']} most alike pairs of other lesions",
                f"median {result['negatives_median']:.2f}, 99 in 100 at most {result['negatives_limit']:.2f}",
            ],
            ["false merges", f"{result['n_false']} of {result['n_unconfirmed']}"],
            ["decoding, thumbnails and search", f"{seconds:.0f} s"],
            [
                f"search in {first['n_images']:,} and in {last['n_images']:,} thumbnails",
                f"{first['processor_seconds']:.1f} s and {last['processor_seconds']:.1f} s of one processor: grows "
                f"with the power {result['growth_exponent']:.2f}",
            ],
            ["the same, decoding included", f"power {result['growth_exponent_with_decoding']:.2f}"],
        ],
    }


def main(folder: str) -> None:
    """Measure, print and keep."""
    result = measure(Path(folder))
    result["table"] = table(result)
    for what, value in result["table"]["rows"]:
        print(f"{what}: {value}")
    write_result("duplicates", "python -m benchmarks.duplicates FOLDER", result)


if __name__ == "__main__":
    main(sys.argv[1])
