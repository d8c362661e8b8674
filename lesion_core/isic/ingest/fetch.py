"""One shard of a listing: its images brought into the store, and what became of each of them."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lesion_core.archive_fields import CONFIRMATION, MANIPULATION
from lesion_core.fields.table import FIELDS, key_of_later
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.ingest.download import Arrival, MissingImage, fetch_images, file_name
from lesion_core.isic.ingest.holdings import StoredImage, find_holdings
from lesion_core.isic.listing.listing import ListedImage, read_crowds, read_shard
from lesion_core.isic.listing.selection import text_of
from lesion_core.isic.placeholders import Crowds, id_of
from lesion_core.isic.snapshot import IMAGES_NAME, ImageRow, Issue, read_parquet, write_tables
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.taxonomy import Unmapped, read_field
from lesion_core.isic.version import STEP_VERSION
from lesion_core.keys import digest_of, shard_key, shard_prefix
from lesion_core.progress import ProgressCallback, ignore_progress
from lesion_core.refs import ListingRef, ShardRef
from lesion_core.stores.folders import list_folders, publish, read_file
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference, ref_from_folder
from lesion_core.types import JsonDict, StoreKey

STEP = "fetch"


def fetch_shard(
    source: ArchiveSource,
    listing: ListingRef,
    number: int,
    store: Store,
    *,
    tables: Sequence[Path] = (),
    on_progress: ProgressCallback = ignore_progress,
    patience: Patience | None = None,
) -> ShardRef:
    """Bring the wanted images of one shard into the store, and keep what became of them; return its reference.

    Only what the store lacks is transferred. A shard of which everything arrived is returned at once as long as its
    bytes are there and no newer ones are known; one with images missing is tried again each time.

    Args:
        source: Connections, address and whether to revalidate.
        listing: What the archive lists.
        number: Which of its shards, from 0.
        store: Where to.
        tables: What earlier snapshots describe, from ``holdings.earlier_tables``.
        on_progress: Gets the stage 'download', with counts of this shard.
        patience: Time limits and retries.

    Raises:
        SourceUnavailable: The archive does not answer any more; what has arrived is stored (transient).
        ArtifactNotFound: There is no such listing or shard.
        StoreError: The store's own.
    """
    inputs: JsonDict = {"step": STEP, "step_version": STEP_VERSION, "listing": listing.id, "number": number}
    inputs |= key_of_later()
    name = listing.name
    digest = digest_of(inputs)
    done = find_reference(store, ShardRef, shard_key(name, digest))
    if done is not None and not source.revalidate and _is_current(store, done, tables):
        return done
    listed = list(read_shard(store, listing, number))
    wanted = [image for image in listed if image.is_wanted]
    tags = _known_tags(store, listing, number, shard_prefix(name, digest))
    holdings = find_holdings(store, tables, [image.isic_id for image in wanted], tags)
    with ArchiveClient(source.url, connections=source.connections, patience=patience) as client:
        arrived, missing = fetch_images(
            client,
            wanted,
            store,
            holdings=holdings,
            connections=source.connections,
            revalidate=source.revalidate,
            on_progress=on_progress,
        )
    rows, issues = _tables(listed, arrived, missing, read_crowds(store, listing))
    outcome = ""
    if done is not None or source.revalidate or missing:
        inputs["outcome"] = outcome = digest_of([[row.cells() for row in rows], [asdict(issue) for issue in issues]])
    summary = {"listing": listing.id, "number": number, "n_arrived": len(arrived), "n_missing": len(missing)}
    key = shard_key(name, digest, outcome)
    with tempfile.TemporaryDirectory(prefix="lesion-shard-") as folder:
        write_tables(Path(folder), rows, issues)
        index, sha256 = publish(
            store, key, Path(folder), step=STEP, step_version=STEP_VERSION, inputs=inputs, summary=summary
        )
    return ref_from_folder(ShardRef, key, index, sha256).model_copy(update=_transfers(arrived))


def _known_tags(store: Store, listing: ListingRef, number: int, prefix: str) -> dict[StoreKey, str]:
    """Return the version tags that the server gave with stored bytes, as earlier outcomes of the shard have them.

    A run that fell short made no snapshot, and one that found the same bytes again made no new one; what the server
    said of them is in the shard alone. The newest word on each counts.
    """
    outcomes = [
        (index.created, key)
        for key, index, _ in list_folders(store, prefix)
        if (index.inputs.get("listing"), index.inputs.get("number")) == (listing.id, number)
    ]
    tags: dict[StoreKey, str] = {}
    for _, key in sorted(outcomes):
        rows = read_parquet(read_file(store, key, IMAGES_NAME), columns=["image_key", "etag"])
        tags.update({row["image_key"]: row["etag"] for row in rows if row["etag"]})
    return tags


def _is_current(store: Store, shard: ShardRef, tables: Sequence[Path]) -> bool:
    """Return whether every image of a shard is in the store, and the newest snapshot knows no other bytes of it."""
    rows = list(read_parquet(read_file(store, shard, IMAGES_NAME), columns=["isic_id", "image_key"]))
    holdings = find_holdings(store, tables[:1], [row["isic_id"] for row in rows])
    newest = {isic_id: image.image_key for isic_id, image in holdings.known.items()}
    return all(
        row["image_key"] == newest[row["isic_id"]]
        if row["isic_id"] in newest
        else row["image_key"] in holdings.keys.get(row["isic_id"], ())
        for row in rows
    )


def _transfers(arrived: Sequence[Arrival]) -> JsonDict:
    """Return what this run transferred: no part of the outcome, which another run finds without any transfer."""
    sizes = [arrival.n_transferred_bytes for arrival in arrived]
    return {"n_transferred": sum(size > 0 for size in sizes), "n_bytes": sum(sizes)}


def _tables(
    listed: Sequence[ListedImage], arrived: Sequence[Arrival], missing: Sequence[MissingImage], crowds: Crowds
) -> tuple[list[ImageRow], list[Issue]]:
    """Return the rows of what arrived, and why anything is left out or set to unknown."""
    issues = [image.issue for image in listed if image.issue is not None]
    issues += [
        Issue(image.isic_id, image.stage, "excluded", "file", file_name(image.url), image.reason) for image in missing
    ]
    by_id = {image.isic_id: image for image in listed}
    rows = []
    for arrival in arrived:
        row, unmapped = _image_row(by_id[arrival.image.isic_id], arrival.image, crowds)
        rows.append(row)
        issues += [Issue.of_value(row.isic_id, value) for value in unmapped]
    return rows, sorted(issues)


def _image_row(image: ListedImage, stored: StoredImage, crowds: Crowds) -> tuple[ImageRow, list[Unmapped]]:
    """Return the row of an image, and the values that are outside the vocabulary."""
    facts = image.statement.facts
    known = {field.name: read_field(field, facts) for field in FIELDS}
    lesion, patient = id_of(facts, "lesion_id", crowds), id_of(facts, "patient_id", crowds)
    row = ImageRow(
        isic_id=image.isic_id,
        sha256=stored.sha256,
        image_key=stored.image_key,
        n_bytes=stored.n_bytes,
        width=stored.width,
        height=stored.height,
        diagnosis=image.diagnosis,
        metadata={name: None if isinstance(value, Unmapped) else value for name, value in known.items()},
        lesion_id=lesion if isinstance(lesion, str) else None,
        patient_id=patient if isinstance(patient, str) else None,
        licence=image.licence,
        attribution=image.attribution,
        confirm_type=text_of(facts, CONFIRMATION),
        is_synthetic=facts.get(MANIPULATION) == "synthetic",
        etag=stored.etag,
        raw_metadata=image.facts,
    )
    return row, [value for value in (*known.values(), lesion, patient) if isinstance(value, Unmapped)]
