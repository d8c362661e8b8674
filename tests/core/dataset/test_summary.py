"""The summary for people."""

import json

from lesion_core.dataset.records import OpenDataset
from lesion_core.dataset.summary import describe


def test_a_summary_counts_what_is_there(dataset: OpenDataset) -> None:
    summary = describe(dataset)
    n_images = len(dataset.rows)
    assert sum(summary.sexes.values()) == sum(summary.sites.values()) == n_images
    assert list(summary.sexes) == ["female", "male", "unknown"]
    assert summary.licences == {"CC-0": n_images - 2, "CC-BY-NC": 2}
    assert summary.missing["lesion_id"] == (n_images - 2) / n_images
    assert summary.missing["age_years"] == 2 / n_images
    assert summary.age_years["min"] == 20
    assert summary.age_years["min"] <= summary.age_years["median"] <= summary.age_years["max"]
    assert summary.n_synthetic == 0
    assert summary.images["train"]["MEL"] > summary.images["test"]["MEL"] > 0
    assert "BCC" in summary.absent_classes


def test_a_summary_is_plain_json(dataset: OpenDataset) -> None:
    summary = describe(dataset)
    assert type(summary).model_validate(json.loads(summary.model_dump_json())) == summary
