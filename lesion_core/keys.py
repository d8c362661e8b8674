"""Every key in the store is made here.

::

    archive/<isic_id>/<sha256>.<ext>               raw bytes as downloaded
    listings/<name>/<digest12>/…                   what the archive lists, in shards · issues.parquet · index.json
    shards/<name>/<digest12>/…                     what became of one shard of a listing · index.json
    snapshots/<name>/<digest12>/…                  images.parquet · issues.parquet · index.json
    members/<name>/<digest12>.parquet              images and splits of a dataset that was removed, append-only
    withdrawn/<isic_id>.json                       images that the archive took back, append-only
    datasets/<name>/<digest12>/…                   manifest.parquet · splits.parquet · certificate.json · records/ · …
    models/<recipe>/<digest12>/…                   model.keras · model.onnx · recipe.json · … · index.json
    weights/<sha256>/<file>                        pretrained weights that recipes name, as they were put there
    reports/<recipe>-<model12>/<digest12>/…        metrics.json · predictions.parquet · figures/*.png · index.json
    data-reports/<dataset>/<digest12>/…            report.html · summary.json · figures/*.png · index.json
    comparisons/<name>/<digest12>/…                leaderboard.json · leaderboard.csv · figures/*.png · index.json
    unknown-classes/<recipe>-<model12>/<digest12>/…  how a model tells a class that it never learnt · index.json
    source-shifts/<recipe>-<model12>/<digest12>/…    how a model does on a source that it never saw · index.json
    looks/<dataset>/<test>/<digest12>.json         which model was measured on which test split, append-only
    claims/<dataset>/<test>/<recipe>.json          which models of a recipe were the first there, once
    trials/<recipe>/<digest12>/…                   recipe.json · history.csv of one trial of a search · index.json
    studies/<recipe>/<digest12>/…                  trials.csv · best.yaml · figures/*.png · index.json
    signals/<study>/<number>/…                     a running trial's epochs, and what its study says to them
    gates/<recipe>/<model12>/<digest12>.json       gate decisions, append-only
    channels/<channel>.json                        the only mutable objects
    events/<channel>/<number>.json                 their history, append-only
    audit/<date>/…                                 predictions without pixels or identity

In a folder, only ``index.json`` lies at the top; its files lie one level down, under the digest of their list, so
that two workers whose outputs differ never overwrite each other's. Read them through ``stores.folders``.
"""

import hashlib
import json
import re
from typing import Any

from lesion_core.errors import ConfigError
from lesion_core.types import StoreKey

INDEX_NAME = "index.json"
LOOKS, CLAIMS, COMPARISONS = "looks", "claims", "comparisons"
UNKNOWN_CLASSES, SOURCE_SHIFTS = "unknown-classes", "source-shifts"
DIGEST_LENGTH = 12
SHARD_PREFIX_LENGTH = 4
_PART = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$")


def canonical_json(value: Any) -> bytes:
    """Return the one JSON spelling of ``value``: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(value: Any) -> str:
    """Return the sha256 (hex, 64 characters) of a JSON-serialisable value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _join(*parts: str) -> StoreKey:
    for part in parts:
        if not _PART.match(part) or ".." in part:
            raise ConfigError(
                f"expected a name of letters, digits, '.', '_' and '-' for a store key, got {part!r}; rename it"
            )
    return "/".join(parts)


def archive_key(isic_id: str, sha256: str, extension: str) -> StoreKey:
    """Return the key of one image's raw bytes."""
    return _join("archive", isic_id, f"{sha256}.{extension}")


def listing_key(name: str, digest: str) -> StoreKey:
    """Return the folder of a listing of the archive."""
    return _join("listings", name, digest[:DIGEST_LENGTH])


def shard_key(name: str, digest: str, outcome: str = "") -> StoreKey:
    """Return the folder of what became of one shard of a listing.

    Args:
        name: Of the listing.
        digest: Of the listing and the shard's number.
        outcome: Digest of what became of it; empty for the first complete outcome. All outcomes of one shard lie
            below ``shard_prefix``, so that they are found without knowing what they are.
    """
    begun = digest[:SHARD_PREFIX_LENGTH] + outcome if outcome else digest
    return _join("shards", name, begun[:DIGEST_LENGTH])


def shard_prefix(name: str, digest: str) -> StoreKey:
    """Return how the keys of all outcomes of one shard begin; few other shards' do."""
    return _join("shards", name, digest[:SHARD_PREFIX_LENGTH])


def withdrawn_key(isic_id: str) -> StoreKey:
    """Return the key of the note that the archive withdrew an image."""
    return _join("withdrawn", f"{isic_id}.json")


def snapshot_key(name: str, digest: str) -> StoreKey:
    """Return the folder of a snapshot of the archive."""
    return _join("snapshots", name, digest[:DIGEST_LENGTH])


def dataset_key(name: str, digest: str) -> StoreKey:
    """Return the folder of a dataset."""
    return _join("datasets", name, digest[:DIGEST_LENGTH])


def members_key(dataset_id: str) -> StoreKey:
    """Return the key of the list of images that the removed dataset called ``dataset_id`` had."""
    name, digest = dataset_id.split("/")
    return _join("members", name, f"{digest}.parquet")


def model_key(recipe: str, digest: str) -> StoreKey:
    """Return the folder of a model version."""
    return _join("models", recipe, digest[:DIGEST_LENGTH])


def weights_key(sha256: str, file_name: str) -> StoreKey:
    """Return the key of a file of pretrained weights."""
    return _join("weights", sha256, file_name)


def report_key(model_id: str, digest: str) -> StoreKey:
    """Return the folder of an evaluation of the model called ``model_id``."""
    return _join("reports", model_id.replace("/", "-"), digest[:DIGEST_LENGTH])


def unknown_class_key(model_id: str, digest: str) -> StoreKey:
    """Return the folder of how well the model called ``model_id`` tells a class that it never learnt."""
    return _join(UNKNOWN_CLASSES, model_id.replace("/", "-"), digest[:DIGEST_LENGTH])


def source_shift_key(model_id: str, digest: str) -> StoreKey:
    """Return the folder of how the model called ``model_id`` does on a source that it never saw."""
    return _join(SOURCE_SHIFTS, model_id.replace("/", "-"), digest[:DIGEST_LENGTH])


def data_report_key(dataset: str, digest: str) -> StoreKey:
    """Return the folder of the report on a dataset called ``dataset``."""
    return _join("data-reports", dataset, digest[:DIGEST_LENGTH])


def comparison_key(name: str, digest: str) -> StoreKey:
    """Return the folder of a comparison of recipes."""
    return _join(COMPARISONS, name, digest[:DIGEST_LENGTH])


def test_access_key(dataset: str, test: str, digest: str) -> StoreKey:
    """Return the key of the note that a model was measured on the split ``test`` of a dataset's name."""
    return _join(LOOKS, dataset, test, f"{digest[:DIGEST_LENGTH]}.json")


def claim_key(dataset: str, test: str, recipe: str) -> StoreKey:
    """Return the key of the claim that a recipe is measured on the split ``test`` of a dataset's name."""
    return _join(CLAIMS, dataset, test, f"{recipe}.json")


def gate_key(model_id: str, digest: str) -> StoreKey:
    """Return the key of one gate decision on the model called ``model_id``."""
    return _join("gates", *model_id.split("/"), f"{digest[:DIGEST_LENGTH]}.json")


def trial_key(recipe: str, digest: str) -> StoreKey:
    """Return the folder of a finished trial."""
    return _join("trials", recipe, digest[:DIGEST_LENGTH])


def study_key(recipe: str, digest: str) -> StoreKey:
    """Return the folder of what a study found."""
    return _join("studies", recipe, digest[:DIGEST_LENGTH])


def signal_key(study: str, number: int, kind: str, epoch: int) -> StoreKey:
    """Return the key of one word between a study and its trial ``number``.

    An 'epoch' or the 'verdict' on it; or 'halt', which is of no epoch and has 0.
    """
    return _join("signals", study, f"{number:05d}", f"{kind}-{epoch:04d}.json")


def signals_prefix(study: str, number: int) -> StoreKey:
    """Return what the keys of all words between a study and its trial ``number`` begin with."""
    return f"{_join('signals', study, f'{number:05d}')}/"


def channel_key(channel: str) -> StoreKey:
    """Return the key of a channel's pointer."""
    return _join("channels", f"{channel}.json")


def event_key(channel: str, number: int) -> StoreKey:
    """Return the key of the ``number``-th event (from 1) of a channel."""
    return _join("events", channel, f"{number:08d}.json")


def audit_key(date: str, name: str) -> StoreKey:
    """Return the key of one audit record of the day ``date`` (YYYY-MM-DD)."""
    return _join("audit", date, name)


def index_key(folder: str) -> StoreKey:
    """Return the key of an artifact folder's index."""
    return f"{folder}/{INDEX_NAME}"


def id_of(folder: str) -> str:
    """Return the readable id of an artifact folder: its key without the first part."""
    return folder.partition("/")[2]
