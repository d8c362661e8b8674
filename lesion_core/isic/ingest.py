"""From a source to a snapshot: list, choose, download, check, publish."""

import datetime
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from lesion_core.errors import ShortfallError
from lesion_core.isic.client import ArchiveClient
from lesion_core.isic.download import MissingImage, fetch_images, file_name
from lesion_core.isic.holdings import StoredImage, find_holdings
from lesion_core.isic.models import ImageOut
from lesion_core.isic.selection import Selection, select, text_of
from lesion_core.isic.snapshot import ImageRow, Issue, write_tables
from lesion_core.isic.statements import facts_from_json
from lesion_core.isic.taxonomy import Unmapped, age_of, sex_of, site_of
from lesion_core.isic.transport import Patience
from lesion_core.keys import canonical_json, digest_of, snapshot_key
from lesion_core.labels import Diagnosis
from lesion_core.stores.folders import publish, utc_now
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference, ref_from_folder
from lesion_core.types import (
    LICENCE_ORDER,
    ArchiveSource,
    JsonDict,
    ProgressCallback,
    SnapshotRef,
    ignore_progress,
)

STEP = "ingest"
STEP_VERSION = 1
_SHOWN = 5


def ingest(
    source: ArchiveSource,
    store: Store,
    *,
    name: str = "isic",
    on_progress: ProgressCallback = ignore_progress,
    patience: Patience | None = None,
    clock: Callable[[], datetime.datetime] = utc_now,
) -> SnapshotRef:
    """Bring the wanted images of an archive into the store and return the snapshot of them.

    The listing is always read. If the snapshot of the very same rows is there, it is returned without any
    download; otherwise only what the store lacks is transferred.

    Args:
        source: Which images, from where, and how many may be missing.
        store: Where to.
        name: Under which name snapshots are kept.
        on_progress: Called with stages 'list' and 'download'.
        patience: Time limits and retries.
        clock: Time of publication.

    Raises:
        ConfigError: The archive has nothing that matches.
        ManifestError: It has, but nothing that can be used.
        ShortfallError: More images than ``source.tolerance`` did not arrive usable; the others are stored.
        SourceUnavailable: The archive does not answer (transient).
        SourceResponseError: The archive refuses the query, or breaks its contract.
    """
    with ArchiveClient(source.url, connections=source.connections, patience=patience) as client:
        selection = select(client, source, on_progress)
        inputs = {"step_version": STEP_VERSION, **selection.inputs(source)}
        folder_key = snapshot_key(name, digest_of(inputs))
        if (snapshot := find_reference(store, SnapshotRef, folder_key)) is not None:
            return snapshot
        holdings = find_holdings(store, f"snapshots/{name}/", selection.diagnoses)
        arrived, missing = fetch_images(
            client,
            selection.images,
            store,
            holdings=holdings,
            connections=source.connections,
            on_progress=on_progress,
        )
    _check_shortfall(source, missing, len(selection.images))
    return _publish(store, folder_key, inputs, selection, arrived, missing, clock)


def _check_shortfall(source: ArchiveSource, missing: Sequence[MissingImage], n_wanted: int) -> None:
    if len(missing) <= source.tolerance * n_wanted:
        return
    shown = "; ".join(f"{image.isic_id}: {image.reason}" for image in missing[:_SHOWN])
    more = f"; and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    raise ShortfallError(
        f"expected {n_wanted} images, of which at most {source.tolerance:.2%} may be missing, but {len(missing)} "
        f"({len(missing) / n_wanted:.2%}) did not arrive usable ({shown}{more}). The other {n_wanted - len(missing)} "
        "are stored, and a rerun asks only for what is missing; raise the source's tolerance to go on without them",
        n_missing=len(missing),
        n_wanted=n_wanted,
        isic_ids=[image.isic_id for image in missing],
    )


def _publish(
    store: Store,
    folder_key: str,
    inputs: JsonDict,
    selection: Selection,
    arrived: Sequence[StoredImage],
    missing: Sequence[MissingImage],
    clock: Callable[[], datetime.datetime],
) -> SnapshotRef:
    rows, unknown = _image_rows(selection, arrived)
    failed = [
        Issue(image.isic_id, image.stage, "excluded", "file", file_name(image.url), image.reason) for image in missing
    ]
    n_excluded = sum(1 for issue in selection.issues if issue.isic_id) + len(failed) + selection.n_lost
    with tempfile.TemporaryDirectory(prefix="lesion-snapshot-") as folder:
        write_tables(Path(folder), rows, [*selection.issues, *unknown, *failed])
        index, sha256 = publish(
            store,
            folder_key,
            Path(folder),
            step=STEP,
            step_version=STEP_VERSION,
            inputs=inputs,
            summary=_summary(rows, n_excluded),
            clock=clock,
        )
    return ref_from_folder(SnapshotRef, folder_key, index, sha256)


def _summary(rows: Sequence[ImageRow], n_excluded: int) -> JsonDict:
    licences = {row.licence for row in rows}
    return {
        "n_images": len(rows),
        "n_excluded": n_excluded,
        "licence": next(licence for licence in reversed(LICENCE_ORDER) if licence in licences),
        "synthetic": any(row.is_synthetic for row in rows),
    }


def _image_rows(selection: Selection, arrived: Sequence[StoredImage]) -> tuple[list[ImageRow], list[Issue]]:
    """Return the rows of what arrived, and an issue for each value that is outside the vocabulary."""
    by_id = {image.isic_id: image for image in selection.images}
    rows, issues = [], []
    for stored in arrived:
        image = by_id[stored.isic_id]
        facts = image.facts()
        values = (age_of(facts), sex_of(facts), site_of(facts))
        issues += [Issue.of_value(image.isic_id, value) for value in values if isinstance(value, Unmapped)]
        rows.append(_image_row(image, stored, selection.diagnoses[image.isic_id]))
    return rows, issues


def _image_row(image: ImageOut, stored: StoredImage, diagnosis: Diagnosis) -> ImageRow:
    facts = image.facts()
    age, sex, site = (_usable(value) for value in (age_of(facts), sex_of(facts), site_of(facts)))
    return ImageRow(
        isic_id=image.isic_id,
        sha256=stored.sha256,
        image_key=stored.image_key,
        n_bytes=stored.n_bytes,
        width=stored.width,
        height=stored.height,
        diagnosis=str(diagnosis),
        age_years=None if age is None else float(age),
        sex=None if sex is None else str(sex),
        site=None if site is None else str(site),
        lesion_id=text_of(facts, "lesion_id"),
        patient_id=text_of(facts, "patient_id"),
        licence=image.copyright_license,
        attribution=image.attribution,
        confirm_type=text_of(facts, "diagnosis_confirm_type"),
        is_synthetic=facts.get("image_manipulation") == "synthetic",
        etag=None,
        raw_metadata=canonical_json(facts_from_json(image.metadata.acquisition, image.metadata.clinical)).decode(),
    )


def _usable(value: float | str | Unmapped | None) -> float | str | None:
    return None if isinstance(value, Unmapped) else value
