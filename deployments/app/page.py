"""The clinician's page: one image and what is known of the patient in, a differential with its limits out."""

import contextlib
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
import numpy as np
from gradio.blocks import Block
from gradio.data_classes import FileData

from deployments.app import markup
from deployments.app.prediction_service import PredictionService, Standing, read_metadata
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
Updates = dict[Block, object]  # by element; all others of the page stay as they are
_Element = TypeVar("_Element", bound=Block)
_Control = gr.Textbox | gr.Radio | gr.Dropdown


def build_page(service: PredictionService, *, poll_seconds: float) -> gr.Blocks:
    """Build the page; it is served by ``server.create_app``."""
    with gr.Blocks(title=wording.TITLE, analytics_enabled=False, delete_cache=_CACHE_SECONDS) as blocks:
        _Page(service, poll_seconds).listen(blocks)
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


class _Page:
    """The elements, each made where it stands, and what happens on each event.

    A handler returns the elements that change, each with its update; there is no order of outputs to keep. What tells
    of the model in service, or of an answer, is placed with the function that writes it, and needs nothing else.
    """

    def __init__(self, service: PredictionService, poll_seconds: float) -> None:
        self._service = service
        self._of_standing: dict[gr.HTML, Callable[[Standing], str]] = {}
        self._of_answer: dict[gr.HTML, Callable[[Answer], str]] = {}
        self._of_question: list[Block] = []
        self._image, self._answer, self._shown = (gr.State(None, time_to_live=KEEP_SECONDS) for _ in range(3))
        self._tell_standing(markup.write_header, markup.write_header(Standing()))
        with gr.Row(elem_classes="lf-columns"):
            with gr.Column(scale=4, min_width=300, elem_classes="lf-form"):
                self._place_form()
            with gr.Column(scale=7, min_width=320, elem_classes="lf-result"):
                self._place_result()
        self._tell_standing(markup.write_disclaimer)
        _html(markup.write_reminder())
        self._timer = gr.Timer(poll_seconds)

    def _place_form(self) -> None:
        _html(markup.write_upload_label())
        self._upload = self._changing(_upload())
        self._preview = self._changing(_html())
        self._image_error = self._changing(_html())
        self._controls: dict[str, _Control] = {}
        self._errors = {"image": self._image_error}
        # Controls of one kind that follow each other stay together, as one box.
        for _, fields in itertools.groupby(FIELDS, type):
            same = tuple(fields)
            self._controls |= {field.name: _control(field) for field in same}
            self._errors |= {field.name: self._changing(_html()) for field in same}
        self._button = gr.Button("Classify", variant="primary", elem_id="classify")

    def _place_result(self) -> None:
        self._tell_standing(markup.write_status)
        self._result = self._tell_answer(markup.write_answer)
        with gr.Column(visible=False, elem_classes="lf-details") as details:
            choice = gr.Dropdown(_CLASS_CHOICES, label="Map for class", elem_id="map-class", filterable=False)
            self._chosen = self._changing(choice)
            self._map = self._tell_answer(lambda answer: markup.write_map(answer, _leading(answer)))
            self._tell_answer(markup.write_metadata)
        self._details = self._changing(details)

    def _changing(self, element: _Element) -> _Element:
        """Return an element that an upload or a question may change."""
        self._of_question.append(element)
        return element

    def _tell_standing(self, write: Callable[[Standing], str], first: str = "") -> None:
        """Place an element that tells of the model in service, for as long as the page is open."""
        self._of_standing[_html(first)] = write

    def _tell_answer(self, write: Callable[[Answer], str]) -> gr.HTML:
        """Place an element that tells of an answer; it is empty without one."""
        element = self._changing(_html())
        self._of_answer[element] = write
        return element

    def listen(self, blocks: gr.Blocks) -> None:
        """Tie the events to the handlers."""
        known, standing = [self._answer, self._shown], [*self._of_standing, self._result, self._shown]
        changing = [self._image, self._answer, *self._of_question]
        blocks.load(self._refresh, known, standing, **_PRIVATE)
        self._timer.tick(self._refresh, known, standing, **_PRIVATE)
        self._upload.upload(self._on_upload, self._upload, changing, **_PRIVATE)
        gr.on(
            [self._button.click, *(box.submit for box in self._controls.values() if isinstance(box, gr.Textbox))],
            self._on_classify,
            [self._image, *self._controls.values()],
            changing,
            api_visibility="private",
            show_progress="minimal",
            show_progress_on=self._button,
            concurrency_limit=2,
        ).then(self._refresh, known, standing, **_PRIVATE)
        self._chosen.input(self._on_class_selected, [self._answer, self._chosen], self._map, **_PRIVATE)

    def _refresh(self, answer: Answer | None, shown: object) -> Updates:
        """Refresh what stands on the page for as long as it is open, where it has changed."""
        standing = self._service.standing(answer.model_id if answer else None)
        texts = {element: write(standing) for element, write in self._of_standing.items()}
        empty = markup.write_empty() if standing.served else ""
        current = (*texts.values(), empty)
        if current == shown:
            return {self._shown: gr.skip()}
        if answer is None:
            texts[self._result] = empty
        return {**{element: _say(text) for element, text in texts.items()}, self._shown: current}

    def _on_upload(self, path: str | None) -> Updates:
        """Take an upload into memory and delete its file at once; say at once where it is no image.

        The answer to the image before goes, so that it never stands beside another one.
        """
        data, preview, error = (_read_and_delete(Path(path)) if path else None), "", ""
        try:
            preview = _preview(decode(data, image_id="upload")) if data is not None else ""
        except ImageRejected as refusal:
            data, error = None, markup.write_error(wording.rejected_image(refusal.reason))
        return {
            **self._without_answer(markup.write_empty()),
            self._upload: None,
            self._image: data,
            self._preview: _say(preview),
            self._image_error: _say(error),
        }

    def _on_classify(self, image: bytes | None, *values: object) -> Updates:
        """Answer, or say beside the field what is wrong; ``values`` are those of the controls, in order."""
        errors = dict.fromkeys(self._errors, "") | {"image": "" if image is not None else wording.NO_IMAGE}
        try:
            metadata = read_metadata(dict(zip(self._controls, values, strict=True)))
            if image is not None:
                _, answer = self._service.ask(image, metadata)
                if self._service.refuses(answer):
                    refusal = markup.write_out_of_distribution(answer)
                    return {**self._without_answer(refusal), **self._with_errors(errors)}
                return {**self._with_answer(answer), **self._with_errors(errors)}
        except InputRejected as error:
            errors[error.field] = str(error)
        except ModelNotReady:
            errors["image"] = ""  # the status above says it
        empty = markup.write_empty() if any(errors.values()) else ""
        return {**self._without_answer(empty), **self._with_errors(errors)}

    def _on_class_selected(self, answer: Answer | None, diagnosis: str) -> object:
        """Show the map of another class."""
        return gr.skip() if answer is None else _say(markup.write_map(answer, Diagnosis(diagnosis)))

    def _with_answer(self, answer: Answer) -> Updates:
        return {
            self._answer: answer,
            self._details: gr.Column(visible=True),
            self._chosen: str(_leading(answer)),
            **{element: _say(write(answer)) for element, write in self._of_answer.items()},
        }

    def _with_errors(self, errors: Mapping[str, str]) -> Updates:
        return {self._errors[name]: _say(markup.write_error(message)) for name, message in errors.items()}

    def _without_answer(self, empty: str) -> Updates:
        """Take an answer away; ``empty`` stands in its place."""
        return {
            self._answer: None,
            self._details: gr.Column(visible=False),
            self._chosen: None,
            **{element: _say("") for element in self._of_answer},
            self._result: _say(empty),
        }


def _html(value: str = "") -> gr.HTML:
    return gr.HTML(value, padding=False, visible=bool(value))


def _say(value: str) -> gr.HTML:
    """Return an update that shows ``value``, and takes no room where there is nothing to show."""
    return gr.HTML(value=value, visible=bool(value))


def _control(field: AnyField) -> _Control:
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


def _leading(answer: Answer) -> Diagnosis:
    return answer.classes[0].diagnosis


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
