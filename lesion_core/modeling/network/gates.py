"""Gates: metadata that decides how much each feature of the image counts, taken apart exactly.

A gate multiplies every channel c of a map F by a scale and adds a shift: s_c F_c + t_c. Both depend on the metadata m
and, with MetaBlock, on the channel's own mean V_c over the map, never on a single cell. So gating commutes with the
mean over the map, and with K the 1×1 convolution to the classes the gated logit falls into three shares:

- evidence: K(s(V, m0) F), a map, with m0 the metadata all unknown;
- metadata: K t(m), which no pixel changes;
- interaction: K((s(V, m) - s(V, m0)) V), which is 0 where all metadata is unknown, and where the image is silent.
"""

from typing import Any

import keras
from keras import ops

from lesion_core.labels import N_CLASSES
from lesion_core.modeling.network.metadata import unknown_encoding

# Below this mean a channel's secant is replaced by its slope at 0: float32 could not divide the difference.
_SILENT = 1e-3


@keras.saving.register_keras_serializable(package="lesionflow")
class GatedEvidence(keras.layers.Layer):
    """One map gated by the metadata and weighed out to the classes, in float32 under any policy.

    'film' is feature-wise linear modulation (Perez et al. 2018, arXiv:1709.07871): scale 1 + W m, shift U m.

    'metablock' is MetaBlock (Pacheco & Krohling 2021, doi:10.1109/JBHI.2021.3062002, eq. 5), as its authors'
    code applies it, to the pooled features: T = sigmoid(tanh(f(m) V) + g(m)), with f = 1 + W m and g = U m, each
    without their batch normalisation, as the encoded metadata is of one size already. T is a function of each
    channel alone, so it is the shift T(V = 0) and the scale (T(V) - T(0)) / V, which shares T out over the map in
    proportion to the channel's activity there (DeepLIFT's rescale rule, Shrikumar et al. 2017, arXiv:1704.02685).

    W and U start at 0, so that at first the gate is the same for every patient and the head can be trained on a
    frozen backbone as any other.

    Input: [features (n, h, w, c), encoded metadata (n, m)]. Output, float32: ``evidence`` (n, h, w, k),
    ``metadata`` (n, k), ``interaction`` (n, k).
    """

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})
        self.kind = kind

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        (*_, n_channels), (_, n_fields) = input_shape
        small = keras.initializers.RandomNormal(stddev=0.01)
        self.kernel = self.add_weight(shape=(n_channels, N_CLASSES), initializer=small, name="kernel")
        self.scale_kernel = self.add_weight(shape=(n_fields, n_channels), initializer="zeros", name="scale_kernel")
        self.shift_kernel = self.add_weight(shape=(n_fields, n_channels), initializer="zeros", name="shift_kernel")

    def call(self, inputs: tuple[Any, Any]) -> dict[str, Any]:
        features, metadata = inputs
        unknown = ops.convert_to_tensor(unknown_encoding(self.scale_kernel.shape[0])[None])
        means = ops.mean(features, axis=(1, 2))
        scale_unknown = self._scale(means, unknown)
        change = self._scale(means, metadata) - scale_unknown
        # The scale belongs to the channel, so it is put into the features: (n, h, w, c) times (n, 1, 1, c).
        gated = features * (scale_unknown + ops.zeros_like(means))[:, None, None, :]
        return {
            "evidence": ops.matmul(gated, self.kernel),
            "metadata": ops.matmul(self._shift(metadata), self.kernel),
            "interaction": ops.matmul(change * means, self.kernel),
        }

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> dict[str, tuple[int | None, ...]]:
        n_images, height, width, _ = input_shape[0]
        shares = dict.fromkeys(("metadata", "interaction"), (n_images, N_CLASSES))
        return {"evidence": (n_images, height, width, N_CLASSES), **shares}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}

    def _scale(self, means: Any, metadata: Any) -> Any:
        factor = 1.0 + ops.matmul(metadata, self.scale_kernel)
        if self.kind == "film":
            return factor
        gate = ops.matmul(metadata, self.shift_kernel)
        is_silent = ops.abs(means) < _SILENT
        divisor = ops.where(is_silent, 1.0, means)
        secant = (ops.sigmoid(ops.tanh(factor * means) + gate) - ops.sigmoid(gate)) / divisor
        slope = factor * ops.sigmoid(gate) * (1.0 - ops.sigmoid(gate))
        return ops.where(is_silent, slope, secant)

    def _shift(self, metadata: Any) -> Any:
        shift = ops.matmul(metadata, self.shift_kernel)
        return shift if self.kind == "film" else ops.sigmoid(shift)
