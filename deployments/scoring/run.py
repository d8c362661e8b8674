"""Score a folder of images through the path that serves the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from deployments.scoring.files import ImageFile, list_folder
from deployments.scoring.matching import match_rows
from deployments.scoring.output import COLUMNS, check_output, write_output
from deployments.scoring.patients import Patient, read_patients
from deployments.scoring.summary import Refusal, Summary
from lesion_core.errors import ImageRejected
from lesion_core.progress import Progress, ProgressCallback, ignore_progress, reported_if_possible
from lesion_core.registry.channels import approved_model
from lesion_core.registry.versions import get_model
from lesion_core.serving.predictor import Answer, Predictor
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import materialise
from lesion_core.stores.open import open_store
from lesion_core.types import OodPolicy, PatientMetadata

LOADING, SCORING = "loading the model", "scoring"
UNLIKE = "it is unlike the dermoscopic images that the model was made from (see the column 'ood_score')"
# A 16-bit RGB TIFF of the most pixels that are decoded takes 480 MB; what is larger is not read at all.
_MOST_BYTES = 512 * 1024 * 1024
Answered = tuple[dict[str, object], Refusal | None]


def score(
    settings: LesionSettings,
    folder: Path,
    output: Path,
    *,
    metadata: Path | None = None,
    model_id: str = "",
    recursive: bool = False,
    ignored: Sequence[str] = (),
    on_progress: ProgressCallback = ignore_progress,
) -> Summary:
    """Write one row per image: its probabilities, or why it was refused, and the metadata that it was scored with.

    An image that is out of distribution is refused or not as ``settings.ood_policy`` says; its score is written.

    Output, folder and table are checked before the model is loaded and any image is read. The output is written at
    the end and as a whole: an error or an interruption before leaves what was there.

    Args:
        settings: Where models are.
        folder: The images; every file in it gets a row or is counted in the summary.
        output: File to write, .csv or .parquet; its columns are ``output.COLUMNS``.
        metadata: Table of the metadata by image (``patients``); ``None``: all unknown.
        model_id: Which model; empty: the approved one.
        recursive: Whether folders in the folder are gone into.
        ignored: Columns of the table to pass over.
        on_progress: Gets the stages ``LOADING`` and ``SCORING``, the latter by images.

    Raises:
        ConfigError: The folder holds no images, or the output cannot be written.
        ManifestError: The table cannot be used as it is.
        ModelNotReady: No model is approved.
        ArtifactNotFound: There is no such model.
    """
    inputs = [metadata] if metadata else []
    target = check_output(output, inputs=inputs)
    listing = list_folder(folder, recursive=recursive, own=[*inputs, target])
    table = read_patients(metadata, ignored=ignored) if metadata else None
    matches = match_rows(table, listing.images) if table else None
    tell = reported_if_possible(on_progress)
    tell(Progress(stage=LOADING, done=0))
    predictor = _load(settings, model_id)
    patients = matches.patients if matches else {}
    answered = _answer_all(predictor, listing.images, patients, settings.ood_policy, tell)
    write_output([row for row, _ in answered], target)
    return Summary(
        output=output,
        listing=listing,
        refusals=tuple(refusal for _, refusal in answered if refusal),
        table=table,
        matches=matches,
        n_flagged=sum(row["out_of_distribution"] is True for row, refusal in answered if not refusal),
        n_notes=sum(bool(row["metadata_note"]) for row, refusal in answered if not refusal),
    )


def _load(settings: LesionSettings, model_id: str) -> Predictor:
    store = open_store(settings)
    model = get_model(store, model_id) if model_id else approved_model(store)
    return Predictor.load(materialise(store, model, settings.work / "models"), model_id=model.id)


def _answer_all(
    predictor: Predictor,
    images: Sequence[ImageFile],
    patients: Mapping[str, Patient],
    policy: OodPolicy,
    on_progress: ProgressCallback,
) -> list[Answered]:
    answered = []
    on_progress(Progress(stage=SCORING, done=0, total=len(images)))
    for number, image in enumerate(images, start=1):
        answered.append(_answer(predictor, image, patients.get(image.name), policy))
        on_progress(Progress(stage=SCORING, done=number, total=len(images)))
    return answered


def _answer(predictor: Predictor, image: ImageFile, patient: Patient | None, policy: OodPolicy) -> Answered:
    known = patient.metadata if patient else PatientMetadata()
    row = {
        **dict.fromkeys(COLUMNS),
        **known.model_dump(mode="json"),
        "image": image.name,
        "table_row": patient.row if patient else None,
        "metadata_note": (patient.note or None) if patient else None,
        "model": predictor.model_id,
    }
    if patient and patient.problem:
        words = (
            f"metadata cannot be used: {patient.problem}; correct row {patient.row} of the table, or empty the cell"
        )
        return {**row, "refused": words}, Refusal(image.name, f"metadata cannot be used: {patient.problem}")
    try:
        answer = predictor.predict_bytes(_read(image), known, image_id=image.name)
    except ImageRejected as error:
        return {**row, "refused": str(error)}, Refusal(image.name, error.reason)
    row |= _likeness(answer)
    if policy == "refuse" and answer.is_far:
        return {**row, "refused": f"image {image.name}: {UNLIKE}"}, Refusal(image.name, UNLIKE)
    probabilities = {f"p_{item.diagnosis}": item.probability for item in answer.classes}
    return {**row, "leading": str(answer.classes[0].diagnosis), **probabilities}, None


def _likeness(answer: Answer) -> dict[str, object]:
    found = answer.out_of_distribution
    return {} if found is None else {"ood_score": found.score, "out_of_distribution": found.flagged}


def _read(image: ImageFile) -> bytes:
    try:
        if image.path.stat().st_size > _MOST_BYTES:
            raise _unreadable(image, f"the file is larger than {_MOST_BYTES // 2**20} MB")
        return image.path.read_bytes()
    except OSError as error:
        raise _unreadable(image, f"the file cannot be read ({error.strerror or error})") from error


def _unreadable(image: ImageFile, reason: str) -> ImageRejected:
    return ImageRejected(f"image {image.name}: {reason}", image_id=image.name, reason=reason)
