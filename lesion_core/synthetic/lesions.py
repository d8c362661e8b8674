"""One lesion of any class, drawn after what dermatoscopists tell it by (``profiles``).

The criteria overlap on purpose: an early melanoma is a nevus with a few signs, and a share of all lesions is drawn as
one of another class.
"""

import numpy as np

from lesion_core.labels import Diagnosis
from lesion_core.synthetic.profiles import PROFILES
from lesion_core.synthetic.sheet import LesionArt, Sheet

LOOK_ALIKE_SHARE = 0.08


def draw_lesion(
    diagnosis: Diagnosis, rng: np.random.Generator, look_alike_share: float = LOOK_ALIKE_SHARE
) -> LesionArt:
    """Draw one lesion; equal ``rng`` states give equal lesions."""
    drawn_as = diagnosis
    if rng.random() < look_alike_share:
        drawn_as = Diagnosis(str(rng.choice([str(item) for item in PROFILES[diagnosis].look_alikes])))
    sheet = Sheet(rng)
    PROFILES[drawn_as].paint(sheet)
    return sheet.finish()
