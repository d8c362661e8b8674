"""What the user reads: complete, computed from the numbers given, free of promises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion_core.labels import CLASS_NAMES
from lesion_core.serving import wording
from lesion_core.serving.model_folder import Provenance
from lesion_core.serving.wording import Approval, Measured, MeasuredLimits, check_wording

APPROVAL = Approval(
    model_id="isic-quick/0f3a9c1d22b4", approver="Dr Grey", at="2026-03-04T05:06:07+00:00", reason="ok"
)
PROVENANCE = Provenance(
    dataset={"id": "isic/123456789abc"},
    licence="CC-BY-NC",
    attributions=("Clinic A", " ", "Clinic B"),
    synthetic=False,
    n_train_images=1234,
    absent_classes=("DF", "VASC"),
)
LIMITS = MeasuredLimits(
    test_set="isic/123456789abc",
    split="test",
    n_images=456,
    balanced_accuracy=Measured(value=0.51, low=0.44, high=0.58),
    melanoma_sensitivity=Measured(value=0.7, low=0.55, high=0.82),
    malignant_sensitivity=Measured(value=0.8, low=0.71, high=0.87),
    malignant_specificity=Measured(value=0.75, low=0.7, high=0.79),
    ppv_at_1_percent=0.0313,
    ppv_at_5_percent=0.1441,
)


def _text(**changes: object) -> str:
    fields: dict[str, object] = {"provenance": PROVENANCE, "limits": LIMITS, "approval": APPROVAL, **changes}
    statements = wording.disclaimer(
        fields["provenance"],  # type: ignore[arg-type]
        fields["limits"],  # type: ignore[arg-type]
        fields["approval"],  # type: ignore[arg-type]
        class_prior=fields.get("class_prior"),  # type: ignore[arg-type]
        keeps_record=bool(fields.get("keeps_record")),
    )
    return "\n".join(f"{item.title}: {item.text}" for item in statements)


@pytest.mark.parametrize(
    "needed",
    [
        "research use",
        "Not a medical device",
        "not validated on patients prospectively",
        "one dermoscopic image of one lesion",
        "1234 dermoscopic images (isic/123456789abc)",
        "never saw an example of: dermatofibroma, vascular lesion",
        "0.70 (95 % interval 0.55–0.82)",
        "0.80 (95 % interval 0.71–0.87)",
        "0.75 (95 % interval 0.70–0.79)",
        "456 images",
        "A benign result does not exclude cancer: act on clinical suspicion.",
        "no segmentation",
        "isic-quick/0f3a9c1d22b4",
        "2026-03-04 05:06 UTC by Dr Grey",
        "CC-BY-NC",
        "Images by: Clinic A; Clinic B. Licence CC-BY-NC, that of the most restricted image; so is the model's.",
        "temporary copy is deleted",
        "0.03 where 1 % of lesions are malignant",
        "0.14 where 5 % are",
        "no external test set",
        *[name.lower() for name in CLASS_NAMES.values()],
    ],
)
def test_the_disclaimer_says_what_it_must(needed: str) -> None:
    assert needed in _text()


def test_of_many_to_credit_the_rest_is_counted() -> None:
    many = PROVENANCE.model_copy(update={"attributions": tuple(f"Clinic {number}" for number in range(30))})
    line = wording.credit_line(many)
    assert line.count("Clinic ") + int(line.partition("; and ")[2].partition(" more")[0]) == 30
    assert "No attribution is recorded" in wording.credit_line(PROVENANCE.model_copy(update={"attributions": ()}))


def test_what_was_not_measured_is_said_and_not_invented() -> None:
    assert "limits are unknown: do not rely on any answer" in _text(limits=None)
    text = _text(limits=LIMITS.model_copy(update={"melanoma_sensitivity": None, "absent_classes": ("MEL",)}))
    assert "the test set has no melanoma" in text
    assert "untested: melanoma" in text


def test_a_test_set_from_elsewhere_is_reported() -> None:
    text = _text(limits=LIMITS.model_copy(update={"external": True}))
    assert "456 images of another dataset" in text
    assert "no external test set" not in text


def test_generated_training_images_are_called_generated() -> None:
    text = _text(provenance=PROVENANCE.model_copy(update={"synthetic": True}))
    assert "1234 generated images" in text
    assert "light skin" not in text


def test_the_record_is_reported_only_where_it_is_kept() -> None:
    assert "age decade" not in _text()
    assert "age decade" in _text(keeps_record=True)


def test_nothing_written_here_is_banned() -> None:
    constants = [value for name, value in vars(wording).items() if name.isupper() and isinstance(value, str)]
    assert len(constants) > 10
    texts = [
        *constants,
        *wording.MAP_NOTES.values(),
        _text(),
        _text(limits=None, keeps_record=True),
        *(f"{item.title} {item.text}" for item in wording.disclaimer_without_model()),
        wording.brief_disclaimer(),
        wording.rejected_image("the file is empty"),
        wording.cannot_load("a/b", "reason"),
        wording.newer_model("a/b"),
        wording.out_of_distribution(61.3, 38.0),
    ]
    assert {text: check_wording(text) for text in texts if check_wording(text)} == {}


@pytest.mark.parametrize(
    "promise",
    [
        "Melanoma confirmed.",
        "We are 100 % sure",
        "100% accuracy",
        "There is no need to see a doctor",
        "no need to consult anybody",
        "This rules out cancer",
        "Melanoma can be ruled out",
        "definitely benign",
        "You have melanoma",
        "The lesion is harmless.",
        "clinically validated",
        "FDA-approved",
        "detects melanoma",
        "Better than dermatologists",
        "highly accurate",
    ],
)
def test_promises_are_found(promise: str) -> None:
    assert check_wording(promise)


@given(st.floats(0, 1))
def test_no_probability_reads_like_certainty(probability: float) -> None:
    text = wording.percent(probability)
    assert not check_wording(text)
    assert text not in ("0.0 %", "100.0 %")


def test_signed_points() -> None:
    assert [wording.signed_points(value) for value in (0.031, -0.0041, 0.0001, -0.0001)] == [
        "+3.1",
        "−0.4",
        "0.0",
        "0.0",
    ]
