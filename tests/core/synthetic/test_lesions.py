"""What is drawn: each class by its painter, lesions that stay themselves from view to view."""

import io

import numpy as np
import pytest
from PIL import Image

from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.synthetic.camera import HEIGHT_PX, WIDTH_PX, Camera, photograph
from lesion_core.synthetic.lesions import draw_lesion
from lesion_core.synthetic.profiles import PROFILES
from lesion_core.synthetic.sheet import SHAPE, inside, outline
from lesion_core.synthetic.skin import SkinTone, draw_skin
from lesion_core.synthetic.textures import branches, clouds, honeycomb, spots

_CAMERA = Camera(cast=(1.0, 1.0, 1.0), dark_rim=0.0, ruler=0.0, jpeg_quality=95)
_FAIR, _DARK = SkinTone(melanin=0.1, blood=0.2), SkinTone(melanin=1.0, blood=0.2)


def test_every_class_has_a_painter_and_look_alikes_of_other_classes() -> None:
    assert set(PROFILES) == set(CLASS_ORDER)
    assert len({profile.paint for profile in PROFILES.values()}) == len(CLASS_ORDER)
    assert all(
        profile.look_alikes and diagnosis not in profile.look_alikes for diagnosis, profile in PROFILES.items()
    )


@pytest.mark.parametrize("diagnosis", CLASS_ORDER)
def test_a_lesion_marks_the_middle_and_leaves_the_edge_of_its_sheet_alone(diagnosis: Diagnosis) -> None:
    art = draw_lesion(diagnosis, np.random.default_rng(11), look_alike_share=0.0)
    assert art.passed.shape == art.scattered.shape == (*SHAPE, 3)
    edge = np.ones(SHAPE, bool)
    edge[1:-1, 1:-1] = False
    assert (art.passed[edge] >= 254).all()
    assert (art.scattered[edge] == 0).all()
    changed = (255 - art.passed.astype(int)).sum(-1) + art.scattered.astype(int).sum(-1)
    assert changed[80:160, 80:160].mean() > 40


def test_the_classes_differ_in_colour_as_they_should() -> None:
    def mean_passed(diagnosis: Diagnosis) -> np.ndarray:
        arts = [draw_lesion(diagnosis, np.random.default_rng([5, n]), 0.0) for n in range(12)]
        return np.asarray(np.mean([art.passed[80:160, 80:160].mean((0, 1)) for art in arts], axis=0))

    means = {diagnosis: mean_passed(diagnosis) for diagnosis in CLASS_ORDER}
    assert means[Diagnosis.MEL].mean() < means[Diagnosis.DF].mean()
    redness = {diagnosis: mean[0] / mean[1] for diagnosis, mean in means.items()}
    assert redness[Diagnosis.VASC] == max(redness.values())
    assert redness[Diagnosis.AK] > redness[Diagnosis.DF]


def test_a_look_alike_is_drawn_as_another_class() -> None:
    states = [np.random.default_rng([2, n]) for n in range(4)]
    own = [draw_lesion(Diagnosis.NV, np.random.default_rng([2, n]), 0.0).passed for n in range(4)]
    other = [draw_lesion(Diagnosis.NV, rng, 1.0).passed for rng in states]
    assert not any(np.array_equal(a, b) for a, b in zip(own, other, strict=True))


def test_views_of_one_lesion_differ_and_dark_skin_is_darker() -> None:
    art = draw_lesion(Diagnosis.NV, np.random.default_rng(1), 0.0)
    rng = np.random.default_rng(2)
    first, second = (photograph(art, _FAIR, _CAMERA, rng) for _ in range(2))
    assert first != second
    assert Image.open(io.BytesIO(first)).size == (WIDTH_PX, HEIGHT_PX)
    assert photograph(art, _FAIR, _CAMERA, np.random.default_rng(2)) == first
    fair, dark = (draw_skin(np.random.default_rng(3), tone, (64, 64)) for tone in (_FAIR, _DARK))
    assert (dark.mean((0, 1)) < fair.mean((0, 1))).all()


def test_an_outline_is_one_on_the_border_of_an_ellipse() -> None:
    distance = outline(np.random.default_rng(0), 0.0, 2.0)
    body = inside(distance, 0.01)
    height, width = np.ptp(np.where(body > 0.5)[0]), np.ptp(np.where(body > 0.5)[1])
    assert width / height == pytest.approx(2.0, abs=0.1)


def test_textures_keep_their_ranges() -> None:
    rng = np.random.default_rng(0)
    noise = clouds(rng, (50, 70), 12)
    assert noise.shape == (50, 70)
    assert noise.mean() == pytest.approx(0, abs=1e-4)
    assert noise.std() == pytest.approx(1, abs=1e-3)
    net = honeycomb(rng, (50, 70), 8, 0.2)
    assert 0 <= net.min() < net.max() <= 1
    nowhere = np.zeros((50, 70), bool)
    assert spots(rng, nowhere, 5, (1, 2), 0.5).max() == 0
    assert branches(rng, nowhere, 5, 30, 2, 0.5).max() == 0
    assert spots(rng, ~nowhere, 5, (2, 4), 0.5).max() > 0.3
    assert branches(rng, ~nowhere, 3, 30, 2, 0.5).max() > 0.3
