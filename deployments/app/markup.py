"""The page's own HTML: tables, bars and notices, from the templates beside this module. Every value is escaped."""

from deployments.app.prediction_service import Standing
from deployments.app.render import draw_image, draw_map, scale_css, scale_of
from lesion_core.labels import CLASS_NAMES, CLASSES, N_CLASSES_IN_WORDS, Diagnosis
from lesion_core.markup import render_html
from lesion_core.serving import wording
from lesion_core.serving.predictor import Answer
from lesion_core.types import PatientMetadata


def write_header(standing: Standing) -> str:
    """Return title, subtitle and, where the model is synthetic, the banner."""
    return _render("header", is_synthetic=standing.served is not None and standing.served.synthetic)


def write_status(standing: Standing) -> str:
    """Return the line that names the model in service, and says where a shown answer is of another one.

    While no model can answer, it is a notice of that.
    """
    if standing.served is None:
        return _render("not_ready", message=standing.refusal)
    return _render("status", approval=standing.served.approval, answered_by=standing.answered_by)


def write_error(message: str) -> str:
    """Return the words beside a field that was refused; nothing for no message."""
    return _render("error", message=message) if message else ""


def write_empty() -> str:
    """Return what stands in place of an answer before the first one."""
    return _render("empty")


def write_upload_label() -> str:
    """Return the heading above the field for the image."""
    return _render("upload_label")


def write_preview(data_uri: str, width: int, height: int) -> str:
    """Return the chosen image; its file name is not shown, names of files name people."""
    return _render("preview", data_uri=data_uri, width=width, height=height)


def write_answer(answer: Answer) -> str:
    """Return the classes with their probabilities, the warnings, and the quality notes."""
    return _render("answer", answer=answer, n_classes=N_CLASSES_IN_WORDS)


def write_out_of_distribution(answer: Answer) -> str:
    """Return the notice that stands in place of the classes where the image is out of distribution."""
    return _render("out_of_distribution", answer=answer)


def write_map(answer: Answer, diagnosis: Diagnosis) -> str:
    """Return image and map side by side, the colour scale, and what the map is not."""
    return _render(
        "map",
        name=CLASS_NAMES[diagnosis].lower(),
        image_uri=draw_image(answer.pixels),
        map_uri=draw_map(answer, diagnosis),
        note=wording.MAP_NOTES[answer.map_kind],
        scale=scale_of(answer),
        scale_css=scale_css(),
        share=answer.of(diagnosis).image_share,
    )


def write_metadata(answer: Answer) -> str:
    """Return what the metadata added to each probability."""
    return _render(
        "metadata",
        answer=answer,
        is_unknown=answer.metadata == PatientMetadata(),
        is_unused=all(item.metadata_share == 0 and not item.interaction_share for item in answer.classes),
    )


def write_disclaimer(standing: Standing) -> str:
    """Return the panel that always stands on the page; there is nothing to close it with."""
    return _render("disclaimer", statements=standing.statements)


def write_reminder() -> str:
    """Return the line at the lower edge of the window, in sight wherever the page is scrolled to."""
    return _render("reminder")


def _render(template: str, /, **values: object) -> str:
    return render_html("deployments.app", template, wording=wording, classes=CLASSES, **values)
