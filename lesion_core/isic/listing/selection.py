"""Which images of a listing are wanted, and why the others are not."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from lesion_core.archive_fields import IMAGE_TYPE, LICENCE
from lesion_core.errors import ConfigError, ManifestError
from lesion_core.isic.listing.catalogue import Catalogue, CatalogueRow
from lesion_core.isic.listing.sample import Candidate, draw_sample
from lesion_core.isic.placeholders import ID_FIELDS, Crowds, find_crowds, id_of
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.taxonomy import Unmapped, classify, image_type_of
from lesion_core.keys import canonical_json
from lesion_core.labels import N_CLASSES_IN_WORDS, Diagnosis
from lesion_core.types import JsonDict

_SHOWN = 10
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a listed image is for.

    Attributes:
        diagnosis: Its class; ``None`` where it has none of the classes.
        is_wanted: Whether it is to be downloaded.
        obstacle: Why it is left out; ``None`` also for images that a sample did not draw.
    """

    row: CatalogueRow
    diagnosis: Diagnosis | None
    is_wanted: bool
    obstacle: Unmapped | None

    def identity(self) -> bytes:
        """Return what the archive says of the image and what became of it; not where its file is."""
        statement, obstacle = self.row.statement, self.obstacle
        reason = None if obstacle is None else [obstacle.field, obstacle.value, obstacle.reason]
        said = [statement.isic_id, statement.licence, statement.attribution, self.row.facts_json]
        return canonical_json([said, self.diagnosis, self.is_wanted, reason])


@dataclass(frozen=True, slots=True)
class Selection:
    """A chosen listing, to be gone through as often as needed, in the order of ids.

    Attributes:
        n_listed: Images in it.
        n_wanted: Images that are wanted.
        digest: Digest of all that is said and decided, addresses left aside.
        addresses_digest: Digest of the addresses of the files.
        crowds: Ids of patients and lesions that too many of the images have (``placeholders``).
    """

    catalogue: Catalogue
    source: ArchiveSource
    drawn: frozenset[str] | None
    n_listed: int
    n_wanted: int
    digest: str
    addresses_digest: str
    crowds: Crowds

    def choices(self) -> Iterator[Choice]:
        """Yield every image with what became of it."""
        for row in self.catalogue.rows():
            yield _choose(row, self.source, self.drawn)


def select(catalogue: Catalogue, source: ArchiveSource) -> Selection:
    """Choose from a listing: accepted licences, kinds of image and classes, and a sample where a limit is set.

    Raises:
        ConfigError: Nothing is listed.
        ManifestError: Nothing of what is listed can be used.
    """
    crowds = find_crowds(catalogue)
    drawn = _draw(catalogue, source, crowds) if source.limit is not None else None
    said, located, obstacles = hashlib.sha256(), hashlib.sha256(), Counter[str]()
    placeholders = Counter[Unmapped]()
    n_listed = n_wanted = 0
    for row in catalogue.rows():
        choice = _choose(row, source, drawn)
        said.update(choice.identity())
        located.update(canonical_json([row.statement.isic_id, row.url]))
        ids = (id_of(row.statement.facts, name, crowds) for name in ID_FIELDS)
        placeholders.update(found for found in ids if isinstance(found, Unmapped))
        n_listed += 1
        n_wanted += choice.is_wanted
        if choice.obstacle is not None:
            obstacles[f"{choice.obstacle.field} {choice.obstacle.value!r} {choice.obstacle.reason}"] += 1
    _warn_of_placeholders(placeholders, n_listed)
    _check_any(source, n_listed, n_wanted, obstacles)
    return Selection(catalogue, source, drawn, n_listed, n_wanted, said.hexdigest(), located.hexdigest(), crowds)


def _warn_of_placeholders(found: Counter[Unmapped], n_listed: int) -> None:
    """Log which ids of patients and lesions are none, and in how many of the listed images."""
    for each, n_images in found.most_common(_SHOWN):
        log.warning(
            "%s %r %s; in %d of %d listed images, each of which counts as an image without one",
            *(each.field, each.value, each.reason, n_images, n_listed),
        )


def filters_of(source: ArchiveSource) -> JsonDict:
    """Return what of a source decides which listed images are wanted."""
    return {
        "licences": sorted(source.licences),
        "image_types": sorted(source.image_types),
        "classes": sorted(source.classes),
        "limit": source.limit,
        "seed": None if source.limit is None else source.seed,
    }


def _choose(row: CatalogueRow, source: ArchiveSource, drawn: frozenset[str] | None) -> Choice:
    diagnosis = classify(row.statement.facts)
    obstacle = _obstacle(row, source, diagnosis)
    known = None if isinstance(diagnosis, Unmapped) else diagnosis
    is_wanted = obstacle is None and (drawn is None or row.statement.isic_id in drawn)
    return Choice(row, known, is_wanted, obstacle)


def _obstacle(row: CatalogueRow, source: ArchiveSource, diagnosis: Diagnosis | Unmapped) -> Unmapped | None:
    """Return why an image cannot be used, if it cannot."""
    licence = row.statement.licence
    if licence not in source.licences:
        return Unmapped(LICENCE, licence, f"is none of the accepted {', '.join(source.licences)}")
    kind = image_type_of(row.statement.facts)
    if kind not in source.image_types:
        return Unmapped(IMAGE_TYPE, kind, f"is none of the accepted {', '.join(source.image_types)}")
    if isinstance(diagnosis, Unmapped):
        return diagnosis
    if source.classes and diagnosis not in source.classes:
        return Unmapped("diagnosis", str(diagnosis), f"is none of the wanted {', '.join(source.classes)}")
    return None


def _draw(catalogue: Catalogue, source: ArchiveSource, crowds: Crowds) -> frozenset[str]:
    assert source.limit is not None
    choices = (_choose(row, source, None) for row in catalogue.rows())
    wanted = ((choice.row, choice.diagnosis) for choice in choices if choice.is_wanted)
    usable = (_candidate(row, diagnosis, crowds) for row, diagnosis in wanted if diagnosis is not None)
    return draw_sample(usable, limit=source.limit, seed=source.seed)


def _candidate(row: CatalogueRow, diagnosis: Diagnosis, crowds: Crowds) -> Candidate:
    ids = {name: id_of(row.statement.facts, name, crowds) for name in ID_FIELDS}
    return Candidate(
        row.statement.isic_id,
        diagnosis,
        **{name: found if isinstance(found, str) else None for name, found in ids.items()},
    )


def _check_any(source: ArchiveSource, n_listed: int, n_wanted: int, obstacles: Counter[str]) -> None:
    if not n_listed:
        asked = f"ids {', '.join(source.ids[:3])}" if source.ids else f"query {source.query!r}"
        raise ConfigError(
            f"expected images in {source.url} for {asked} and collections {list(source.collections)}, found none; "
            "values of several words need double quotes, and are case-sensitive"
        )
    if not n_wanted:
        listed = "; ".join(f"{count} × {reason}" for reason, count in obstacles.most_common(3))
        raise ManifestError(
            f"expected images of the {N_CLASSES_IN_WORDS} classes, of an accepted kind and licence, but none of "
            f"{n_listed} is one: {listed}; change the query, or accept further licences, image types and classes"
        )


def text_of(facts: JsonDict, name: str) -> str | None:
    """Return one of an image's facts as text, or ``None`` where it has none."""
    return str(facts[name]).strip() or None if name in facts else None
