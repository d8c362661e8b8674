import numpy as np
import pandas as pd

from lesion_core.evaluation.analysis.missing_metadata import measure_missing_metadata
from lesion_core.evaluation.analysis.run import Material
from lesion_core.evaluation.pools import with_pooled_answers
from lesion_core.evaluation.scored import Scored
from tests.core.evaluation.analysis import models
from tests.core.statistics.test_conformal import simulated


def test_a_part_is_whole_groups_and_all_where_there_are_few_enough() -> None:
    true, probs = simulated(300, 1)
    groups = np.arange(300) // 3
    scored = Scored(true, probs, groups)
    rows = pd.DataFrame({"place": np.arange(300)})
    material = Material(None, None, None, rows, rows, scored, None, 100, 7)  # type: ignore[arg-type]
    whole, all_rows = material.part(300)
    assert whole is scored
    assert all_rows is rows
    part, some = material.part(100)
    assert 80 <= len(some) <= 100
    places = some["place"].to_numpy()
    np.testing.assert_array_equal(part.class_index, true[places])
    np.testing.assert_array_equal(part.probs, probs[places])
    counts = np.bincount(part.groups)
    assert set(counts[counts > 0]) == {3}


def test_what_is_predicted_again_is_filed_as_the_pool_is() -> None:
    """The model never changes its mind; melanoma and nevus count as one, so that neither may an image seem to."""
    true = np.arange(160) % 2
    rows = models.make_rows(true)
    plain = models.scored_by(models.of_brightness, true, rows)
    pools = ((0, 1),)
    scored = Scored(np.zeros(160, int), with_pooled_answers(plain.probs, pools), plain.groups, pools=pools)
    material = Material(None, models.of_brightness, models.grey_pixels, rows, rows, scored, None, 100, 7)  # type: ignore[arg-type]
    asked = {"pixels": models.grey_pixels, "n_bootstrap": 100}
    image_only = measure_missing_metadata(scored, rows, predict=material.answer, **asked).image_only
    assert image_only.flips.value == 0
    assert image_only.balanced_accuracy.difference.value == 0
    as_answered = measure_missing_metadata(scored, rows, predict=models.of_brightness, **asked).image_only
    assert as_answered.flips.value == 0.5  # what would be told of every nevus
