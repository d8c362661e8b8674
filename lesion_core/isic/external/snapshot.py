"""From a folder of labelled images to a snapshot: those whose class is known, and why others are left out."""

import csv
import hashlib
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lesion_core.archive_fields import CONFIRMATION, MANIPULATION
from lesion_core.cores import usable_cores
from lesion_core.errors import ConfigError, ImageRejected, ManifestError
from lesion_core.fields.table import FIELDS, key_of_later
from lesion_core.images import probe
from lesion_core.isic.external.folder import LabelledImage, read_labelled
from lesion_core.isic.external.labels import (
    EXTERNAL_NAME,
    LEFT_OUT_COLUMNS,
    LEFT_OUT_NAME,
    Classes,
    ExternalSet,
    ExternalTest,
    MappedLabel,
    check_pools,
    parse_labels,
)
from lesion_core.isic.placeholders import id_of
from lesion_core.isic.snapshot import ImageRow, Issue, write_tables
from lesion_core.isic.taxonomy import Unmapped, classify, image_type_of, read_field
from lesion_core.keys import archive_key, canonical_json, digest_of, snapshot_key
from lesion_core.progress import ProgressCallback, Tally, ignore_progress
from lesion_core.refs import SnapshotRef
from lesion_core.stores.folders import publish
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import LICENCE_ORDER, JsonDict

STEP = "external"
STEP_VERSION = 1
_ACCEPTED_TYPES = ("dermoscopic", "not stated")
_EXTENSIONS = {"jpeg": "jpg", "tiff": "tif"}


class Reason(StrEnum):
    """Why a row of the table is no image of the test set."""

    LABEL = "label without a class"
    LICENCE = "licence not known or not allowed"
    TYPE = "not dermoscopic"
    FILE = "no file"
    IMAGE = "no usable image"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One image by name, and why it is not in the test set."""

    isic_id: str
    reason: str
    detail: str


def bring_folder(test: ExternalTest, store: Store, *, on_progress: ProgressCallback = ignore_progress) -> SnapshotRef:
    """Bring the images of a folder into the store and publish their snapshot; the same folder gives the same one.

    Beside its two tables a snapshot of a folder has ``external.json`` (``ExternalSet``) and ``left_out.csv``.

    Args:
        test: The folder, and what its labels mean.
        store: Where to.
        on_progress: Gets the stage 'read folder', image by image.

    Raises:
        ConfigError: What labels mean is not understood, or contradicts itself.
        ManifestError: The folder's table is missing or broken, or not one of its images can be used.
        StoreError: The store's own.
    """
    stated = parse_labels([*test.labels, *_lines(test.labels_file)])
    images = read_labelled(Path(test.folder))
    classes, left_out = _chosen(images, stated, test)
    check_pools({image.label(stated): classes[image.isic_id] for image in images if image.isic_id in classes})
    rows, unusable, issues = _rows(images, classes, test, store, on_progress)
    left_out = sorted([*left_out, *unusable], key=lambda one: one.isic_id)
    if not rows:
        counts = Counter(f"{one.reason}{f' ({one.detail})' if one.detail else ''}" for one in left_out)
        raise ManifestError(
            f"expected usable images in {test.folder}, got none of {len(images)}: "
            f"{'; '.join(f'{n} × {why}' for why, n in counts.most_common(5))}. Say what labels mean with "
            "'label=CLASS', or which licence the images have"
        )
    return _published(test, images, stated, classes, rows, left_out, issues, store)


def write_left_out(path: Path, left_out: Sequence[LeftOut]) -> None:
    """Write the table of images that are left out, with its header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LEFT_OUT_COLUMNS)
        writer.writerows((one.isic_id, one.reason, one.detail) for one in left_out)


def _lines(path: str) -> list[str]:
    if not path:
        return []
    try:
        return Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"expected a text file with a line 'label=CLASS' for each label at {path}, got {error}"
        ) from error


def _chosen(
    images: Sequence[LabelledImage], stated: Mapping[str, Classes], test: ExternalTest
) -> tuple[dict[str, Classes], list[LeftOut]]:
    """Return the classes of every image that may be used, by id, and the others."""
    classes: dict[str, Classes] = {}
    left_out = []
    for image in images:
        label = image.label(stated)
        meant = stated[label] if label in stated else _known(image)
        if not meant:
            left_out.append(LeftOut(image.isic_id, Reason.LABEL, label or "no label"))
        elif (licence := image.licence or test.licence or _usual(image)) not in LICENCE_ORDER:
            left_out.append(LeftOut(image.isic_id, Reason.LICENCE, licence or "not stated"))
        elif (kind := image_type_of(image.facts)) not in _ACCEPTED_TYPES:
            left_out.append(LeftOut(image.isic_id, Reason.TYPE, kind))
        elif image.file is None:
            left_out.append(LeftOut(image.isic_id, Reason.FILE, ""))
        else:
            classes[image.isic_id] = meant
    return classes, left_out


def _known(image: LabelledImage) -> Classes:
    found = classify(image.facts)
    return () if isinstance(found, Unmapped) else (found,)


def _usual(image: LabelledImage) -> str:
    """Return the licence of a challenge's set, which is handed out under one for all."""
    return "CC-BY-NC" if "challenge_class" in image.facts else ""


def _rows(
    images: Sequence[LabelledImage],
    classes: Mapping[str, Classes],
    test: ExternalTest,
    store: Store,
    on_progress: ProgressCallback,
) -> tuple[list[ImageRow], list[LeftOut], list[Issue]]:
    """Store the bytes of every usable image; return their rows, those that do not decode, and values not used."""
    usable = [image for image in images if image.isic_id in classes]
    rows, unusable, issues = list[ImageRow](), list[LeftOut](), list[Issue]()
    tally = Tally(on_progress, "read folder", len(usable))

    def read(image: LabelledImage) -> tuple[ImageRow, list[Unmapped]] | LeftOut:
        return _read(image, classes[image.isic_id], test, store)

    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="folder") as pool:
        for found in pool.map(read, usable):
            if isinstance(found, LeftOut):
                unusable.append(found)
            else:
                rows.append(found[0])
                issues += [Issue.of_value(found[0].isic_id, value) for value in found[1]]
            tally.add()
    return rows, unusable, issues


def _read(
    image: LabelledImage, classes: Classes, test: ExternalTest, store: Store
) -> tuple[ImageRow, list[Unmapped]] | LeftOut:
    assert image.file is not None
    try:
        body = image.file.read_bytes()
        facts = probe(body, image_id=image.isic_id)
    except ImageRejected as error:
        return LeftOut(image.isic_id, Reason.IMAGE, str(error.context.get("reason", error.message)))
    except OSError as error:
        return LeftOut(image.isic_id, Reason.FILE, error.strerror or type(error).__name__)
    sha256 = hashlib.sha256(body).hexdigest()
    key = archive_key(image.isic_id, sha256, _EXTENSIONS.get(facts.format, facts.format))
    if store.stat(key) is None:
        store.write(key, body)
    known = {field.name: read_field(field, image.facts) for field in FIELDS}
    lesion, patient = (id_of(image.facts, name, {}) for name in ("lesion_id", "patient_id"))
    row = ImageRow(
        isic_id=image.isic_id,
        sha256=sha256,
        image_key=key,
        n_bytes=len(body),
        width=facts.width,
        height=facts.height,
        diagnosis=str(classes[0]),
        metadata={name: None if isinstance(value, Unmapped) else value for name, value in known.items()},
        lesion_id=lesion if isinstance(lesion, str) else None,
        patient_id=patient if isinstance(patient, str) else None,
        licence=image.licence or test.licence or _usual(image),
        attribution=image.attribution or test.attribution or f"{test.name}, source not stated",
        confirm_type=str(image.facts[CONFIRMATION]) if CONFIRMATION in image.facts else None,
        is_synthetic=image.facts.get(MANIPULATION) == "synthetic",
        etag=None,
        raw_metadata=canonical_json(image.facts).decode(),
    )
    return row, [value for value in (*known.values(), lesion, patient) if isinstance(value, Unmapped)]


def _published(
    test: ExternalTest,
    images: Sequence[LabelledImage],
    stated: Mapping[str, Classes],
    classes: Mapping[str, Classes],
    rows: Sequence[ImageRow],
    left_out: Sequence[LeftOut],
    issues: Sequence[Issue],
    store: Store,
) -> SnapshotRef:
    used = {row.isic_id for row in rows}
    counts = Counter((image.label(stated), classes[image.isic_id]) for image in images if image.isic_id in used)
    found = ExternalSet(
        name=test.name,
        labels=tuple(
            MappedLabel(label=label, classes=meant, n_images=n) for (label, meant), n in sorted(counts.items())
        ),
        n_listed=len(images),
        left_out=dict(sorted(Counter(str(one.reason) for one in left_out).items())),
    )
    inputs: JsonDict = {
        "step": STEP,
        "step_version": STEP_VERSION,
        "external": found.model_dump(mode="json"),
        "outcome": digest_of(
            [[row.cells() for row in rows], [[one.isic_id, one.reason, one.detail] for one in left_out]]
        ),
        **key_of_later(),
    }
    summary = {
        "n_images": len(rows),
        "n_excluded": len(left_out),
        "licence": max((row.licence for row in rows), key=list[str](LICENCE_ORDER).index),
        "synthetic": any(row.is_synthetic for row in rows),
    }
    key = snapshot_key(test.dataset, digest_of(inputs))
    with tempfile.TemporaryDirectory(prefix="lesion-external-") as name:
        folder = Path(name)
        write_tables(folder, rows, issues)
        (folder / EXTERNAL_NAME).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        write_left_out(folder / LEFT_OUT_NAME, left_out)
        index, sha256 = publish(
            store, key, folder, step=STEP, step_version=STEP_VERSION, inputs=inputs, summary=summary
        )
    return ref_from_folder(SnapshotRef, key, index, sha256)
