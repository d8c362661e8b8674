from pathlib import Path

import numpy as np
import pytest

from lesion_core.errors import ConfigError
from lesion_core.fields.table import FIELDS
from lesion_core.labels import CLASS_ORDER, MALIGNANT, Diagnosis, Sex, Site
from lesion_core.serving.predictor import Predictor, explain_answer
from lesion_core.serving.what_if import WhatIf, inputs_of, what_if
from lesion_core.types import PatientMetadata
from tests.core.dataset.snapshots import draw
from tests.model_folders import SIZE_PX, Fusion, write_model_folder

PATIENT = PatientMetadata(age_years=71, sex=Sex.MALE, site=Site.HEAD_NECK)
PIXELS = draw(3, SIZE_PX, SIZE_PX)
MALIGNANT_PLACES = [CLASS_ORDER.index(name) for name in MALIGNANT]


@pytest.mark.parametrize("fusion", ["additive", "concat", "film"])
def test_each_field_and_all_of_them_are_what_the_model_answers_without(tmp_path: Path, fusion: Fusion) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path, fusion=fusion))
    found = what_if(predictor, PIXELS, PATIENT)
    assert [one.fields for one in found] == [("age_years",), ("sex",), ("site",), ("age_years", "sex", "site")]
    given = explain_answer(predictor, PIXELS, PATIENT).classes[0]
    for one in found:
        patient = PATIENT.model_copy(update=dict.fromkeys(one.fields))
        probs = predictor.predict(PIXELS[None], inputs_of([patient])).probs[0]
        assert (one.diagnosis, one.probability) == (given.diagnosis, pytest.approx(given.probability, abs=1e-6))
        assert one.probability_without == pytest.approx(probs[CLASS_ORDER.index(one.diagnosis)], abs=1e-6)
        assert one.malignant_without == pytest.approx(probs[MALIGNANT_PLACES].sum(), abs=1e-6)
        assert one.diagnosis_without == CLASS_ORDER[probs.argmax()]
        assert one.flips == (one.diagnosis_without != given.diagnosis)
    assert found[-1].probability_without == pytest.approx(given.probability_without_metadata, abs=1e-6)


def test_what_is_unknown_already_is_not_asked(tmp_path: Path) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path))
    assert what_if(predictor, PIXELS, PatientMetadata()) == ()
    assert [one.fields for one in what_if(predictor, PIXELS, PatientMetadata(sex=Sex.MALE))] == [("sex",)]


def test_a_model_of_the_image_alone_changes_nothing(tmp_path: Path) -> None:
    found = what_if(Predictor.load(write_model_folder(tmp_path, fusion="none")), PIXELS, PATIENT)
    assert [(one.change, one.flips) for one in found] == [(0, False)] * (len(FIELDS) + 1)


def answer(without: Diagnosis) -> WhatIf:
    return WhatIf(
        fields=("age_years", "site"),
        diagnosis=Diagnosis.NV,
        probability=0.6,
        probability_without=0.35,
        malignant=0.2,
        malignant_without=0.5,
        diagnosis_without=without,
    )


def test_it_warns_where_another_class_would_lead() -> None:
    same, benign, malignant = (answer(name) for name in (Diagnosis.NV, Diagnosis.BKL, Diagnosis.MEL))
    first = "With age and site unknown, the probability of melanocytic nevus is 0.35 instead of 0.60."
    assert same.in_words() == first
    assert benign.in_words() == (
        f"{first} Warning: the answer would change to benign keratosis; it depends on what was entered."
    )
    assert malignant.in_words() == (
        f"{first} Warning: the answer would change to melanoma, and between malignant and not malignant; it depends "
        "on what was entered."
    )
    assert (benign.flips, benign.flips_malignancy, malignant.flips_malignancy) == (True, False, True)
    assert malignant.change == pytest.approx(-0.25)


def test_pixels_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected uint8 images"):
        what_if(Predictor.load(write_model_folder(tmp_path)), PIXELS[:-1], PATIENT)


def test_inputs_are_those_of_a_dataset(tmp_path: Path) -> None:
    found = inputs_of([PATIENT, PatientMetadata()])
    assert {name: values.dtype for name, values in found.items()} == {field.input: field.dtype for field in FIELDS}
    assert found["sex_code"].tolist() == [2, 0]
    assert np.isnan(found["age_years"]).tolist() == [False, True]
