import numpy as np
import pandas as pd
import pytest

from lesion_core.dataset.model_images import ModelImages
from lesion_core.errors import DataError
from lesion_core.evaluation.cases.facts import read_facts
from lesion_core.evaluation.cases.neighbours import Embedded, embed, find_neighbours, nearest, sample_of_training
from lesion_core.labels import CLASS_ORDER
from lesion_core.serving.predictor import Predictor
from lesion_core.stores.folders import materialise
from tests.core.evaluation.conftest import Evaluated


def embedded(vectors: np.ndarray, start: int = 0, *, groups: list[str] | None = None) -> Embedded:
    names = [f"ISIC_{start + number:07d}" for number in range(len(vectors))]
    return Embedded(
        vectors=np.asarray(vectors, np.float32),
        isic_ids=np.array(names),
        groups=np.array(groups or names),
        digests=np.array(names),
        class_index=np.arange(len(vectors)) % len(CLASS_ORDER),
    )


def test_the_nearest_come_first_and_equal_what_every_pair_says() -> None:
    rng = np.random.default_rng(3)
    queries, training = embedded(rng.normal(size=(300, 6)), 1000), embedded(rng.normal(size=(80, 6)))
    found = nearest(queries, training, k=4)
    for row in (0, 255, 256, 299):
        one = queries.vectors[row].astype(float)
        cosines = training.vectors @ one / np.linalg.norm(training.vectors, axis=1) / np.linalg.norm(one)
        best = np.argsort(-cosines)[:4]
        neighbours = found[str(queries.isic_ids[row])]
        assert [item.isic_id for item in neighbours] == training.isic_ids[best].tolist()
        np.testing.assert_allclose([item.similarity for item in neighbours], cosines[best], atol=1e-5)
        assert [item.diagnosis for item in neighbours] == [CLASS_ORDER[place % 8] for place in best]


def test_images_of_the_same_group_or_with_the_same_bytes_never_count() -> None:
    training = embedded(np.eye(4), groups=["same", "b", "c", "d"])
    query = embedded(np.array([[1.0, 0.9, 0.8, 0.1]]), 9, groups=["same"])
    query.digests[:] = training.digests[1]
    assert [item.isic_id for item in nearest(query, training)["ISIC_0000009"]] == ["ISIC_0000002", "ISIC_0000003"]


def test_an_embedding_without_a_direction_has_no_neighbours_and_is_nobodys() -> None:
    training = embedded(np.array([[1.0, 0], [0, 0], [np.nan, 1]]))
    found = nearest(embedded(np.array([[0.0, 0], [1, 1]]), 5), training)
    assert found["ISIC_0000005"] == ()
    assert [item.isic_id for item in found["ISIC_0000006"]] == ["ISIC_0000000"]


def many_rows() -> pd.DataFrame:
    classes = np.repeat([0, 1, 2], [300, 5000, 60])
    ids = [f"ISIC_{number:07d}" for number in range(len(classes))]
    return pd.DataFrame({"isic_id": ids, "group": [f"g{n // 3}" for n in range(len(ids))], "class_index": classes})


def test_the_sample_is_whole_groups_of_every_class_within_its_bound() -> None:
    rows = many_rows()
    sample = sample_of_training(rows, most=1000)
    assert 960 <= len(sample) <= 1000
    counts = sample["class_index"].value_counts()
    assert counts[2] == 60
    assert counts[0] > 166
    assert counts[1] > counts[0]
    sizes = rows.groupby("group").size()
    assert (sample.groupby("group").size() == sizes[sample["group"].unique()].sort_index()).all()
    assert sample.equals(sample_of_training(rows, most=1000))
    assert not sample["isic_id"].equals(sample_of_training(rows, most=1000, seed=8)["isic_id"])
    assert sample_of_training(rows, most=6000).equals(rows)


def test_a_real_models_neighbours_are_training_images_of_other_groups(evaluated: Evaluated) -> None:
    predictor = Predictor.load(materialise(evaluated.store, evaluated.model, evaluated.place / "cache"))
    images = ModelImages(evaluated.dataset, evaluated.store, predictor.preprocessing)
    test, train = evaluated.dataset.split("test"), evaluated.dataset.split("train")
    facts = read_facts(evaluated.dataset.folder)
    found = find_neighbours(predictor, images, test, train, facts, k=3)
    assert set(found) == set(test["isic_id"])
    classes = train.set_index("isic_id")["class_index"]
    for neighbours in found.values():
        assert len(neighbours) == 3
        assert all(CLASS_ORDER[classes[item.isic_id]] == item.diagnosis for item in neighbours)
    itself = find_neighbours(predictor, images, train, train, facts, k=1)
    assert all(facts.at[item.isic_id, "group"] != facts.at[one, "group"] for one, (item,) in itself.items())


def test_nothing_to_embed_is_said(evaluated: Evaluated) -> None:
    predictor = Predictor.load(materialise(evaluated.store, evaluated.model, evaluated.place / "cache"))
    images = ModelImages(evaluated.dataset, evaluated.store, predictor.preprocessing)
    with pytest.raises(DataError, match="got none"):
        embed(predictor, images, evaluated.dataset.rows.head(0), read_facts(evaluated.dataset.folder))
