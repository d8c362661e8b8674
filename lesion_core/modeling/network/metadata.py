"""Metadata layers: raw numbers and codes in, numbers a network can weigh out.

A number such as the age in years arrives with NaN for unknown; a word such as the sex as a code with 0 for unknown
(``labels.code_of``). Everything after that happens here, inside the saved model, so training and serving cannot
disagree; a saved layer knows the fields that it was made for, whatever was added to the table since.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from lesion_core.fields.kinds import AnyField, CategoryField
from lesion_core.fields.table import AGE, FIELDS, SEX, SITE
from lesion_core.labels import UNKNOWN_CODE

# Both layers compute in float32 under any precision policy: half precision rounds ages, and the numbers are few.
Fields = dict[str, Any]  # the network's metadata inputs, by name


@dataclass(frozen=True, slots=True)
class Encoded:
    """How one input is encoded: as a number where it has no values, else one-hot with "unknown" first."""

    input: str
    n_values: int = 0
    centre: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, field: AnyField) -> "Encoded":
        """Return how a field of the table is encoded."""
        if isinstance(field, CategoryField):
            return cls(field.input, n_values=len(field.words))
        return cls(field.input, centre=field.centre, scale=field.scale)

    @property
    def unknown(self) -> list[float]:
        """The encoding of an unknown value."""
        return [1.0, *([0.0] * self.n_values)] if self.n_values else [0.0, 0.0, 1.0]


@keras.saving.register_keras_serializable(package="lesionflow")
class MetadataDropout(keras.layers.Layer):
    """Makes each field unknown with probability ``rate``, independently, at training only.

    So the network learns to do without, as it must when the clinician does not know.

    Input and output: a dict of the fields, (n,) each: float numbers and int codes.
    """

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})
        self.rate, self.seed = rate, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, fields: Fields, training: bool = False) -> Fields:
        if not training or self.rate == 0:
            return fields
        return {name: self._dropped(value) for name, value in fields.items()}

    def _dropped(self, value: Any) -> Any:
        draws = keras.random.uniform(ops.shape(value), dtype="float32", seed=self.seed_generator)
        is_number = keras.backend.is_float_dtype(value.dtype)
        return ops.where(draws < self.rate, ops.cast(float("nan") if is_number else UNKNOWN_CODE, value.dtype), value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="lesionflow")
class MetadataEncoding(keras.layers.Layer):
    """Encodes the fields as ``n_features`` float32 numbers, side by side in the order of the table.

    A number: (x - centre) / scale and its square (both 0 where unknown), and the flag "unknown". A word: one-hot with
    "unknown" first. With age, sex and site that makes (n, 15). A code outside its range encodes as all zeros; callers
    validate codes before.
    """

    def __init__(self, fields: Iterable[Mapping[str, Any]] | None = None, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})
        stated = map(Encoded.of, FIELDS) if fields is None else (Encoded(**each) for each in fields)
        self.encoded = tuple(stated)

    @property
    def n_features(self) -> int:
        """Length of the encoding."""
        return sum(len(each.unknown) for each in self.encoded)

    def call(self, fields: Fields) -> Any:
        return ops.concatenate([_encode(each, fields[each.input]) for each in self.encoded], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fields": [asdict(each) for each in self.encoded]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MetadataEncoding":
        """Return the layer that was saved; one that names no fields has the first three."""
        if "n_sexes" in config:
            others = {name: value for name, value in config.items() if name not in ("n_sexes", "n_sites")}
            return cls([asdict(Encoded.of(field)) for field in (AGE, SEX, SITE)], **others)
        return cls(**config)


def _encode(encoded: Encoded, value: Any) -> Any:
    if encoded.n_values:
        return ops.one_hot(value, encoded.n_values + 1, dtype="float32")
    number = ops.cast(value, "float32")
    is_unknown = ops.isnan(number)
    scaled = ops.where(is_unknown, 0.0, (number - encoded.centre) / encoded.scale)
    return ops.stack([scaled, ops.square(scaled), ops.cast(is_unknown, "float32")], axis=-1)


def unknown_encoding(n_features: int | None = None) -> np.ndarray:
    """Return what ``MetadataEncoding`` makes of a patient of whom nothing is known: float32 (15,) for three fields.

    ``n_features`` is the length for a network that was saved before later fields were: those come last.
    """
    numbers = [number for field in FIELDS for number in Encoded.of(field).unknown]
    return np.array(numbers[:n_features], np.float32)
