"""Metadata made unknown: models of which it is known what they read."""

import numpy as np
import pytest

from lesion_core.errors import DataError
from lesion_core.evaluation.analysis.missing_metadata import measure_missing_metadata
from lesion_core.evaluation.analysis.results import MissingMetadata
from lesion_core.evaluation.measurement import Scored
from lesion_core.fields.table import FIELDS
from lesion_core.labels import N_CLASSES
from lesion_core.progress import Progress
from tests.core.evaluation.analysis import models

TRUE = np.arange(160) % N_CLASSES
ROWS = models.make_rows(TRUE)


def _measure(model, scored: Scored | None = None, **options) -> MissingMetadata:  # type: ignore[no-untyped-def]
    return measure_missing_metadata(
        scored or models.scored_by(model, TRUE, ROWS),
        ROWS,
        predict=model,
        pixels=models.grey_pixels,
        n_bootstrap=100,
        **options,
    )


def test_a_model_that_ignores_metadata_loses_nothing() -> None:
    found = _measure(models.of_brightness)
    assert [one.unknown for one in found.fields] == [
        *((field.noun,) for field in FIELDS),
        tuple(field.noun for field in FIELDS),
    ]
    for one in found.fields:
        assert one.flips.value == 0
        assert one.flips.method == "Wilson"  # 160 groups do not prove that none ever changes
        assert one.balanced_accuracy.difference.value == 0
        assert one.log_loss.difference.value == 0
        assert "does not help here" in one.verdict
    assert found.image_only.title == "all unknown (image only)"


def test_a_model_that_reads_the_site_alone_falls_to_chance_without_it() -> None:
    by_name = {one.title: one for one in _measure(models.of_site).fields}
    for title in ("site unknown", "all unknown (image only)"):
        one = by_name[title]
        assert one.balanced_accuracy.candidate == 1
        assert one.balanced_accuracy.reference == pytest.approx(1 / N_CLASSES)
        assert one.malignant_sensitivity.reference == 0
        assert one.flips.value == pytest.approx(1 - 1 / N_CLASSES)
        assert one.log_loss.difference.value == pytest.approx(-np.log(19.67) * (1 - 1 / N_CLASSES), abs=0.05)
        assert " helps here: the difference" in one.verdict
    assert by_name["age unknown"].flips.value == by_name["sex unknown"].flips.value == 0


def test_metadata_that_misleads_is_said_to_harm() -> None:
    truth = np.where(np.arange(160) % 2, 0, 1)
    rows = models.make_rows(np.full(160, 5))  # a site that says dermatofibroma, of no image

    def misled(pixels, metadata):  # type: ignore[no-untyped-def]
        known = metadata["site_code"] > 0
        return np.where(known[:, None], models.of_site(pixels, metadata), models.of_brightness(pixels, metadata))

    found = measure_missing_metadata(
        models.scored_by(misled, truth, rows), rows, predict=misled, pixels=models.grey_pixels, n_bootstrap=100
    )
    assert found.image_only.balanced_accuracy.difference.value == -1
    assert "does not help here, it harms" in found.image_only.verdict


def test_images_without_metadata_are_not_predicted_again_and_each_batch_is_told() -> None:
    rows, told, asked = ROWS.assign(age_years=np.float32("nan"), sex_code=np.int8(0)), [], []
    rows.loc[40:, "site_code"] = 0

    def counting(pixels, metadata):  # type: ignore[no-untyped-def]
        asked.append(len(pixels))
        return models.of_site(pixels, metadata)

    def hear(progress: Progress) -> None:
        told.append((progress.done, progress.total))

    scored = models.scored_by(models.of_site, TRUE, rows)
    found = measure_missing_metadata(
        scored, rows, predict=counting, pixels=models.grey_pixels, n_bootstrap=100, on_progress=hear
    )
    n_variants = len(FIELDS) + 1
    assert sum(asked) == 40 * n_variants
    assert told[-1] == (40 * n_variants, 40 * n_variants)
    by_name = {one.title: one for one in found.fields}
    assert [by_name[f"{name} unknown"].n_images_known for name in ("age", "sex", "site")] == [0, 0, 40]
    assert "no image has a value" in by_name["age unknown"].verdict
    assert by_name["site unknown"].flips.value == pytest.approx(35 / 160)


def test_intervals_count_groups() -> None:
    one_group_each = _measure(models.of_site).image_only
    few = _measure(models.of_site, models.scored_by(models.of_site, TRUE, ROWS, np.arange(160) % 40)).image_only
    assert few.flips.value == one_group_each.flips.value
    assert few.log_loss.difference.low is None  # below 50 groups a mean has no interval
    assert few.flips.high - few.flips.low > 1.5 * (one_group_each.flips.high - one_group_each.flips.low)


def test_it_comes_back_from_json_as_it_was() -> None:
    found = _measure(models.of_site)
    assert MissingMetadata.model_validate_json(found.model_dump_json()) == found
    assert len(found.rows()) == len(FIELDS) + 1
    assert len(found.model_dump_json()) < 8_000


def test_wrong_lengths_and_answers_are_refused() -> None:
    with pytest.raises(DataError, match="160 scored images, got 3"):
        measure_missing_metadata(
            models.scored_by(models.of_site, TRUE, ROWS), ROWS[:3], predict=models.of_site, pixels=models.grey_pixels
        )
    with pytest.raises(DataError, match="finite probabilities"):
        measure_missing_metadata(
            models.scored_by(models.of_site, TRUE, ROWS),
            ROWS,
            predict=lambda pixels, metadata: np.full((len(pixels), N_CLASSES), np.nan),
            pixels=models.grey_pixels,
        )
