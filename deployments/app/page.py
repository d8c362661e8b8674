"""The clinician's page: one image and what is known of the patient in, a differential with its limits out."""

import contextlib
import itertools
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import FileData

from deployments.app import markup
from deployments.app.asking import Desk, read_metadata
from deployments.app.render import draw_preview
from deployments.scoring.files import IMAGE_ENDINGS
from lesion_core.errors import ImageRejected, InputRejected, ModelNotReady
from lesion_core.fields.kinds import UNKNOWN, AnyField, CategoryField
from lesion_core.fields.table import FIELDS
from lesion_core.images import decode
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, Diagnosis
from lesion_core.serving import wording
from lesion_core.serving.predictor import Answer

STYLE = Path(__file__).with_name("style.css")
KEEP_SECONDS = 1800  # an open page forgets its image after this; a closed one at once
_CACHE_SECONDS = (60, 300)  # a second net under the deletion after reading
_CLASS_CHOICES = [(CLASS_NAMES[item], str(item)) for item in CLASS_ORDER]
_NO_HISTORY = gr.InputHTMLAttributes(autocomplete="off")
_PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def build_page(desk: Desk, *, poll_seconds: float) -> gr.Blocks:
    """Build the page; it is served by ``server.create_app``."""
    page = _Handlers(desk)
    with gr.Blocks(title=wording.TITLE, analytics_enabled=False, delete_cache=_CACHE_SECONDS) as blocks:
        image, answer, shown = (gr.State(None, time_to_live=KEEP_SECONDS) for _ in range(3))
        header = _html(markup.write_header(synthetic=False))
        with gr.Row(elem_classes="lf-columns"):
            with gr.Column(scale=4, min_width=300, elem_classes="lf-form"):
                _html(markup.write_upload_label())
                upload = _upload()
                preview = _html()
                image_error = _html()
                controls, errors = _form()
                button = gr.Button("Classify", variant="primary", elem_id="classify")
            with gr.Column(scale=7, min_width=320, elem_classes="lf-result"):
                status = _html()
                result = _html()
                with gr.Column(visible=False, elem_classes="lf-details") as details:
                    chosen = gr.Dropdown(_CLASS_CHOICES, label="Map for class", elem_id="map-class", filterable=False)
                    evidence = _html()
                    metadata = _html()
        disclaimer = _html()
        _html(markup.write_reminder())
        standing = [header, status, disclaimer, result, shown]
        timer = gr.Timer(poll_seconds)
        blocks.load(page.stand, [answer, shown], standing, **_PRIVATE)
        timer.tick(page.stand, [answer, shown], standing, **_PRIVATE)
        upload.upload(page.take, upload, [upload, image, preview, image_error, answer, result, details], **_PRIVATE)
        gr.on(
            [button.click, *(control.submit for control in controls if isinstance(control, gr.Textbox))],
            page.classify,
            [image, *controls],
            [answer, result, details, chosen, evidence, metadata, image_error, *errors],
            api_visibility="private",
            show_progress="minimal",
            show_progress_on=button,
            concurrency_limit=2,
        ).then(page.stand, [answer, shown], standing, **_PRIVATE)
        chosen.input(page.choose, [answer, chosen], evidence, **_PRIVATE)
    page_blocks: gr.Blocks = blocks
    return page_blocks


def theme() -> gr.themes.Base:
    """Return a theme that uses the fonts of the reader's system and fetches none."""
    return gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
        radius_size="sm",
    ).set(
        # Contrast of at least 4.5 : 1 for text (WCAG 2.2, 1.4.3), which the theme's own greys do not reach.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700",
        block_info_text_color="*neutral_600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
    )


def _html(value: str = "") -> gr.HTML:
    return gr.HTML(value, padding=False, visible=bool(value))


def _say(value: str) -> gr.HTML:
    """Return an update that shows ``value``, and takes no room where there is nothing to show."""
    return gr.HTML(value=value, visible=bool(value))


def _form() -> tuple[list[gr.Textbox | gr.Radio | gr.Dropdown], list[gr.HTML]]:
    """Return where the fields are filled in and where it is said what is wrong, field by field.

    Controls of one kind that follow each other stay together, as one box.
    """
    controls, errors = [], []
    for _, fields in itertools.groupby(FIELDS, type):
        drawn = [_control(field) for field in fields]
        controls += drawn
        errors += [_html() for _ in drawn]
    return controls, errors


def _control(field: AnyField) -> gr.Textbox | gr.Radio | gr.Dropdown:
    """Return where a field is filled in: a number as text, few choices side by side, many in a list."""
    if not isinstance(field, CategoryField):
        return gr.Textbox(
            label=field.question,
            placeholder=UNKNOWN,
            max_lines=1,
            elem_id=field.element,
            html_attributes=_NO_HISTORY,
        )
    kind = gr.Radio if field.is_short else gr.Dropdown
    return kind([UNKNOWN, *field.words], value=UNKNOWN, label=field.question, elem_id=field.element)


def _upload() -> gr.File:
    upload = gr.File(
        label="Dermoscopic image of one lesion",
        show_label=False,
        file_types=list(IMAGE_ENDINGS),
        height=140,
        elem_id="upload",
    )

    def path_of(payload: FileData | None) -> str | None:
        return payload.path if payload else None

    # Gradio's own reading would leave an empty temporary file behind at every upload. Its image component is not
    # used because the browser fetches the file again to show it, when it may already be deleted.
    upload.preprocess = path_of  # type: ignore[method-assign, assignment]
    return upload


class _Handlers:
    """What the page does on each event; returns values in the order of its outputs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def stand(self, answer: Answer | None, shown: object) -> tuple[object, ...]:
        """Refresh what stands on the page for as long as it is open, where it has changed."""
        try:
            served = self._desk.approved.current()
        except ModelNotReady as error:
            page = (
                markup.write_header(synthetic=False),
                markup.write_not_ready(str(error)),
                markup.write_disclaimer(self._desk.statements(None)),
                "",
            )
        else:
            page = (
                markup.write_header(synthetic=served.synthetic),
                markup.write_status(served, answer.model_id if answer else None),
                markup.write_disclaimer(self._desk.statements(served)),
                markup.write_empty(),
            )
        if page == shown:
            return (gr.skip(),) * 5
        *standing, empty = page
        return (*map(_say, standing), gr.skip() if answer else _say(empty), page)

    def take(self, path: str | None) -> tuple[object, ...]:
        """Take an upload into memory and delete its file at once; say at once where it is no image.

        The answer to the image before goes, so that it never stands beside another one.
        """
        data, preview, error = (_read_and_delete(Path(path)) if path else None), "", ""
        try:
            preview = _preview(decode(data, image_id="upload")) if data is not None else ""
        except ImageRejected as refusal:
            data, error = None, markup.write_error(wording.rejected_image(refusal.reason))
        cleared = None, _say(markup.write_empty()), gr.Column(visible=False)
        return (None, data, _say(preview), _say(error), *cleared)

    def classify(self, image: bytes | None, *values: object) -> tuple[object, ...]:
        """Answer, or say beside the field what is wrong; ``values`` are those of the fields, in order."""
        errors = {"image": "" if image is not None else wording.NO_IMAGE} | {field.name: "" for field in FIELDS}
        try:
            metadata = read_metadata({field.name: value for field, value in zip(FIELDS, values, strict=True)})
            if image is not None:
                _, answer = self._desk.ask(image, metadata)
                return (*_shown(answer), *(_say("") for _ in errors))
        except InputRejected as error:
            errors[error.field] = str(error)
        except ModelNotReady:
            errors["image"] = ""  # the status above says it
        empty = markup.write_empty() if any(errors.values()) else ""
        told = [_say(markup.write_error(message)) for message in errors.values()]
        return (None, _say(empty), gr.Column(visible=False), None, _say(""), _say(""), *told)

    def choose(self, answer: Answer | None, diagnosis: str) -> object:
        """Show the map of another class."""
        return gr.skip() if answer is None else _say(markup.write_map(answer, Diagnosis(diagnosis)))


def _shown(answer: Answer) -> tuple[object, ...]:
    leading = answer.classes[0].diagnosis
    return (
        answer,
        _say(markup.write_answer(answer)),
        gr.Column(visible=True),
        str(leading),
        _say(markup.write_map(answer, leading)),
        _say(markup.write_metadata(answer)),
    )


def _preview(pixels: np.ndarray) -> str:
    height, width = pixels.shape[:2]
    return markup.write_preview(draw_preview(pixels), width, height)


def _read_and_delete(path: Path) -> bytes:
    try:
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the folder Gradio made for this one file
            path.parent.rmdir()
