"""How much harm a mistake can do: which mistakes are looked at first."""

from collections.abc import Mapping

import numpy as np

from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, MALIGNANT, N_CLASSES, Diagnosis

# A missed melanoma costs most: it spreads early. Squamous cell carcinoma may spread, basal cell carcinoma seldom.
_WORST_MISSED = (Diagnosis.MEL, Diagnosis.SCC, Diagnosis.BCC)
MISSED: tuple[Diagnosis, ...] = (*_WORST_MISSED, *(name for name in MALIGNANT if name not in _WORST_MISSED))
OTHER_MALIGNANT, FALSE_ALARM, AMONG_THE_REST, RIGHT = (len(MISSED) + place for place in range(1, 5))
HARM_IN_WORDS: Mapping[int, str] = {
    **{rank: f"missed {CLASS_NAMES[name].lower()}" for rank, name in enumerate(MISSED, start=1)},
    OTHER_MALIGNANT: "malignant, taken for another malignant class",
    FALSE_ALARM: "not malignant, called malignant",
    AMONG_THE_REST: "not malignant, taken for another class that is not malignant",
    RIGHT: "right",
}
_IS_MALIGNANT = np.isin(np.arange(N_CLASSES), [CLASS_ORDER.index(name) for name in MALIGNANT])


def harm_of(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the harm rank of each answer, int64 (n,), 1 the worst; ``HARM_IN_WORDS`` says what each is.

    A malignant image that is called by no malignant class is missed (melanoma, then squamous, then basal cell
    carcinoma). Actinic keratosis is precancerous and counts as not malignant here, as everywhere else.

    Args:
        true: int (n,), 0-based in ``CLASS_ORDER``.
        predicted: int (n,), likewise.
    """
    rank_of_missed = np.zeros(N_CLASSES, np.int64)
    rank_of_missed[[CLASS_ORDER.index(name) for name in MISSED]] = np.arange(1, len(MISSED) + 1)
    malignant, called = _IS_MALIGNANT[true], _IS_MALIGNANT[predicted]
    harm = np.where(called, FALSE_ALARM, AMONG_THE_REST)
    harm = np.where(malignant, np.where(called, OTHER_MALIGNANT, rank_of_missed[true]), harm)
    ranks: np.ndarray = np.where(true == predicted, RIGHT, harm)
    return ranks
