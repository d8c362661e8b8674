"""The gate: conditions, fixed before training, that a model must meet before anybody may approve it.

What it finds is a value. It is raised as an error only where somebody tries to approve in spite of it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from lesion_core.dataset.proof.certificate import verify_stored
from lesion_core.dataset.splitting.folds import name_splits
from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, DataError
from lesion_core.evaluation.analysis.out_of_distribution import read_flags
from lesion_core.evaluation.report import Metrics, read_metrics, read_predictions
from lesion_core.recipes.sections import GatePolicy
from lesion_core.refs import DatasetRef, ModelRef, ReportRef
from lesion_core.registry.decisions import latest_decision, list_decisions, record_decision
from lesion_core.registry.verdicts import GateCheck, GateDecision
from lesion_core.serving.model_folder import Provenance
from lesion_core.statistics.paired import Difference, paired_difference
from lesion_core.stores.folders import read_file
from lesion_core.stores.protocol import Store
from lesion_core.types import LICENCE_ORDER

__all__ = ["decide", "latest_decision", "list_decisions", "record_decision"]

_PROVENANCE_NAME = "provenance.json"


@dataclass(frozen=True, slots=True)
class _Case:
    """What the checks look at; ``decide`` says what each is."""

    report: ReportRef
    metrics: Metrics
    policy: GatePolicy
    store: Store
    against: ReportRef | None


def decide(report: ReportRef, policy: GatePolicy, store: Store, *, against: ReportRef | None = None) -> GateDecision:
    """Check a report against the policy, and the model against the approved one.

    Args:
        report: Evaluation of the model in question, on the test split.
        policy: The recipe's conditions.
        store: Where reports, models and datasets lie; only read.
        against: Evaluation of the approved model on the same test images; ``None`` where nothing is approved, or
            where it is this very model.

    Returns:
        Every check with the numbers compared, whether it passed or not.

    Raises:
        ArtifactNotFound: The report is not in the store.
        ArtifactCorrupt: Stored bytes are not those that were published.
    """
    case = _Case(report, read_metrics(store, report), policy, store, against)
    checks = [found for check in _CHECKS for found in check(case)]
    return GateDecision(
        model=report.model,
        report_id=report.id,
        passed=all(check.passed for check in checks),
        checks=tuple(checks),
        compared_with=against.model.id if against else None,
    )


def replaces_photographs(candidate: ModelRef, approved: ModelRef) -> bool:
    """Return whether a model of generated images would take the place of one of real photographs."""
    return candidate.synthetic and not approved.synthetic


def check_certificates(store: Store, report: ReportRef) -> list[GateCheck]:
    """Check the certificates of the dataset that a model was tested on and of the one it was trained on.

    Everything in them that can be counted is counted again in the stored tables.
    """
    trained_on = report.model.dataset
    checks = [_check_certificate(store, report.dataset, "tested on")]
    if trained_on.sha256 != report.dataset.sha256:
        checks.append(_check_certificate(store, trained_on, "trained on"))
    return checks


def _check_certificate(store: Store, dataset: DatasetRef, role: str) -> GateCheck:
    name = f"certificate of the dataset {role}"
    try:
        certificate = verify_stored(store, dataset)
    except (DataError, ArtifactNotFound, ArtifactCorrupt) as error:
        return GateCheck(name=name, passed=False, detail=f"{dataset.id} has no true certificate: {error}")
    n_overlaps = sum(certificate.overlaps.values()) + sum(certificate.fold_overlaps.values())
    return GateCheck(
        name=name,
        passed=n_overlaps == 0,
        detail=f"{dataset.id}: {certificate.n_images:,} images in {certificate.n_groups:,} groups, {n_overlaps:,} "
        "lesions, patients, files or near-duplicates in two splits or folds, 0 allowed; test split "
        f"{certificate.test.name!r} of {certificate.test.n_images:,} images",
    )


def _check_subject(case: _Case) -> Iterator[GateCheck]:
    subject, report = case.metrics.subject, case.report
    external = report.external or (subject.external.name if subject.external else "")
    is_same = subject.model_sha256 == report.model.sha256 and subject.dataset_sha256 == report.dataset.sha256
    yield GateCheck(
        name="measured on the test split",
        passed=is_same and not external and subject.split == report.split == "test",
        detail=f"{subject.n_images:,} {subject.split} images of {subject.dataset_id}, model {subject.model_id}"
        + ("" if is_same else ": not the model and dataset the report is filed under")
        + (f"; these are the external test set {external!r}, not the dataset's own test split" if external else ""),
    )


def _check_whole(case: _Case) -> Iterator[GateCheck]:
    """Check that the model is no part of a cross-validation: its sisters were chosen on what it is tested on."""
    model = case.report.model
    yield GateCheck(
        name="trained on the dataset's own splits",
        passed=model.fold is None,
        detail=f"trained on {name_splits(model.fold)} of {model.dataset.id}"
        + ("" if model.fold is None else ": a cross-validation's model; train on the dataset's own splits"),
    )


def _check_unseen(case: _Case) -> Iterator[GateCheck]:
    subject = case.metrics.subject
    n_seen = subject.n_seen_in_training
    yield GateCheck(
        name="test images unseen",
        passed=n_seen == 0,
        detail=f"{n_seen:,} of {subject.n_images:,} test images went into the making of the model, 0 allowed",
    )


def _check_accesses(case: _Case) -> Iterator[GateCheck]:
    """Count how often the recipe was tried on these test images: each time the number says a little less."""
    counts, allowed = case.metrics.subject.looks, case.policy.max_test_accesses
    if counts is None:
        return
    limit = "" if allowed is None else f", {allowed:,} of the recipe allowed"
    yield GateCheck(
        name="accesses to the test split",
        passed=allowed is None or counts.same_recipe <= allowed,
        detail=f"other models measured on it before: {counts.any_recipe:,}, of which {counts.same_recipe:,} of the "
        f"recipe {case.report.model.recipe!r}{limit}",
    )


def _check_flagged(case: _Case) -> Iterator[GateCheck]:
    """Check that the score that refuses strange images lets ordinary ones pass."""
    found, allowed = read_flags(case.store, case.report), case.policy.max_flagged
    if found is None or found.share.value is None:
        detail = "not known: the model has no such score, or no limit for it; images of any kind will be answered"
        yield GateCheck(name="test images within the distribution", passed=True, detail=detail)
        return
    low = found.share.value if found.share.low is None else found.share.low
    yield GateCheck(
        name="test images within the distribution",
        passed=low <= allowed,
        detail=f"{found.n_flagged:,} of {found.n_images:,} test images are flagged as unlike the training images, "
        f"{found.share.in_words()}; the lower end must not exceed {allowed:g}",
    )


def _check_chance(case: _Case) -> Iterator[GateCheck]:
    metrics, policy = case.metrics, case.policy
    score = metrics.balanced_accuracy
    needed = metrics.chance + policy.min_balanced_accuracy_over_chance
    absent = metrics.subject.absent_classes
    yield GateCheck(
        name="better than chance",
        passed=score.low is not None and score.low > needed,
        detail=f"balanced accuracy {score.in_words()}; the lower end must exceed {needed:.3f} (chance with "
        f"{len(metrics.subject.classes_present)} classes {metrics.chance:.3f} plus "
        f"{policy.min_balanced_accuracy_over_chance:.3f})"
        + (f"; not in the test: {', '.join(absent)}" if absent else ""),
    )


def _check_licence(case: _Case) -> Iterator[GateCheck]:
    """Check that the model states whom to credit, and a licence no wider than that of its training images."""
    model = case.report.model
    name, needed = "licence and attribution", model.dataset.licence
    try:
        provenance = Provenance.model_validate_json(read_file(case.store, model, _PROVENANCE_NAME))
    except (ArtifactNotFound, ArtifactCorrupt, ValidationError) as error:
        yield GateCheck(name=name, passed=False, detail=f"the model states no licence that can be read: {error}")
        return
    is_wider = LICENCE_ORDER.index(provenance.licence) < LICENCE_ORDER.index(needed)
    n_credited = sum(bool(text.strip()) for text in provenance.attributions)
    is_uncredited = needed != "CC-0" and not n_credited
    yield GateCheck(
        name=name,
        passed=not is_wider and not is_uncredited,
        detail=f"model {provenance.licence}, its training images {needed}; {n_credited:,} to credit"
        + ("; the model's licence is wider than its images'" if is_wider else "")
        + ("; this licence asks for attribution" if is_uncredited else ""),
    )


def _check_reality(case: _Case) -> Iterator[GateCheck]:
    """Check that generated images neither replace nor vouch for photographs."""
    report, against = case.report, case.against
    kind = {True: "generated images", False: "photographs"}
    if against is not None and replaces_photographs(report.model, against.model):
        problem = f"; it must not replace {against.model.id}, a model of photographs"
    elif report.dataset.synthetic and not report.model.synthetic:
        problem = "; a model of photographs must be tested on photographs"
    else:
        problem = ""
    yield GateCheck(
        name="real and generated images apart",
        passed=not problem,
        detail=f"trained on {kind[report.model.synthetic]}, tested on {kind[report.dataset.synthetic]}{problem}",
    )


def _check_against(case: _Case) -> Iterator[GateCheck]:
    """Check that the model is not worse than the approved one, by the paired group bootstrap on the same images."""
    report, against, policy = case.report, case.against, case.policy
    if against is None:
        return
    candidate, reference = read_predictions(case.store, report), read_predictions(case.store, against)
    columns = ["isic_id", "group", "class_index"]
    if not candidate[columns].equals(reference[columns]):
        common = len(set(candidate["isic_id"]) & set(reference["isic_id"]))
        detail = (
            f"{len(candidate):,} and {len(reference):,} images, {common:,} in common: evaluate {against.model.id} on "
            f"the {report.split} split of {report.dataset.id}"
        )
        yield GateCheck(name="same test images as the approved model", passed=False, detail=detail)
        return
    comparison = paired_difference(
        candidate["class_index"].to_numpy(np.int64),
        candidate["predicted_index"].to_numpy(np.int64),
        reference["predicted_index"].to_numpy(np.int64),
        candidate["group"].to_numpy(str),
        n_bootstrap=case.metrics.subject.n_bootstrap,
        seed=case.metrics.subject.seed,
    )
    yield _check_drop("balanced accuracy", comparison.balanced_accuracy, policy.max_balanced_accuracy_drop, against)
    yield _check_drop(
        "malignant sensitivity", comparison.malignant_sensitivity, policy.max_malignant_sensitivity_drop, against
    )


def _check_drop(what: str, found: Difference, allowed: float, against: ReportRef) -> GateCheck:
    name = f"{what} against the approved model"
    if found.candidate is None or found.reference is None or found.difference.value is None:
        return GateCheck(name=name, passed=True, detail="not known: the test has no such images")
    # The numbers are shares of a few thousand images; what is equal on paper must not fail on the last bit.
    is_kept = found.difference.value >= -allowed - 1e-9
    return GateCheck(
        name=name,
        passed=is_kept,
        detail=f"{found.candidate:.3f} against {found.reference:.3f} of {against.model.id}: difference "
        f"{found.difference.value:+.3f} ({found.difference.interval_in_words()}), a drop of {allowed:.3f} is allowed",
    )


# All that is checked, in the order in which a decision lists it.
_CHECKS: tuple[Callable[[_Case], Iterable[GateCheck]], ...] = (
    lambda case: check_certificates(case.store, case.report),
    _check_subject,
    _check_whole,
    _check_unseen,
    _check_accesses,
    _check_flagged,
    _check_chance,
    _check_licence,
    _check_reality,
    _check_against,
)
