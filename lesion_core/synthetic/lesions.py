"""Eight kinds of lesion, drawn after what dermatoscopists tell them by.

The criteria follow the consensus terms of Kittler et al. 2016 (J Am Acad Dermatol 74:1093,
doi:10.1016/j.jaad.2015.12.038). They overlap on purpose: an early melanoma is a nevus with a few signs,
and a share of all lesions is drawn as a look-alike.
"""

from collections.abc import Callable, Mapping

import numpy as np

from lesion_core.labels import Diagnosis
from lesion_core.synthetic.keratinising import paint_actinic_keratosis, paint_benign_keratosis, paint_squamous
from lesion_core.synthetic.melanocytic import paint_melanoma, paint_nevus
from lesion_core.synthetic.sheet import LesionArt, Sheet
from lesion_core.synthetic.stromal import paint_basal_cell, paint_dermatofibroma, paint_vascular

Painter = Callable[[Sheet], None]

PAINTERS: Mapping[Diagnosis, Painter] = {
    Diagnosis.MEL: paint_melanoma,
    Diagnosis.NV: paint_nevus,
    Diagnosis.BCC: paint_basal_cell,
    Diagnosis.AK: paint_actinic_keratosis,
    Diagnosis.BKL: paint_benign_keratosis,
    Diagnosis.DF: paint_dermatofibroma,
    Diagnosis.VASC: paint_vascular,
    Diagnosis.SCC: paint_squamous,
}
# What each is mistaken for at the bedside; such a lesion cannot be determined by its image.
LOOK_ALIKES: Mapping[Diagnosis, tuple[Diagnosis, ...]] = {
    Diagnosis.MEL: (Diagnosis.NV, Diagnosis.BKL),
    Diagnosis.NV: (Diagnosis.MEL, Diagnosis.BKL, Diagnosis.DF),
    Diagnosis.BCC: (Diagnosis.SCC, Diagnosis.NV),
    Diagnosis.AK: (Diagnosis.SCC, Diagnosis.BKL),
    Diagnosis.BKL: (Diagnosis.MEL, Diagnosis.NV, Diagnosis.AK),
    Diagnosis.DF: (Diagnosis.NV, Diagnosis.BCC),
    Diagnosis.VASC: (Diagnosis.MEL, Diagnosis.BCC),
    Diagnosis.SCC: (Diagnosis.AK, Diagnosis.BCC),
}
LOOK_ALIKE_SHARE = 0.08


def draw_lesion(
    diagnosis: Diagnosis, rng: np.random.Generator, look_alike_share: float = LOOK_ALIKE_SHARE
) -> LesionArt:
    """Draw one lesion; equal ``rng`` states give equal lesions."""
    drawn_as = diagnosis
    if rng.random() < look_alike_share:
        drawn_as = Diagnosis(str(rng.choice([str(item) for item in LOOK_ALIKES[diagnosis]])))
    sheet = Sheet(rng)
    PAINTERS[drawn_as](sheet)
    return sheet.finish()
