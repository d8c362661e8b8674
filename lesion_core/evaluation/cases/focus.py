"""Whether a map's evidence lies in the lesion or in the rim of the image.

The lesion is found by Otsu's threshold of the grey values (Otsu 1979, doi:10.1109/TSMC.1979.4310076), darker than
the skin: smoothed, without what touches a corner (the rim of the dermatoscope), and of the rest the largest connected
part. That fails on lesions that are as pale as the skin, reddish, or larger than the frame, and on dark hair: where
the mask has less than 2 % or more than 90 % of the area, the image is left out and counted. A mask of something else
that is dark is not noticed, so the check is of many images and not of one.
"""

import numpy as np
from PIL import Image
from pydantic import Field
from scipy import ndimage

from lesion_core.evaluation.cases.explained import Explained, is_above, mean_of
from lesion_core.statistics.estimates import Estimate
from lesion_core.types import Value

LEAST_AREA, MOST_AREA = 0.02, 0.90  # share of the image that a mask may have
RING_SHARE = 1 / 8  # of the side: how wide the border ring is
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601 luma
_SMOOTHING = 1 / 64  # standard deviation, of the side


class FocusCheck(Value):
    """Positive evidence for the predicted class, inside the lesion and in the border ring."""

    inside: Estimate = Field(description="Share of the positive evidence that lies inside the lesion's mask")
    area_inside: Estimate = Field(description="Share of the image's area that the mask has")
    ring: Estimate = Field(description="Share of the positive evidence in the border ring, outside the mask")
    area_ring: Estimate = Field(description="Share of the image's area that this ring has")
    contrast: Estimate = Field(
        description="Share of evidence by share of area inside, minus the same of the ring; 0: evenly spread"
    )
    n_images: int = Field(ge=0)
    n_groups: int = Field(ge=0)
    n_without_mask: int = Field(ge=0, description="Images left out: the mask is too small or too large")
    n_without_evidence: int = Field(ge=0, description="Images left out: nothing speaks for the predicted class")
    passed: bool | None = Field(description="The contrast's interval is above 0; none: too few groups for one")

    def in_words(self) -> str:
        """Say what was found."""
        verdict = {
            True: "The evidence lies in the lesion rather than at the border",
            False: "The evidence is not shown to lie in the lesion rather than at the border",
            None: "Too few groups to tell whether the evidence lies in the lesion",
        }[self.passed]
        left_out = (
            f"({self.n_images} images; {self.n_without_mask} left out without a usable mask, "
            f"{self.n_without_evidence} without positive evidence)"
        )
        if not self.n_images:
            return f"{verdict} {left_out}."
        return (
            f"{verdict}: {self.inside.in_words(2)} of it is inside a mask of {self.area_inside.value_in_words(2)} of "
            f"the area, {self.ring.in_words(2)} in a border ring of {self.area_ring.value_in_words(2)} {left_out}."
        )


def check_focus(explained: Explained, *, n_bootstrap: int = 1000, seed: int = 7) -> FocusCheck:
    """Compare how dense the evidence for the predicted class is in the lesion and in the border ring.

    Args:
        explained: Images with their maps.
        n_bootstrap: Resamples of groups.
        seed: Of the resamples.
    """
    masks = [lesion_mask(pixels) for pixels in explained.pixels]
    parts = np.array([_shares(*pair) for pair in zip(explained.maps, masks, strict=True)])
    has_mask = np.array([mask is not None for mask in masks])
    used = has_mask & ~np.isnan(parts[:, 0])
    groups = explained.groups[used]
    inside, area, ring, area_ring, contrast = (
        mean_of(column, groups, n_bootstrap=n_bootstrap, seed=seed) for column in parts[used].T
    )
    return FocusCheck(
        inside=inside,
        area_inside=area,
        ring=ring,
        area_ring=area_ring,
        contrast=contrast,
        n_images=int(used.sum()),
        n_groups=len(np.unique(groups)),
        n_without_mask=int((~has_mask).sum()),
        n_without_evidence=int((has_mask & ~used).sum()),
        passed=is_above(contrast, 0.0),
    )


def lesion_mask(pixels: np.ndarray) -> np.ndarray | None:
    """Return where the lesion is, bool (s, s), or ``None`` where the mask is too small or too large.

    Args:
        pixels: uint8 (s, s, 3).
    """
    grey = ndimage.gaussian_filter(pixels @ _GREY, max(len(pixels) * _SMOOTHING, 0.5))
    parts, n_parts = ndimage.label(grey < otsu_threshold(grey))
    at_corners = {parts[0, 0], parts[0, -1], parts[-1, 0], parts[-1, -1]}
    sizes = np.bincount(parts.ravel(), minlength=n_parts + 1)
    sizes[[0, *at_corners]] = 0
    mask: np.ndarray = parts == sizes.argmax()
    return mask if sizes.any() and LEAST_AREA <= mask.mean() <= MOST_AREA else None


def otsu_threshold(values: np.ndarray) -> float:
    """Return the threshold between two classes of values, 0 to 255, with the greatest variance between them."""
    counts, edges = np.histogram(values, bins=256, range=(0, 256))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = below[-1] + counts[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    between = np.where((below > 0) & (above > 0), below * above * means**2, -1.0)
    return float(edges[1:][np.flatnonzero(between == between.max())].mean())


def _shares(values: np.ndarray, mask: np.ndarray | None) -> tuple[float, ...]:
    """Return shares of evidence and of area, inside and in the ring, and the contrast; NaN without them."""
    if mask is None:
        return (np.nan,) * 5
    side = len(mask)
    positive = np.maximum(values, 0).astype(np.float32)
    energy = np.asarray(Image.fromarray(positive).resize((side, side), Image.Resampling.BILINEAR), np.float64)
    if energy.sum() <= 0:
        return (np.nan,) * 5
    width = max(round(side * RING_SHARE), 1)
    ring = np.ones_like(mask)
    ring[width:-width, width:-width] = False
    ring &= ~mask
    inside, outside = energy[mask].sum() / energy.sum(), energy[ring].sum() / energy.sum()
    # Where the lesion covers the whole ring, an evenly spread map is what is left to compare with; its density is 1.
    density = outside / ring.mean() if ring.any() else 1.0
    return inside, mask.mean(), outside, ring.mean(), inside / mask.mean() - density
