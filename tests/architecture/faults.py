"""Faults planted in the product's own code, each with a test of CI that must find it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One protection taken away.

    Attributes:
        name: What no longer holds.
        path: The file, from the project's folder.
        right: The code as it is; it occurs once.
        wrong: What is planted in its place.
        test: The test that finds it, as pytest names it; without a parameter, any of its cases may.
    """

    name: str
    path: str
    right: str
    wrong: str
    test: str


FAULTS = (
    Fault(
        "images of one lesion share a split",
        "lesion_core/dataset/splitting/groups.py",
        'EVIDENCE = ("patient_id", "lesion_id", "sha256")',
        'EVIDENCE = ("patient_id", "sha256")',
        "tests/core/dataset/test_groups.py::test_groups_are_the_closure_of_the_evidence_in_any_order",
    ),
    Fault(
        "a frozen test split gains no image",
        "lesion_core/dataset/splitting/splits.py",
        '(held == "test") & ~manifest["isic_id"].isin(',
        '(held == "nothing") & ~manifest["isic_id"].isin(',
        "tests/core/dataset/test_splits.py::test_a_frozen_test_never_gains_whatever_is_added",
    ),
    Fault(
        "a folder is published whole or not at all",
        "lesion_core/stores/folders.py",
        "    home = files_folder(folder_key, index)\n    tally",
        "    home = files_folder(folder_key, index)\n    _create_index(store, folder_key, index)\n    tally",
        "tests/core/stores/test_folders.py::test_an_interrupted_publication_is_continued",
    ),
    Fault(
        "of two updates at once, none is lost",
        "lesion_core/stores/local.py",
        "if not target.is_file() or file_digest(target) != expected_tag:",
        "if not target.is_file():",
        "tests/core/stores/test_conditions.py::test_a_plain_write_between_reading_and_replacing_is_not_lost",
    ),
    Fault(
        "a killed training repeats no step",
        "lesion_core/training/loop/fit.py",
        "self._awaited(setup.batches(state.epoch, state.batch))",
        "self._awaited(setup.batches(state.epoch, 0))",
        "tests/core/training/test_fit.py::test_interruptions_in_the_middle_of_an_epoch_change_nothing",
    ),
    Fault(
        "what is served sees the pixels that the model learnt from",
        "lesion_core/serving/predictor.py",
        "explain_answer(self, resize(image, self.preprocessing), metadata, notes)",
        "explain_answer(self, resize(image[..., ::-1], self.preprocessing), metadata, notes)",
        "tests/core/serving/test_predictor.py::test_a_file_is_answered_as_its_preprocessed_pixels_are",
    ),
    Fault(
        "a model that answers in another order of classes is not served",
        "lesion_core/serving/model_folder.py",
        "        if labels.get(field) != ours:\n",
        "        if sorted(labels.get(field, [])) != sorted(ours):\n",
        "tests/core/serving/test_predictor.py::test_another_order_is_refused",
    ),
    Fault(
        "an answer gives each class its own probability",
        "lesion_core/serving/predictor.py",
        "                diagnosis=CLASS_ORDER[index],\n",
        "                diagnosis=CLASS_ORDER[index - 1],\n",
        "tests/core/serving/test_predictor.py::test_a_file_is_answered_as_its_preprocessed_pixels_are",
    ),
    Fault(
        "only images under an accepted licence are taken",
        "lesion_core/isic/listing/selection.py",
        "    if licence not in source.licences:\n",
        "    if not licence:\n",
        "tests/core/isic/test_ingest.py::test_a_licence_that_is_not_accepted_excludes_with_a_reason",
    ),
    Fault(
        "a model worse than the approved one does not pass the gate",
        "lesion_core/registry/gate.py",
        "is_kept = found.difference.value >= -allowed - 1e-9",
        "is_kept = found.difference.value >= -1.0",
        "tests/core/registry/test_gate.py::test_a_worse_model_does_not_replace_a_better_one",
    ),
    Fault(
        "a step whose code changed has another version",
        "lesion_core/dataset/splitting/groups.py",
        'transform("min")',
        'transform("max")',
        "tests/architecture/test_rules.py::test_a_change_of_a_step_raises_its_version",
    ),
    Fault(
        "a photograph is seen upright",
        "lesion_core/images/samples.py",
        "return image if turn is None else image.transpose(turn)",
        "return image",
        "tests/core/test_images.py::test_exif_orientation_is_applied",
    ),
    Fault(
        "the record of an answer singles nobody out",
        "lesion_core/fields/kinds.py",
        "return self.band_name, min(self.last_band, int(value) // self.band_width * self.band_width)",
        "return self.band_name, value",
        "tests/core/serving/test_audit.py::test_neither_pixels_nor_exact_age_are_in_it",
    ),
    Fault(
        "only what may succeed later is tried again",
        "tasks/policies.py",
        'return bool(getattr(error, "transient", False))',
        "return True",
        "tests/tasks/test_policies.py::test_only_what_may_succeed_later_is_tried_again",
    ),
    Fault(
        "a model that was calibrated on test images is refused",
        "lesion_core/evaluation/predictions.py",
        'if split != "calibration" and held:',
        "if not held:",
        "tests/core/evaluation/test_job.py::test_a_model_that_was_calibrated_on_test_images_is_refused",
    ),
    Fault(
        "each class has the coverage that its sets state",
        "lesion_core/statistics/guarantees/conformal.py",
        "return float(np.sort(values)[k - 1]) if k >= 1 else 0.0",
        "return float(np.sort(values)[min(3 * k, len(values) - 1)]) if k >= 1 else 0.0",
        "tests/core/statistics/test_conformal.py::test_every_class_has_the_coverage_that_is_stated",
    ),
    Fault(
        "a promised sensitivity is kept as often as it says",
        "lesion_core/statistics/guarantees/operating_points.py",
        "1 - wanted) <= 1 - confidence)",
        "1 - wanted) <= confidence)",
        "tests/core/statistics/test_operating_points.py::test_the_promise_is_kept_as_often_as_it_says",
    ),
    Fault(
        "a picture of something else is not answered",
        "deployments/app/prediction_service.py",
        'self.ood_policy == "refuse" and answer.is_far',
        'self.ood_policy == "refuse" and False',
        "tests/app/test_api.py::test_an_image_unlike_the_training_is_refused_and_another_is_answered",
    ),
    Fault(
        "images of one group count once in an interval",
        "lesion_core/statistics/group_means.py",
        "codes = group_codes(self.groups[chosen])",
        "codes = np.arange(int(chosen.sum()))",
        "tests/core/statistics/test_group_means.py::test_images_of_a_group_are_no_independent_evidence",
    ),
    Fault(
        "what the model was made from is left out of an external test",
        "lesion_core/evaluation/external.py",
        'rows = test[~test["isic_id"].isin(overlap.rows["isic_id"])].reset_index(drop=True)',
        "rows = test.reset_index(drop=True)",
        "tests/core/evaluation/test_external.py::test_what_the_model_was_made_from_is_left_out_by_name",
    ),
)
