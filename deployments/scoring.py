"""Score a folder of images through the path that serves the page."""

from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from lesion_core.errors import ConfigError, ImageRejected, InputRejected
from lesion_core.labels import CLASS_ORDER
from lesion_core.registry.channels import approved_model
from lesion_core.registry.versions import get_model
from lesion_core.serving.predictor import Predictor
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import materialise
from lesion_core.stores.open import open_store
from lesion_core.types import PatientMetadata

_SUFFIXES = {".jpg", ".jpeg", ".png"}
_COLUMNS = ("age_years", "sex", "site")


def score(
    settings: LesionSettings, folder: Path, output: Path, *, metadata: Path | None, model_id: str
) -> tuple[int, int]:
    """Write one row per image: its probabilities, or why it was refused.

    Returns:
        How many images were scored, and how many refused.

    Raises:
        ConfigError: No images, an unknown output type, or a metadata table without the column ``image``.
    """
    if output.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"expected an output ending in .csv or .parquet, got {output}")
    images = sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)
    if not images:
        raise ConfigError(f"expected a folder with .jpg or .png images, found none in {folder}")
    known = _read_metadata(metadata) if metadata else {}
    store = open_store(settings)
    model = get_model(store, model_id) if model_id else approved_model(store)
    predictor = Predictor.load(materialise(store, model, settings.work / "models"), model_id=model.id)
    rows = [_row(predictor, path, known.get(path.name) or known.get(path.stem) or {}) for path in images]
    table = pd.DataFrame(rows).assign(model=model.id)
    table.to_parquet(output) if output.suffix == ".parquet" else table.to_csv(output, index=False)
    n_refused = int(table["refused"].notna().sum())
    return len(table) - n_refused, n_refused


def _row(predictor: Predictor, path: Path, fields: dict[str, object]) -> dict[str, object]:
    name = path.name.encode(errors="replace").decode()  # a name that is no UTF-8 cannot be written into a table
    empty = {"image": name, "leading": None, **{f"p_{name}": None for name in CLASS_ORDER}, "refused": None}
    try:
        answer = predictor.predict_bytes(path.read_bytes(), _patient(fields), image_id=name)
    except (ImageRejected, InputRejected) as error:
        return {**empty, "refused": str(error)}
    probabilities = {f"p_{item.diagnosis}": item.probability for item in answer.classes}
    return {**empty, "leading": str(answer.classes[0].diagnosis), **probabilities}


def _patient(fields: dict[str, object]) -> PatientMetadata:
    try:
        return PatientMetadata.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(f"{item['loc'][0]} {item['input']!r}: {item['msg']}" for item in error.errors())
        raise InputRejected(f"metadata cannot be used: {problems}") from error


def _read_metadata(path: Path) -> dict[str, dict[str, object]]:
    table = pd.read_csv(path, encoding="utf-8-sig")
    if "image" not in table:
        raise ConfigError(
            f"expected a column 'image' (and any of {', '.join(_COLUMNS)}) in {path}, got {list(table)}"
        )
    columns = [name for name in _COLUMNS if name in table]
    return {
        str(row["image"]): {name: row[name] for name in columns if not pd.isna(row[name])}
        for row in table.to_dict("records")
    }
