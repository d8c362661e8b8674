"""A model of a fold: measured on that fold, on the dataset it was trained on, and counted against anything else."""

from pathlib import Path

import pandas as pd
import pytest

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ArtifactNotFound, LeakageError
from lesion_core.evaluation.job import run
from lesion_core.evaluation.predictions import count_seen
from lesion_core.evaluation.report import read_metrics, read_predictions
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.keys import members_key
from lesion_core.lineage.exposure import MADE_FROM, find_exposure, leave_image_list, read_image_list
from lesion_core.progress import ignore_progress
from lesion_core.refs import ModelRef, ReportRef
from lesion_core.stores.folders import read_file
from lesion_core.stores.local import LocalStore
from tests.core.evaluation.conftest import Evaluated
from tests.core.evaluation.worlds import make_dataset, publish_model
from tests.undrawn import undrawn

FOLD = 3


@pytest.fixture(scope="module")
def folded(evaluated: Evaluated, tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return publish_model(evaluated.store, evaluated.dataset.ref, tmp_path_factory.mktemp("folded"), fold=FOLD)


def _evaluate(store: LocalStore, model: ModelRef, work: Path, **changes: object) -> ReportRef:
    content = {"model": model, "dataset": model.dataset, "n_bootstrap": 100, "analyses": False, **changes}
    job = EvaluateJob.model_validate(content)
    with undrawn():
        return run(job.model_dump(mode="json"), store=store, workdir=work, on_progress=ignore_progress)


def _ids(dataset: OpenDataset, split: str) -> set[str]:
    return set(dataset.split(split)["isic_id"])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_it_is_measured_on_the_splits_of_its_fold(
    split: str, folded: ModelRef, evaluated: Evaluated, tmp_path: Path
) -> None:
    report = _evaluate(evaluated.store, folded, tmp_path, split=split)
    images = set(read_predictions(evaluated.store, report)["isic_id"])
    assert images == _ids(evaluated.dataset.for_fold(FOLD), split)
    assert images != _ids(evaluated.dataset, split)
    subject = read_metrics(evaluated.store, report).subject
    assert (report.model.fold, subject.fold, subject.n_seen_in_training) == (FOLD, FOLD, 0)


def test_its_card_speaks_of_the_fold_and_counts_its_splits(
    folded: ModelRef, evaluated: Evaluated, tmp_path: Path
) -> None:
    report = _evaluate(evaluated.store, folded, tmp_path)
    card = read_file(evaluated.store, report, "card.md").decode()
    assert f"of the test split of fold {FOLD} of `{evaluated.dataset.ref.id}`" in card
    splits = evaluated.dataset.for_fold(FOLD)
    sizes = [n for name in ("train", "validation", "calibration", "test") if (n := len(splits.split(name)))]
    assert f"| all | {' | '.join(map(str, sizes))} |" in card


def test_another_dataset_is_refused(folded: ModelRef, evaluated: Evaluated, tmp_path: Path) -> None:
    other = make_dataset(evaluated.store, tmp_path, n_images=60, name="elsewhere", licence="CC-BY")
    with pytest.raises(LeakageError, match=f"without fold {FOLD}, got dataset elsewhere/"):
        _evaluate(evaluated.store, folded, tmp_path, dataset=other.ref)


def test_images_of_a_base_that_had_other_splits_are_counted(evaluated: Evaluated, tmp_path: Path) -> None:
    """A fold's test images that the base, trained on the own splits, learnt from, are seen images."""
    store, dataset = evaluated.store, evaluated.dataset
    tuned = publish_model(store, dataset.ref, tmp_path, fold=FOLD, start_from=evaluated.model.id)
    rows = dataset.for_fold(FOLD).split("test")
    own = dataset.rows.set_index("isic_id")["split"]
    expected = int(own[rows["isic_id"]].isin(MADE_FROM).sum())
    assert expected > 0
    assert count_seen(store, tuned, dataset, rows) == expected
    orphan = publish_model(store, dataset.ref, tmp_path, seed=8, start_from="hand-made/000000000000")
    with pytest.raises(ArtifactNotFound, match="hand-made/000000000000"):
        count_seen(store, orphan, dataset, dataset.split("test"))


def test_a_removed_datasets_list_still_tells_the_splits_of_a_fold(folded: ModelRef, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    dataset = make_dataset(store, tmp_path, n_images=60)
    before = read_image_list(store, dataset.ref, fold=1)
    model = publish_model(store, dataset.ref, tmp_path, fold=1)
    tested = before.loc[before["split"] == "test", "isic_id"]
    trained = before.loc[before["split"] == "train", "isic_id"]
    leave_image_list(store, dataset.ref.key)
    store.remove(f"{dataset.ref.key}/index.json")
    pd.testing.assert_frame_equal(read_image_list(store, dataset.ref, fold=1), before)
    exposure = find_exposure(store, model, {tested.iloc[0], trained.iloc[0]})
    assert exposure.images == {"train": (trained.iloc[0],)}
    before[["isic_id", "split", "sha256"]].to_parquet(tmp_path / "old.parquet", index=False)
    store.write(members_key(dataset.ref.id), (tmp_path / "old.parquet").read_bytes())
    assert find_exposure(store, model, {trained.iloc[0]}).unknown == (dataset.ref.id,)
