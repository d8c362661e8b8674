"""Logins, and what images are made for the page."""

import base64

import numpy as np
import pytest

from deployments.app.access import Users
from deployments.app.render import AGAINST, FOR, SIDE_PX, overlay
from lesion_core.errors import ConfigError


def _basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_no_users_means_no_login() -> None:
    users = Users(())
    assert not users.required
    assert users.accept_basic(None)


def test_only_the_right_pair_enters() -> None:
    users = Users(("doctor:pa:ss", "nurse:wörd"))
    assert users.required
    assert users.accept_basic(_basic("doctor:pa:ss"))
    assert users.accept_basic(_basic("nurse:wörd"))
    for header in (None, "", "Basic", "Basic !!!", "Bearer x", _basic("doctor:"), _basic("doctor:wörd"), _basic(":")):
        assert not users.accept_basic(header), header
    assert not users.accept("nobody", "\0")


@pytest.mark.parametrize("pair", ["doctor", "doctor:", ":secret", ""])
def test_half_a_pair_is_refused_without_repeating_it(pair: str) -> None:
    with pytest.raises(ConfigError, match="entry 2") as caught:
        Users(("a:b", pair))
    assert "secret" not in str(caught.value)


def test_the_map_colours_what_speaks_for_red_and_against_blue() -> None:
    pixels = np.full((32, 32, 3), (200, 150, 130), np.uint8)
    values = np.zeros((8, 8))
    values[1, 1], values[6, 6] = 2.0, -2.0
    image = overlay(pixels, values, 2.0)
    assert image.shape == (SIDE_PX, SIDE_PX, 3)
    cell = SIDE_PX // 8
    red, blue = image[cell + cell // 2, cell + cell // 2], image[6 * cell + cell // 2, 6 * cell + cell // 2]
    grey = image[cell // 8, 6 * cell]
    assert np.argmax(red) == np.argmax(FOR) == 0
    assert np.argmax(blue) == np.argmax(AGAINST) == 2
    assert np.ptp(grey.astype(int)) == 0
    assert abs(int(grey[0]) - 160) <= 1


def test_the_map_is_clipped_at_its_scale() -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    assert (overlay(pixels, np.full((8, 8), 9.0), 1.0) == overlay(pixels, np.full((8, 8), 1.0), 1.0)).all()
