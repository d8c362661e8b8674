"""The page's own HTML: tables, bars and notices. Every text that is not ours is escaped."""

import html

from deployments.app.prediction_service import Standing
from deployments.app.render import draw_image, draw_map, scale_css, scale_of
from lesion_core.labels import CLASS_NAMES, CLASSES, N_CLASSES_IN_WORDS, Diagnosis
from lesion_core.serving import wording
from lesion_core.serving.predictor import Answer, ClassAnswer
from lesion_core.types import PatientMetadata


def write_header(standing: Standing) -> str:
    """Return title, subtitle and, where the model is synthetic, the banner."""
    is_synthetic = standing.served is not None and standing.served.synthetic
    banner = f'<p class="lf-synthetic">{_text(wording.SYNTHETIC_BANNER)}</p>' if is_synthetic else ""
    return f'<header class="lf-header"><h1>{wording.TITLE}</h1><p>{_text(wording.SUBTITLE)}</p>{banner}</header>'


def write_status(standing: Standing) -> str:
    """Return the line that names the model in service, and says where a shown answer is of another one.

    While no model can answer, it is a notice of that.
    """
    if standing.served is None:
        return _not_ready(standing.refusal)
    approval, answered_by = standing.served.approval, standing.answered_by
    line = (
        f'<p class="lf-version"><span>Model <b data-testid="model-id">{_text(approval.model_id)}</b></span> '
        f"<span>approved {_text(approval.at[:16].replace('T', ' '))} UTC by {_text(approval.approver)}</span></p>"
    )
    if answered_by is not None and answered_by != approval.model_id:
        line += f'<p class="lf-notice" role="status">{_text(wording.newer_model(answered_by))}</p>'
    return line


def _not_ready(message: str) -> str:
    return (
        f'<section class="lf-notice lf-not-ready" role="status"><h2>{wording.NOT_READY_TITLE}</h2>'
        f"<p>{_text(message)}</p></section>"
    )


def write_error(message: str) -> str:
    """Return the words beside a field that was refused; nothing for no message."""
    return f'<p class="lf-error" role="alert">{_text(message)}</p>' if message else ""


def write_empty() -> str:
    """Return what stands in place of an answer before the first one."""
    return f'<section class="lf-empty"><p>{_text(wording.EMPTY_RESULT)}</p></section>'


def write_upload_label() -> str:
    """Return the heading above the field for the image."""
    return '<p class="lf-label" id="upload-label">Dermoscopic image of one lesion</p>'


def write_preview(data_uri: str, width: int, height: int) -> str:
    """Return the chosen image; its file name is not shown, names of files name people."""
    return (
        f'<figure class="lf-preview"><img src="{data_uri}" alt="The chosen image" data-testid="preview">'
        f"<figcaption>{width} × {height} px. {_text(wording.REPLACE_HINT)}</figcaption></figure>"
    )


def write_answer(answer: Answer) -> str:
    """Return the eight classes with their probabilities, the warning, and the quality notes."""
    rows = "".join(_class_row(item, leading=number == 0) for number, item in enumerate(answer.classes))
    notes = "".join(f"<li>{_text(note.text)}</li>" for note in answer.notes)
    return (
        '<section class="lf-answer" data-testid="answer" aria-live="polite"><h2>Differential</h2>'
        f'<table class="lf-bars"><caption>Calibrated probability of each of the {N_CLASSES_IN_WORDS} classes, '
        "most probable first. "
        f"For {_text(wording.describe_patient(answer.metadata))}; by model "
        f'<span data-testid="answered-by">{_text(answer.model_id)}</span>.</caption>'
        f'<thead><tr><th scope="col">Class</th><th scope="col" colspan="2">Probability</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        f'<p class="lf-warning">{_text(wording.BENIGN_WARNING)}</p>'
        + (f'<div class="lf-quality"><h3>About this image</h3><ul>{notes}</ul></div>' if notes else "")
        + "</section>"
    )


def _class_row(item: ClassAnswer, *, leading: bool) -> str:
    nature = CLASSES[item.diagnosis].nature
    kind = "" if nature == "benign" else nature
    mark = f' <span class="lf-mark lf-{kind}">{kind}</span>' if kind else ""
    classes = f"lf-row lf-bar-{kind or 'other'}{' lf-leading' if leading else ''}"
    return (
        f'<tr class="{classes}" data-class="{item.diagnosis}">'
        f'<th scope="row">{CLASS_NAMES[item.diagnosis]}{mark}</th>'
        f'<td class="lf-track" aria-hidden="true"><span style="width: {100 * item.probability:.1f}%"></span></td>'
        f'<td class="lf-value">{_text(wording.percent(item.probability))}</td></tr>'
    )


def write_map(answer: Answer, diagnosis: Diagnosis) -> str:
    """Return image and map side by side, the colour scale, and what the map is not."""
    name, scale = CLASS_NAMES[diagnosis], scale_of(answer)
    share = answer.of(diagnosis).image_share
    return (
        '<section class="lf-map" data-testid="map">'
        f'<div class="lf-images"><figure><img src="{draw_image(answer.pixels)}" alt="The image as the model saw '
        'it"><figcaption>As the model saw it</figcaption></figure>'
        f'<figure><img src="{draw_map(answer, diagnosis)}" alt="Map for {name.lower()} over the image">'
        f"<figcaption>Map for <b>{name.lower()}</b></figcaption></figure></div>"
        f'<div class="lf-scale" style="background: {scale_css()}" aria-hidden="true"></div>'
        f'<p class="lf-scale-ends"><span>against, {_signed(-scale)}</span><span>0</span>'
        f"<span>for, {_signed(scale)}</span></p>"
        f"<p>{_text(wording.MAP_NOTES[answer.map_kind])} The image’s share for {name.lower()} is {_signed(share)} "
        f"(log-odds).</p><p class='lf-caveat'>{_text(wording.MAP_CAVEAT)}</p></section>"
    )


def write_metadata(answer: Answer) -> str:
    """Return what the metadata added to each probability."""
    head = '<section class="lf-metadata" data-testid="metadata"><h2>What the metadata added</h2>'
    if answer.metadata == PatientMetadata():
        return f"{head}<p>{_text(wording.NO_METADATA_NOTE)}</p></section>"
    if all(item.metadata_share == 0 and not item.interaction_share for item in answer.classes):
        return f"{head}<p>{_text(wording.METADATA_UNUSED_NOTE)}</p></section>"
    rows = "".join(
        f'<tr><th scope="row">{CLASS_NAMES[item.diagnosis]}</th>'
        f"<td>{_text(wording.percent(item.probability_without_metadata))}</td>"
        f"<td>{_text(wording.percent(item.probability))}</td>"
        f"<td>{_text(wording.signed_points(item.added_by_metadata))}</td></tr>"
        for item in answer.classes
    )
    return (
        f'{head}<table><thead><tr><th scope="col">Class</th><th scope="col">unknown</th><th scope="col">as given</th>'
        f'<th scope="col">difference</th></tr></thead><tbody>{rows}</tbody></table>'
        f"<p>{_text(wording.METADATA_NOTE)}</p>{_interaction(answer)}</section>"
    )


def _interaction(answer: Answer) -> str:
    """Return, for a model in which patient and image act together, how much of the change was of which kind."""
    rows = "".join(
        f'<tr><th scope="row">{CLASS_NAMES[item.diagnosis]}</th><td>{_signed(item.metadata_share)}</td>'
        f"<td>{_signed(item.interaction_share)}</td></tr>"
        for item in answer.classes
        if item.interaction_share is not None
    )
    if not rows:
        return ""
    return (
        '<table data-testid="interaction"><thead><tr><th scope="col">Class</th>'
        '<th scope="col">whatever the image</th>'
        f'<th scope="col">with this image</th></tr></thead><tbody>{rows}</tbody></table>'
        f"<p>{_text(wording.INTERACTION_NOTE)}</p>"
    )


def write_disclaimer(standing: Standing) -> str:
    """Return the panel that always stands on the page; there is nothing to close it with."""
    parts = "".join(
        f"<div><dt>{_text(item.title)}</dt><dd>{_text(item.text)}</dd></div>" for item in standing.statements
    )
    return (
        '<section class="lf-disclaimer" id="limits" data-testid="disclaimer"><h2>Limits of use</h2>'
        f"<dl>{parts}</dl></section>"
    )


def write_reminder() -> str:
    """Return the line at the lower edge of the window, in sight wherever the page is scrolled to."""
    return (
        f'<aside class="lf-reminder" data-testid="reminder">{_text(wording.brief_disclaimer())} '
        '<a href="#limits">Limits of use</a></aside>'
    )


def _signed(value: float) -> str:
    return "0.00" if abs(value) < 0.005 else f"{value:+.2f}".replace("-", "−")


def _text(text: str) -> str:
    return html.escape(text)
