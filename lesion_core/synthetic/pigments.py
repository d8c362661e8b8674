"""What colours skin and lesions: absorbing pigments, and what scatters light back over them.

A pigment is the light it takes per unit amount, as optical density (natural logarithm) in R, G, B. So
colours mix as they do in tissue: densities add, and a lesion looks different on dark skin.
"""

import numpy as np


def _pigment(red: float, green: float, blue: float) -> np.ndarray:
    return np.array([red, green, blue], np.float32)


MELANIN = _pigment(0.55, 0.86, 1.10)  # brown; black in large amounts
DEEP_MELANIN = _pigment(0.95, 0.78, 0.55)  # melanin in the dermis looks blue-grey (Tyndall effect)
BLOOD = _pigment(0.10, 0.66, 0.50)  # oxygenated: red
STAGNANT_BLOOD = _pigment(0.42, 1.30, 0.72)  # purple to maroon
SERUM = _pigment(0.05, 0.30, 0.85)  # yellow-orange crust
KERATIN = _pigment(0.02, 0.10, 0.32)  # yellowish horn

PAPER_WHITE = _pigment(1.00, 0.98, 0.95)
IVORY = _pigment(1.00, 0.93, 0.78)
PEARL = _pigment(1.00, 0.92, 0.92)
BLUE_WHITE = _pigment(0.80, 0.88, 1.00)
