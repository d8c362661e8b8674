"""Which images of a listing are wanted, and why the others are not."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lesion_core.errors import ConfigError, ManifestError
from lesion_core.isic.client import ArchiveClient, Search
from lesion_core.isic.models import ImageOut
from lesion_core.isic.sample import Candidate, draw_sample
from lesion_core.isic.snapshot import Issue
from lesion_core.isic.taxonomy import TAXONOMY_VERSION, Unmapped, classify
from lesion_core.keys import digest_of
from lesion_core.labels import Diagnosis
from lesion_core.types import ArchiveSource, JsonDict, Progress, ProgressCallback, ignore_progress

_REPORT_EVERY = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted of a listing, and what is not, with reasons; both sorted by isic_id.

    Attributes:
        images: The images to download.
        diagnoses: The class of each of them, by isic_id.
        issues: Why listed images are left out.
        n_lost: Images that the archive counted and did not list.
    """

    images: tuple[ImageOut, ...]
    diagnoses: dict[str, Diagnosis]
    issues: tuple[Issue, ...]
    n_lost: int = 0

    def inputs(self, source: ArchiveSource) -> JsonDict:
        """Return everything that the snapshot depends on: what the archive says, and not where it says it."""
        return {
            "images": digest_of([_statement(image) for image in self.images]),
            "issues": digest_of([[issue.isic_id, issue.field, issue.value, issue.reason] for issue in self.issues]),
            "licences": sorted(source.licences),
            "limit": source.limit,
            "seed": None if source.limit is None else source.seed,
            "tolerance": source.tolerance,
            "taxonomy": TAXONOMY_VERSION,
        }


def select(
    client: ArchiveClient, source: ArchiveSource, on_progress: ProgressCallback = ignore_progress
) -> Selection:
    """List what matches and choose: accepted licences, one of the eight classes, and a sample where a limit is set.

    Raises:
        ConfigError: The archive has nothing that matches.
        ManifestError: Nothing of what matches can be used.
    """
    listing = client.search(source.query, source.collections)
    images = []
    for image in listing:
        images.append(image)
        if len(images) % _REPORT_EVERY == 0:
            on_progress(Progress(stage="list", done=len(images), total=listing.n_stated))
    on_progress(Progress(stage="list", done=len(images), total=len(images)))
    if not images:
        raise ConfigError(
            f"expected images in {client.url} for query {source.query!r} and collections {list(source.collections)}, "
            "found none; values of several words need double quotes, and are case-sensitive"
        )
    images.sort(key=lambda image: image.isic_id)
    return _choose(images, source, _lost(listing), listing.n_lost)


def _lost(listing: Search) -> list[Issue]:
    """Return one issue about the images that the archive counted and did not list, if there are any."""
    if not listing.n_lost:
        return []
    reason = (
        f"the archive counted {listing.n_stated} images and listed {listing.n_listed}: it skips rows that were added "
        "in one moment"
    )
    return [Issue("", "metadata", "excluded", "count", str(listing.n_stated), reason)]


def _choose(images: Sequence[ImageOut], source: ArchiveSource, issues: list[Issue], n_lost: int) -> Selection:
    diagnoses: dict[str, Diagnosis] = {}
    for image in images:
        diagnosis = classify(image.facts())
        if image.copyright_license not in source.licences:
            reason = f"its licence is none of the accepted {', '.join(source.licences)}"
            licence = image.copyright_license
            issues.append(Issue(image.isic_id, "metadata", "excluded", "copyright_license", licence, reason))
        elif isinstance(diagnosis, Unmapped):
            issues.append(Issue.of_label(image.isic_id, diagnosis))
        else:
            diagnoses[image.isic_id] = diagnosis
    if not diagnoses:
        raise ManifestError(_nothing_usable(len(images), issues))
    usable = [image for image in images if image.isic_id in diagnoses]
    if source.limit is not None:
        candidates = (_candidate(image, diagnoses[image.isic_id]) for image in usable)
        drawn = draw_sample(candidates, limit=source.limit, seed=source.seed)
        usable = [image for image in usable if image.isic_id in drawn]
    wanted = {image.isic_id: diagnoses[image.isic_id] for image in usable}
    return Selection(tuple(usable), wanted, tuple(sorted(issues)), n_lost)


def _nothing_usable(n_images: int, issues: Sequence[Issue]) -> str:
    reasons = Counter(f"{issue.field} {issue.value!r} {issue.reason}" for issue in issues).most_common(3)
    listed = "; ".join(f"{count} × {reason}" for reason, count in reasons)
    return (
        f"expected images of the eight classes under an accepted licence, but none of {n_images} is one: {listed}; "
        "change the query, or accept further licences"
    )


def _candidate(image: ImageOut, diagnosis: Diagnosis) -> Candidate:
    facts = image.facts()
    return Candidate(image.isic_id, diagnosis, text_of(facts, "lesion_id"), text_of(facts, "patient_id"))


def text_of(facts: JsonDict, name: str) -> str | None:
    """Return one of an image's facts as text, or ``None`` where it has none."""
    return str(facts[name]).strip() or None if name in facts else None


def _statement(image: ImageOut) -> list[object]:
    """Return what the archive says of an image that bears on the snapshot: no addresses, no file sizes."""
    return [image.isic_id, image.copyright_license, image.attribution, image.metadata.model_dump(mode="json")]
