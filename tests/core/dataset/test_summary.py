"""The summary for people."""

import json

from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table
from lesion_core.dataset.records import OpenDataset
from lesion_core.dataset.summary import describe
from lesion_core.labels import UNKNOWN_CODE


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


def test_what_is_missing_stays_missing_up_to_the_network(dataset: OpenDataset) -> None:
    """No value is filled in before or after the split: a null stays null, and is NaN or code 0 where arrays begin."""
    manifest = read_table(dataset.folder / MANIFEST_NAME, MANIFEST_SCHEMA).set_index("isic_id")
    rows = dataset.rows.set_index("isic_id").loc[manifest.index]
    for name in ("age_years", "sex", "site"):
        assert manifest[name].isna().any(), name
    assert (rows["age_years"].isna() == manifest["age_years"].isna()).all()
    known = manifest["age_years"].notna()
    assert (rows.loc[known, "age_years"] == manifest.loc[known, "age_years"]).all()
    for name in ("sex", "site"):
        assert ((rows[f"{name}_code"] == UNKNOWN_CODE) == manifest[name].isna()).all()
