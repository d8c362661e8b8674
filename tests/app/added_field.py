"""A program whose table of fields has one more, run from the archive to the page in this process.

``python -m tests.app.added_field FOLDER`` prints what came of it as JSON. The folder holds what was stored before:
``store`` with a dataset called 'before', and ``model`` with the files of a model that does not take the field.
"""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

from lesion_core.fields import table
from lesion_core.fields.kinds import CategoryField


class SkinType(StrEnum):
    """Fitzpatrick's six types (1988, doi:10.1001/archderm.1988.01670060015008), as the archive writes them."""

    I = "I"  # noqa: E741
    II = "II"
    III = "III"
    IV = "IV"
    V = "V"
    VI = "VI"


table.FIELDS += (
    CategoryField(
        name="skin_type",
        noun="skin type",
        question="Skin type after Fitzpatrick",
        archive_columns=("fitzpatrick_skin_type",),
        values=SkinType,
    ),
)

# Whatever follows the table reads it when it is imported, so the field is there before anything else is.
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402

from deployments.app import markup  # noqa: E402
from deployments.app.server import create_app  # noqa: E402
from deployments.scoring.run import score  # noqa: E402
from lesion_core.dataset.breakdown import break_down  # noqa: E402
from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table  # noqa: E402
from lesion_core.dataset.options import PrepareOptions  # noqa: E402
from lesion_core.dataset.prepare import latest_dataset, prepare  # noqa: E402
from lesion_core.dataset.proof.certificate import verify_certificate  # noqa: E402
from lesion_core.dataset.records import OpenDataset, open_dataset  # noqa: E402
from lesion_core.dataset.summary import describe  # noqa: E402
from lesion_core.isic.ingest.ingest import ingest  # noqa: E402
from lesion_core.isic.mirror.server import running_mirror  # noqa: E402
from lesion_core.isic.source import ArchiveSource  # noqa: E402
from lesion_core.modeling.network.metadata import MetadataEncoding, unknown_encoding  # noqa: E402
from lesion_core.modeling.network.saved import load_network  # noqa: E402
from lesion_core.progress import ignore_progress  # noqa: E402
from lesion_core.recipes.recipe import Recipe  # noqa: E402
from lesion_core.refs import DatasetRef, ModelRef  # noqa: E402
from lesion_core.registry.channels import move_channel  # noqa: E402
from lesion_core.serving.predictor import Predictor  # noqa: E402
from lesion_core.settings import LesionSettings  # noqa: E402
from lesion_core.stores.folders import materialise, utc_now  # noqa: E402
from lesion_core.stores.local import LocalStore  # noqa: E402
from lesion_core.synthetic.archive import write_archive  # noqa: E402
from lesion_core.training import job as training  # noqa: E402
from lesion_core.training.spec import TrainJob  # noqa: E402
from lesion_core.types import PatientMetadata  # noqa: E402

_SIZE_PX = 32
_RECIPE = {
    "name": "added", "size_px": _SIZE_PX, "backbone": "tiny", "weights": "none", "allow_absent_classes": True,
    "metadata_dropout": 0.0, "optimisation": {"epochs": 1, "head_epochs": 0, "batch_size": 8},
}  # fmt: skip
_KNOWN = {"age_years": "61", "sex": "male", "site": "head/neck", "skin_type": "III"}


def main(folder: Path) -> dict[str, Any]:
    """Return what came of every step."""
    store = LocalStore(folder / "store")
    write_archive(folder / "archive", n_images=60)
    image = next(path for path in sorted((folder / "archive").glob("*.jpg")) if path.stat().st_size > 4000)
    dataset = _dataset(store, folder)
    model = _trained(store, dataset.ref, folder)
    move_channel(store, "approved", model, action="approve", approver="Dr Grey", reason="tested", clock=utc_now)
    return {
        "dataset": _in_dataset(dataset),
        "model": _in_model(materialise(store, model, folder / "cache"), dataset),
        "page": _on_page(folder, image.read_bytes()),
        "scoring": _in_scoring(folder, image),
        "before": _made_before(store, folder, image.read_bytes()),
    }


def _settings(folder: Path) -> LesionSettings:
    return LesionSettings(store=str(folder / "store"), work=folder / "work", audit=True, threads=1)


def _dataset(store: LocalStore, folder: Path) -> OpenDataset:
    with running_mirror(folder / "archive") as url:
        snapshot = ingest(ArchiveSource(url=url, tolerance=0.2), store, name="added")
    ref = prepare(snapshot, PrepareOptions(name="added", size_px=_SIZE_PX), store, workdir=folder / "work")
    return open_dataset(store, ref, folder / "cache")


def _trained(store: LocalStore, dataset: DatasetRef, folder: Path) -> ModelRef:
    job = TrainJob(recipe=Recipe.model_validate(_RECIPE), dataset=dataset)
    spec = json.loads(job.model_dump_json())
    return training.run(spec, store=store, workdir=folder / "work", on_progress=ignore_progress)


def _in_dataset(dataset: OpenDataset) -> dict[str, Any]:
    manifest = read_table(dataset.folder / MANIFEST_NAME, MANIFEST_SCHEMA)
    return {
        "values": sorted(manifest["skin_type"].dropna().unique()),
        "codes": sorted(int(code) for code in dataset.rows["skin_type_code"].unique()),
        "summary": describe(dataset).later_fields,
        "breakdown": list(break_down(manifest).values["skin_type"]),
    }


def _in_model(folder: Path, dataset: OpenDataset) -> dict[str, Any]:
    predictor, rows = Predictor.load(folder, threads=1), dataset.split("train").iloc[:1]
    given = {field.input: np.full(7, rows[field.input].iloc[0], field.dtype) for field in table.FIELDS}
    given["skin_type_code"] = np.arange(7, dtype=np.int32)
    logits = predictor.predict(np.repeat(dataset.pixels(rows), 7, axis=0), given).logits
    return {
        "network": sorted(tensor.name for tensor in load_network(folder / "model.keras").inputs),
        "onnx": sorted(predictor._model._inputs),
        "labels": json.loads((folder / "labels.json").read_text())["skin_type_order"],
        "n_distinct_logits": len(np.unique(logits, axis=0)),
    }


def _on_page(folder: Path, image: bytes) -> dict[str, Any]:
    app = create_app(_settings(folder))
    with TestClient(app) as client:
        files = {"image": ("a.jpg", image, "image/jpeg")}
        answer = client.post("/v1/predict", data=_KNOWN, files=files)
        refused = client.post("/v1/predict", data={"skin_type": "VII"}, files=files)
        openapi = client.get("/openapi.json").json()
        page = client.get("/config").json()
    controls = {item["props"].get("elem_id"): item["props"] for item in page["components"]}
    store = LocalStore(folder / "store")
    form = openapi["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    return {
        "answer": answer.json()["metadata"],
        "refused": [refused.status_code, refused.json()],
        "form": form["properties"]["skin_type"],
        "control": [controls["skin-type"]["label"], [name for name, _ in controls["skin-type"]["choices"]]],
        "shape": sorted(openapi["components"]["schemas"]["PatientMetadata"]["properties"]),
        "audit": [json.loads(store.read(key)) for key in store.list("audit/")],
    }


def _in_scoring(folder: Path, image: Path) -> dict[str, Any]:
    images = folder / "images"
    images.mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (images / name).write_bytes(image.read_bytes())
    lines = ["image,age,fitzpatrick_skin_type", "a,61,iii", "b,61,VII", "c,61,"]
    (folder / "patients.csv").write_text("\n".join(lines))
    score(_settings(folder), images, folder / "scores.csv", metadata=folder / "patients.csv")
    table_of_scores = pd.read_csv(folder / "scores.csv").set_index("image")
    return {
        "values": table_of_scores["skin_type"].fillna("").to_dict(),
        "refused": table_of_scores["refused"].fillna("").to_dict(),
    }


def _made_before(store: LocalStore, folder: Path, image: bytes) -> dict[str, Any]:
    """Return what becomes of a dataset and a model that were stored before the field was."""
    dataset = open_dataset(store, latest_dataset(store, "before"), folder / "cache")
    verify_certificate(dataset)
    predictor = Predictor.load(folder / "model", threads=1)
    with_metadata, without_metadata = (
        predictor.predict_bytes(image, PatientMetadata(age_years=61, **known)) for known in ({"skin_type": "V"}, {})
    )
    encoding = MetadataEncoding.from_config({"name": "metadata_encoding", "n_sexes": 2, "n_sites": 8})
    return {
        "codes": sorted(int(code) for code in dataset.rows["skin_type_code"].unique()),
        "missing": describe(dataset).missing["skin_type"],
        "is_alike": [one.probability for one in with_metadata.classes]
        == [one.probability for one in without_metadata.classes],
        "words": markup.write_answer(with_metadata),
        "n_features": [each.n_features for each in (encoding, MetadataEncoding())],
        "n_unknown": len(unknown_encoding(encoding.n_features)),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
