"""The images of a dataset: their sizes as they were taken, what that and other facts give away, and samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from lesion_core.dataset.proof.certificate import Shortcut
from lesion_core.figures.canvas import (
    ACCENT,
    CLASS_COLOURS,
    INK,
    MUTED,
    RULE,
    WARNING,
    Sheet,
    Subject,
    folded,
    head,
)
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, N_CLASSES

N_SIZES_DRAWN = 3_000
N_SIZES_STACKED = 8
_LARGEST_POINT = 420.0  # square points
_GAP_PX = 6


def draw_sizes(sizes: np.ndarray, images: np.ndarray, path: Path, subject: Subject) -> Path:
    """Draw which sizes there are, and which classes the most frequent ones hold; return ``path``.

    Args:
        sizes: int (n, 2), width and height in pixels as taken, most frequent first.
        images: int (n, k), images of each size by class.
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet("Image sizes as taken, before they are scaled to one square", subject, width=9.6, height=4.7)
    left, right = sheet.axes(1, 2, width_ratios=[1, 1.25])
    _scatter_sizes(left, sizes[:N_SIZES_DRAWN], images[:N_SIZES_DRAWN].sum(axis=1))
    _stack_sizes(right, sizes, images)
    return sheet.save(path)


def _scatter_sizes(axes: Axes, sizes: np.ndarray, counts: np.ndarray) -> None:
    end = float(sizes.max()) * 1.15
    for ratio, words in ((1.0, "1:1"), (4 / 3, "4:3")):
        axes.plot([0, end], [0, end / ratio], color=RULE, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        axes.text(end * 0.985, end / ratio, words, size=7.5, color=MUTED, ha="right", va="bottom")
    area = np.maximum(_LARGEST_POINT * counts / counts.max(), 6)
    axes.scatter(sizes[:, 0], sizes[:, 1], s=area, color=ACCENT, alpha=0.55, linewidths=0.6, edgecolors="white")
    axes.set(xlim=(0, end), ylim=(0, end * 1.06), xlabel="width, pixels", ylabel="height, pixels")
    n_sizes = f"{len(sizes):,} size{'s' if len(sizes) > 1 else ''}"
    head(axes, f"{n_sizes}; larger point: more images")


def _stack_sizes(axes: Axes, sizes: np.ndarray, images: np.ndarray) -> None:
    names = [f"{width} × {height}" for width, height in sizes[:N_SIZES_STACKED].tolist()]
    stacked = images[:N_SIZES_STACKED]
    if len(sizes) > N_SIZES_STACKED:
        names.append(f"{len(sizes) - N_SIZES_STACKED:,} others")
        stacked = np.vstack([stacked, images[N_SIZES_STACKED:].sum(axis=0)])
    totals = stacked.sum(axis=1)
    base = np.zeros(len(stacked))
    for place in range(N_CLASSES):
        shares = 100 * stacked[:, place] / totals
        colour = CLASS_COLOURS[place]
        axes.barh(range(len(stacked)), shares, left=base, color=colour, height=0.7, label=str(CLASS_ORDER[place]))
        base = base + shares
    axes.set_yticks(
        range(len(stacked)), [f"{name}\n{total:,} images" for name, total in zip(names, totals.tolist(), strict=True)]
    )
    axes.set(ylim=(max(len(stacked), 4) - 0.5, -0.5), xlim=(0, 100), xlabel="% of the images of this size")
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    head(axes, "Classes by size")
    axes.legend(
        fontsize=7.5,
        frameon=False,
        labelcolor=INK,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=N_CLASSES // 2,
        handlelength=1.2,
        columnspacing=1.4,
    )


def draw_shortcuts(shortcuts: Sequence[Shortcut], path: Path, subject: Subject) -> Path:
    """Draw how well each feature set alone tells the class, next to chance and the best shuffle; return ``path``.

    Args:
        shortcuts: As in a certificate, at least one, drawn from the top.
        path: Where to.
        subject: Of what.
    """
    title = "What tells the class without a look at the lesion"
    sheet = Sheet(title, subject, width=7.2, height=1.0 + 0.42 * len(shortcuts))
    axes = sheet.axes()[0]
    chance = shortcuts[0].chance
    axes.axvline(chance, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    axes.text(chance + 0.008, -0.6, f"chance {chance:.3f}", size=7.5, color=MUTED, va="center")
    for row, one in enumerate(shortcuts):
        colour = WARNING if one.is_telling else ACCENT
        axes.vlines(one.shuffled_best, row - 0.26, row + 0.26, color=INK, linewidth=1.5)
        axes.plot(one.balanced_accuracy, row, "o", color=colour, markersize=7)
        axes.text(1.03, row, f"{one.balanced_accuracy:.3f}", size=8.5, color=colour, va="center")
    axes.set_yticks(range(len(shortcuts)), [folded(one.features, 26) for one in shortcuts])
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 1.12), ylim=(len(shortcuts) - 0.5, -0.9), xlabel="balanced accuracy, cross-validated")
    axes.set_xticks(np.arange(0, 1.01, 0.2))
    head(axes, f"Brown: above chance and the upright line, the best of {shortcuts[0].n_shuffles} shuffles")
    return sheet.save(path)


def draw_samples(samples: Mapping[int, np.ndarray], counts: np.ndarray, path: Path, subject: Subject) -> Path:
    """Draw a row of images of each class, as the network sees them; return ``path``.

    Args:
        samples: Position in ``CLASS_ORDER`` to uint8 (n, s, s, 3).
        counts: int (k,), how many images the samples were drawn from.
        path: Where to.
        subject: Of what.
    """
    n_columns = max((len(pixels) for pixels in samples.values()), default=1) or 1
    sheet = Sheet("Samples, as the network sees them", subject, width=1.45 + 1.0 * n_columns, height=1.02 * N_CLASSES)
    side = max((pixels.shape[1] for pixels in samples.values() if len(pixels)), default=16)
    step = side + max(_GAP_PX * side // 128, 1)
    board = np.full((step * N_CLASSES, step * n_columns, 3), 255, np.uint8)
    axes = sheet.axes()[0]
    for place in range(N_CLASSES):
        for column, pixels in enumerate(samples.get(place, ())):
            board[place * step : place * step + side, column * step : column * step + side] = pixels
        if not len(samples.get(place, ())):
            axes.text(4, place * step + side / 2, "no image in this split", size=8, color=MUTED, va="center")
    axes.imshow(board, interpolation="lanczos")
    names = [f"{folded(CLASS_NAMES[name], 14)}\n{name}, {n:,}" for name, n in zip(CLASS_ORDER, counts, strict=True)]
    axes.set_yticks(np.arange(N_CLASSES) * step + side / 2, names)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return sheet.save(path)
