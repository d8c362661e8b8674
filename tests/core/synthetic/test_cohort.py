"""Patients, lesions and metadata."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion_core.isic.taxonomy import classify, site_of
from lesion_core.labels import CLASS_ORDER, SITE_ORDER, Diagnosis
from lesion_core.synthetic.archive import FEWEST_IMAGES
from lesion_core.synthetic.cohort import draw_cohort
from lesion_core.synthetic.faults import N_FAULTY_ROWS
from lesion_core.synthetic.vocabulary import COLUMNS, describe_lesion


@given(seed=st.integers(0, 2**32), n_images=st.integers(FEWEST_IMAGES, 500))
@settings(max_examples=40, deadline=None)
def test_a_cohort_has_the_images_asked_for_all_classes_and_nevi_to_spoil(seed: int, n_images: int) -> None:
    lesions = draw_cohort(np.random.default_rng(seed), n_images)
    assert sum(lesion.n_images for lesion in lesions) == n_images
    assert {lesion.diagnosis for lesion in lesions} == set(CLASS_ORDER)
    nevi_seen_once = [x for x in lesions if x.diagnosis is Diagnosis.NV and x.n_images == 1]
    assert len(nevi_seen_once) >= N_FAULTY_ROWS + 2


def test_the_default_size_can_be_split_in_every_class() -> None:
    lesions = draw_cohort(np.random.default_rng(7), 400)
    counts = Counter(lesion.diagnosis for lesion in lesions)
    assert min(counts.values()) >= 12
    assert max(counts, key=lambda item: counts[item]) is Diagnosis.NV


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_only_a_lesion_seen_once_may_lack_its_id_and_ids_are_unique(seed: int) -> None:
    lesions = draw_cohort(np.random.default_rng(seed), 200)
    assert all(lesion.identifier for lesion in lesions if lesion.n_images > 1)
    known = [lesion.identifier for lesion in lesions if lesion.identifier]
    assert len(known) == len(set(known))


def test_some_patients_have_several_lesions_and_metadata_leans_on_the_diagnosis() -> None:
    lesions = draw_cohort(np.random.default_rng(1), 2000)
    per_patient = Counter(lesion.patient.identifier for lesion in lesions if lesion.patient.identifier)
    assert max(per_patient.values()) > 1
    age = {
        item: np.mean([x.patient.age_years for x in lesions if x.diagnosis is item])
        for item in (Diagnosis.NV, Diagnosis.AK)
    }
    assert age[Diagnosis.AK] > age[Diagnosis.NV] + 5


def test_rows_use_the_archive_columns_and_some_values_are_missing() -> None:
    rng = np.random.default_rng(5)
    rows = [describe_lesion(lesion, rng) for lesion in draw_cohort(rng, 600)]
    assert all(tuple(row) == COLUMNS for row in rows)
    for column in ("age_approx", "anatom_site_1", "sex", "lesion_id", "patient_id", "diagnosis_confirm_type"):
        present = np.mean([row[column] != "" for row in rows])
        assert 0.4 < present < 1, column
    ages = {int(row["age_approx"]) for row in rows if row["age_approx"]}
    assert ages <= set(range(5, 90, 5))


def test_the_archive_vocabulary_leads_back_to_the_class_and_the_site_that_were_drawn() -> None:
    rng = np.random.default_rng(6)
    lesions = draw_cohort(rng, 1500)
    rows = [{name: value for name, value in describe_lesion(lesion, rng).items() if value} for lesion in lesions]
    assert [classify(row) for row in rows] == [lesion.diagnosis for lesion in lesions]
    sites = [site_of(row) for row in rows]
    assert all(site in (None, lesion.site) for site, lesion in zip(sites, lesions, strict=True))
    assert set(sites) == {None, *SITE_ORDER}
