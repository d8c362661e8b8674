import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

from lesion_core.errors import DataError
from lesion_core.evaluation.cases.error_clusters import MIN_GROUPS, band_of, find_error_clusters
from lesion_core.fields.table import AGE
from lesion_core.labels import CLASS_ORDER, Diagnosis
from tests.core.evaluation.cases.tables import facts_for, predictions_of, sure_of

MEL, NV, BCC = (CLASS_ORDER.index(name) for name in (Diagnosis.MEL, Diagnosis.NV, Diagnosis.BCC))
SITES = np.array(["head/neck", "posterior torso", "lower extremity", "upper extremity"])


def melanomas(
    missed_on_the_back: float, *, n: int = 160, per_group: int = 1, seed: int = 4
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Melanomas of four sites and as many nevi: one in ten is missed, on the back another share."""
    rng = np.random.default_rng(seed)
    sites = SITES[np.arange(2 * n) % 4]
    true = np.repeat([MEL, NV], n)
    risk = np.where(sites == "posterior torso", missed_on_the_back, 0.1)
    wrong = (rng.random(2 * n) < risk) & (true == MEL)
    copies = np.repeat(np.arange(2 * n), per_group)
    table = predictions_of(true[copies], sure_of(np.where(wrong, NV, true)[copies]), copies)
    more = {"age_years": rng.uniform(20, 90, 2 * n)[copies], "sex": rng.choice(["female", "male"], 2 * n)[copies]}
    return table, facts_for(table, site=sites[copies], **more)


def test_a_planted_cluster_is_found_and_said_in_words() -> None:
    table, facts = melanomas(0.6)
    found = find_error_clusters(table, facts)
    (one,) = found.clusters
    assert (one.diagnosis, one.fact, one.value) == (Diagnosis.MEL, "site", "posterior torso")
    own = facts["site"].to_numpy() == "posterior torso"
    of_mel, wrong = (table["class_index"] == MEL).to_numpy(), (~table["correct"]).to_numpy()
    counts = (int((own & wrong).sum()), int((own & of_mel).sum()))
    elsewhere = (int((~own & wrong).sum()), int((~own & of_mel).sum()))
    assert (one.n_errors, one.n_groups, one.n_errors_elsewhere, one.n_groups_elsewhere) == (*counts, *elsewhere)
    table_of_two = [[counts[0], counts[1] - counts[0]], [elsewhere[0], elsewhere[1] - elsewhere[0]]]
    assert one.p == pytest.approx(fisher_exact(table_of_two, alternative="greater").pvalue)
    assert one.p < one.p_adjusted <= 0.05
    assert one.odds_ratio is not None
    assert one.odds_ratio_low is not None
    assert one.odds_ratio_high is not None
    assert 1 < one.odds_ratio_low < one.odds_ratio < one.odds_ratio_high
    words = (
        f"at the site posterior torso ({counts[0]} of {counts[1]} groups against {elsewhere[0]} of {elsewhere[1]})."
    )
    assert one.in_words() == f"Melanoma is missed more often {words}"


def test_without_a_cluster_none_is_found() -> None:
    found = [find_error_clusters(*melanomas(0.1, seed=seed)) for seed in range(5)]
    assert sum(len(one.clusters) for one in found) == 0
    assert min(one.n_tests for one in found) > 10
    assert "No cluster of errors was found" in found[0].in_words()


def test_copies_of_a_lesion_count_once() -> None:
    single, copied = (find_error_clusters(*melanomas(0.6, per_group=n)) for n in (1, 5))
    assert single == copied


def test_nothing_is_said_of_fewer_than_twenty_groups() -> None:
    table, facts = melanomas(1.0, n=4 * (MIN_GROUPS - 1))
    found = find_error_clusters(table, facts)
    assert not [one for one in found.clusters if one.fact == "site"]
    assert found.n_too_small >= 8
    few = find_error_clusters(table.head(30), facts)
    assert few.n_tests == 0
    assert "nothing was compared" in few.in_words()


def test_a_benign_image_called_malignant_is_an_error_too_and_a_wrong_cancer_is_none() -> None:
    true = np.repeat([NV, MEL], 80)
    own = np.arange(160) % 2 == 0
    predicted = np.where(true == NV, np.where(own, MEL, NV), BCC)
    table = predictions_of(true, sure_of(predicted))
    found = find_error_clusters(table, facts_for(table, source=np.where(own, "hospital b", "hospital a")))
    (one,) = found.clusters
    assert (one.diagnosis, one.value, one.odds_ratio) == (Diagnosis.NV, "hospital b", None)
    assert one.in_words().startswith(
        "Melanocytic nevus is called malignant more often in images of hospital b (40 of"
    )


def test_artefacts_count_where_they_were_looked_for() -> None:
    table, facts = melanomas(0.6)
    dark = (facts["site"] == "posterior torso").astype(float)
    notes = pd.DataFrame({"dark-corners": dark, "blur": 0.0})
    found = find_error_clusters(table, facts.assign(site=np.nan), notes)
    assert [(one.fact, one.value) for one in found.clusters] == [("artefact", "dark-corners")]
    unknown = find_error_clusters(table, facts.assign(site=np.nan), notes * np.nan)
    assert unknown.clusters == ()


def test_bands_of_age() -> None:
    assert [band_of(AGE, age) for age in (0, 39.5, 40, 85, 120, math.nan)] == [
        "0 to 19 years",
        "20 to 39 years",
        "40 to 59 years",
        "from 80 years on",
        "from 80 years on",
        "not recorded",
    ]


def test_facts_of_every_image_are_needed() -> None:
    table, facts = melanomas(0.1)
    with pytest.raises(DataError, match="facts of every predicted image"):
        find_error_clusters(table, facts.iloc[1:])
