"""Metadata layers: raw years and codes in, numbers a network can weigh out.

Age arrives in years with NaN for unknown; sex and site as codes with 0 for unknown (``labels.code_of``).
Everything after that happens here, inside the saved model, so training and serving cannot disagree.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from lesion_core.labels import SEX_ORDER, SITE_ORDER, UNKNOWN_CODE

# About the mean and the spread of the ISIC 2019 ages, so that the weights start at a useful size.
_AGE_CENTRE_YEARS = 50.0
_AGE_SCALE_YEARS = 20.0

# Both layers compute in float32 under any precision policy: half precision rounds ages, and the numbers are few.
Fields = dict[str, Any]  # age_years, sex_code, site_code


@keras.saving.register_keras_serializable(package="lesionflow")
class MetadataDropout(keras.layers.Layer):
    """Makes each field unknown with probability ``rate``, independently, at training only.

    So the network learns to do without, as it must when the clinician does not know.

    Input and output: a dict of ``age_years`` float (n,), ``sex_code`` and ``site_code`` int (n,).
    """

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})
        self.rate, self.seed = rate, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, fields: Fields, training: bool = False) -> Fields:
        if not training or self.rate == 0:
            return fields
        return {name: self._dropped(value, name) for name, value in fields.items()}

    def _dropped(self, value: Any, name: str) -> Any:
        draws = keras.random.uniform(ops.shape(value), dtype="float32", seed=self.seed_generator)
        unknown = float("nan") if name == "age_years" else UNKNOWN_CODE
        return ops.where(draws < self.rate, ops.cast(unknown, value.dtype), value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="lesionflow")
class MetadataEncoding(keras.layers.Layer):
    """Encodes the fields as ``n_features`` float32 numbers (n, 15).

    In order: age as (years - 50) / 20 and its square (both 0 where unknown), the flag "age unknown", sex one-hot
    with "unknown" first, site one-hot with "unknown" first. A code outside its range encodes as all zeros; callers
    validate codes before.
    """

    def __init__(self, n_sexes: int = len(SEX_ORDER), n_sites: int = len(SITE_ORDER), **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})
        self.n_sexes, self.n_sites = n_sexes, n_sites

    @property
    def n_features(self) -> int:
        """Length of the encoding."""
        return 3 + self.n_sexes + 1 + self.n_sites + 1

    def call(self, fields: Fields) -> Any:
        years = ops.cast(fields["age_years"], "float32")
        is_unknown = ops.isnan(years)
        age = ops.where(is_unknown, 0.0, (years - _AGE_CENTRE_YEARS) / _AGE_SCALE_YEARS)
        numbers = ops.stack([age, ops.square(age), ops.cast(is_unknown, "float32")], axis=-1)
        sex = ops.one_hot(fields["sex_code"], self.n_sexes + 1, dtype="float32")
        site = ops.one_hot(fields["site_code"], self.n_sites + 1, dtype="float32")
        return ops.concatenate([numbers, sex, site], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_sexes": self.n_sexes, "n_sites": self.n_sites}


def unknown_encoding() -> np.ndarray:
    """Return what ``MetadataEncoding`` makes of a patient of whom nothing is known: float32 (15,)."""
    flags = [np.eye(1, n, dtype=np.float32)[0] for n in (len(SEX_ORDER) + 1, len(SITE_ORDER) + 1)]
    return np.concatenate([np.array([0, 0, 1], np.float32), *flags])
