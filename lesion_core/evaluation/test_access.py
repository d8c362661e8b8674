"""The test-set access log: which model was measured on which test split, when and why; append-only.

A number measured on test images is honest the first time. Whoever measures, changes the recipe and measures again
fits the recipe to the test, and no certificate shows it. So every evaluation on a test split is logged before one
image is predicted: ``looks/<dataset>/<test>/<digest12>.json``. ``<test>`` is the frozen test split's own name, or
``fold.2`` where fold 2 of a cross-validation is the test; both hold the same lesions for good, whichever dataset of
this name they are read from. A report that is found again is no new access. In datasets of older versions folds
hold images of the frozen test, so there an access to the one counts for the other as well.

Who is the first of a recipe on a test split is decided by one conditional write, the claim
``claims/<dataset>/<test>/<recipe>.json``: of two comparisons that start together, each of which finds the log empty,
one gets it, and the other is refused before it has predicted anything.
"""

import contextlib
import datetime
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import Field, ValidationError

from lesion_core.dataset.proof.certificate import CERTIFICATE_NAME, Certificate
from lesion_core.dataset.splitting.folds import hold_test
from lesion_core.errors import ArtifactCorrupt, ConfigError, StoreConflict
from lesion_core.evaluation.output_key import report_key_of
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.keys import LOOKS, canonical_json, claim_key, digest_of, test_access_key
from lesion_core.lineage.exposure import read_splits
from lesion_core.refs import DatasetRef
from lesion_core.stores.folders import read_file, utc_now
from lesion_core.stores.protocol import Store
from lesion_core.types import Slug, StoreKey, Value

_FOLD = "fold."  # a frozen test split's name has no dot
_MAX_NAMED = 5


class AccessEntry(Value):
    """One model measured on one test split."""

    dataset: Slug = Field(description="Name of the dataset")
    test: str = Field(description="Name of the frozen test split, or 'fold.2' for fold 2 of a cross-validation")
    dataset_id: str = Field(description="Which dataset of this name")
    recipe: Slug
    model_id: str
    report_key: StoreKey = Field(description="Where the report is, or was to be")
    reason: str = Field(default="", description="Why it was measured again, where the recipe had been before")
    at: str = Field(description="ISO 8601, UTC")
    is_apart: bool = Field(default=False, description="Whether the dataset's folds held no image of its frozen test")


class AccessCounts(Value):
    """How many models had been measured on a test split before a report was made."""

    same_recipe: int = Field(ge=0, description="Other models of the recipe's name")
    any_recipe: int = Field(ge=0, description="Other models of any recipe, those included")
    overlapping: int | None = Field(
        default=None,
        ge=0,
        description="Other models measured on test splits of the dataset's name that may share images with this one: "
        "other frozen tests, and where folds held images of the frozen test, folds; none: it was not counted",
    )


class Claim(Value):
    """The first models of a recipe on a test split; the content of a claim."""

    models: tuple[str, ...] = Field(description="Ids of the models of one experiment, sorted")
    at: str = Field(description="ISO 8601, UTC")


@dataclass(frozen=True, slots=True)
class PlannedAccess:
    """A planned measurement on a test split."""

    test: str
    dataset: DatasetRef
    recipe: str
    model_id: str


def name_test(store: Store, dataset: DatasetRef, fold: int | None) -> str:
    """Return what the test split is called in the log.

    Raises:
        ArtifactNotFound: The dataset is not in the store.
        ArtifactCorrupt: Its certificate is none.
    """
    if fold is not None:
        return f"{_FOLD}{fold}"
    return Certificate.model_validate_json(read_file(store, dataset, CERTIFICATE_NAME)).test.name


def record_access(
    job: EvaluateJob, store: Store, *, clock: Callable[[], datetime.datetime] = utc_now
) -> AccessCounts:
    """Note that a model is about to be measured on a test split, and return how many were before.

    The same evaluation again, after an interruption, is the same access. Where the job names companions, it must be
    the first access but for theirs: between a plan and its measurements lie the trainings, in which others may have
    come.

    Raises:
        ArtifactCorrupt: A note in the log is none.
        ConfigError: As for ``check_first_access``, where the job names companions; also where another experiment has
            the claim.
    """
    test, key = name_test(store, job.dataset, job.model.fold), report_key_of(job)
    planned = PlannedAccess(test, job.dataset, job.model.recipe, job.model.id)
    at = clock().astimezone(datetime.UTC).isoformat(timespec="seconds")
    claim = _claim(store, planned, job.companions or (), at)
    if job.companions is not None:
        check_first_access(store, [planned], companions=job.companions)
        if job.model.id not in claim.models and not set(claim.models) <= set(job.companions):
            raise _not_first(f"{', '.join(claim.models[:_MAX_NAMED])} on {test} at {claim.at}", claim.models)
    others = [entry for entry in read_accesses(store, job.dataset.name) if entry.model_id != job.model.id]
    before = [entry for entry in others if entry.test == test]
    entry = AccessEntry(
        dataset=job.dataset.name,
        test=test,
        dataset_id=job.dataset.id,
        recipe=job.model.recipe,
        model_id=job.model.id,
        report_key=key,
        reason=job.reason,
        at=at,
        is_apart=not hold_test(read_splits(store, job.dataset)),
    )
    place = test_access_key(entry.dataset, test, digest_of(key))
    if store.stat(place) is None:
        with contextlib.suppress(StoreConflict):  # another process notes the very same evaluation
            store.create(place, canonical_json(entry.model_dump(mode="json")))
    return AccessCounts(
        same_recipe=len({each.model_id for each in before if each.recipe == job.model.recipe}),
        any_recipe=len({each.model_id for each in before}),
        overlapping=len({each.model_id for each in others if _may_share_images(each, entry)}),
    )


def _may_share_images(one: AccessEntry, other: AccessEntry) -> bool:
    """Say whether two test splits of one dataset's name may hold the same images; two folds never do."""
    folds = [each for each in (one, other) if each.test.startswith(_FOLD)]
    if one.test == other.test or len(folds) == 2:
        return False
    return not (folds and folds[0].is_apart)


def read_accesses(store: Store, dataset: str = "", test: str = "") -> list[AccessEntry]:
    """Return the log, oldest first: of all datasets, of one by name, or of one of its test splits.

    Raises:
        ArtifactCorrupt: A note in it is none.
    """
    prefix = "/".join([LOOKS, *(part for part in (dataset, test) if part), ""])
    notes = [_parsed(key, store.read(key)) for key in store.list(prefix)]
    return sorted(notes, key=lambda entry: (entry.at, entry.dataset, entry.test, entry.report_key))


def check_first_access(store: Store, planned: Iterable[PlannedAccess], *, companions: Collection[str] = ()) -> None:
    """Refuse to measure a new version of a recipe on a test split that an older version was measured on.

    Versions that are planned together (several seeds) are one experiment and do not stand in each other's way. A
    model that was measured on the split already makes no new entry.

    Args:
        store: Where the log is.
        planned: The measurements that are planned.
        companions: Ids of models that belong to the same experiment, beside those of ``planned``.

    Raises:
        ConfigError: A recipe of this name was measured before; the message names the models and the way out.
    """
    planned = list(planned)
    ours = {access.model_id for access in planned}.union(companions)
    tests = sorted({(access.dataset.name, access.test) for access in planned})
    earlier = [
        each
        for test in tests
        for each in _in_the_way(read_accesses(store, *test), planned)
        if each.model_id not in ours
    ]
    if earlier:
        named = "; ".join(
            f"{each.model_id} on {each.test} of {each.dataset} at {each.at}" for each in earlier[:_MAX_NAMED]
        )
        more = "; …" if len(earlier) > _MAX_NAMED else ""
        raise _not_first(f"{named}{more}", sorted({each.model_id for each in earlier}))


def _not_first(named: str, models: Iterable[str]) -> ConfigError:
    return ConfigError(
        "expected the first access of these recipes to their test images, but other versions of the same name were "
        f"measured before: {named}. Choose on the calibration split, or say again=True with a reason, which is kept",
        models=list(models),
    )


def _claim(store: Store, planned: PlannedAccess, companions: Collection[str], at: str) -> Claim:
    """Claim a test split for a recipe's first experiment; return the claim that stands, ours or an earlier one."""
    place = claim_key(planned.dataset.name, planned.test, planned.recipe)
    if store.stat(place) is None:
        ours = Claim(models=tuple(sorted({planned.model_id, *companions})), at=at)
        with contextlib.suppress(StoreConflict):  # another process was faster
            store.create(place, canonical_json(ours.model_dump(mode="json")))
            return ours
    try:
        return Claim.model_validate_json(store.read(place))
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"expected the claim of a test split in {place}, got something else; restore it from a backup", key=place
        ) from error


def _in_the_way(noted: list[AccessEntry], planned: Iterable[PlannedAccess]) -> list[AccessEntry]:
    """Return the notes on one test split by recipes of which a model is to be measured there for the first time."""
    known = {(each.dataset, each.test, each.model_id) for each in noted}
    new = {
        (access.dataset.name, access.test, access.recipe)
        for access in planned
        if (access.dataset.name, access.test, access.model_id) not in known
    }
    return [each for each in noted if (each.dataset, each.test, each.recipe) in new]


def _parsed(key: StoreKey, body: bytes) -> AccessEntry:
    try:
        entry = AccessEntry.model_validate_json(body)
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"expected an access to a test split at {key!r}, got something else ({error.error_count()} fields "
            "wrong); restore it from a backup",
            key=key,
        ) from error
    if test_access_key(entry.dataset, entry.test, PurePosixPath(key).stem) != key:
        raise ArtifactCorrupt(
            f"expected an access to the test split that {key!r} names, got one at {entry.test} of {entry.dataset}; "
            "it was moved or changed: restore it from a backup",
            key=key,
        )
    return entry
