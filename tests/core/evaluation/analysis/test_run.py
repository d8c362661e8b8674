import numpy as np
import pandas as pd

from lesion_core.evaluation.analysis.run import Material
from lesion_core.evaluation.scored import Scored
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
