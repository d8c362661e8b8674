from pathlib import Path

import pytest
from pydantic import ValidationError

from lesion_core.isic.api.models import ImageOut, Page

SAMPLE = Path(__file__).parent / "samples" / "image.json"


def test_an_answer_keeps_types_and_keys_as_they_came() -> None:
    image = ImageOut.model_validate_json(SAMPLE.read_bytes())
    facts = image.facts()
    assert facts["mel_thick_mm"] == "0.45"  # a decimal is text
    assert facts["age_approx"] == 45
    assert facts["mel_ulcer"] is False
    assert facts["a_key_of_next_year"] == {"nested": [1, 2]}
    assert image.model_dump()["another_new_key"] == 7
    assert "anatom_site_3" not in facts


def test_a_null_counts_as_absent() -> None:
    image = ImageOut.model_validate_json(SAMPLE.read_bytes().replace(b'"female"', b"null"))
    assert "sex" not in image.facts()


@pytest.mark.parametrize("given", ["ISIC_123", "../../etc/passwd", "ISIC_00000031", "isic_0000003", ""])
def test_an_id_of_another_form_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="isic_id"):
        ImageOut.model_validate_json(SAMPLE.read_bytes().replace(b"ISIC_0000003", given.encode(), 1))


def test_a_page_without_results_is_refused() -> None:
    with pytest.raises(ValidationError, match="results"):
        Page.model_validate({"count": 3})
