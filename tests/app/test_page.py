"""The page in real Chromium."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lesion_core.labels import CLASS_NAMES, Diagnosis
from lesion_core.serving.wording import BENIGN_WARNING, check_wording
from tests.app.conftest import Site


@pytest.fixture
def lesion(tmp_path: Path, lesion_jpeg: bytes) -> Path:
    path = tmp_path / "Jane Doe left arm.jpg"
    path.write_bytes(lesion_jpeg)
    return path


def _open(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.get_by_role("button", name="Classify").wait_for()


def _upload(page: Page, path: Path) -> None:
    page.set_input_files("#upload input[type=file]", path)


def _classify(page: Page, path: Path) -> None:
    _upload(page, path)
    page.get_by_test_id("preview").wait_for()
    page.get_by_role("button", name="Classify").click()
    page.get_by_test_id("answer").wait_for()


def _leading(page: Page) -> str:
    return page.locator(".lf-bars tbody tr").first.get_attribute("data-class") or ""


def test_before_any_approval_the_page_says_what_to_do(site: Site, page: Page) -> None:
    site.withdraw()
    _open(page, site)
    expect(page.get_by_text("No model is approved yet")).to_be_visible()
    expect(page.get_by_text("approve a model with the flow")).to_be_visible()
    expect(page.get_by_test_id("disclaimer")).to_contain_text("Not a medical device")


def test_an_image_unlike_the_training_is_refused_where_its_answer_would_be(
    site: Site, page: Page, lesion: Path
) -> None:
    site.approve(Diagnosis.VASC, ood={"threshold": 250.0})
    _open(page, site)
    _classify(page, lesion)
    expect(page.get_by_test_id("out-of-distribution")).to_have_count(0)
    site.approve(Diagnosis.VASC, ood={"threshold": 50.0})
    page.get_by_role("button", name="Classify").click()
    notice = page.get_by_test_id("out-of-distribution")
    expect(notice).to_contain_text("limit 50.0). Its answer means nothing here: do not use it.")
    expect(page.get_by_test_id("answer")).to_have_count(0)
    expect(page.get_by_test_id("map")).to_have_count(0)
    site.approve(Diagnosis.VASC)


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.TIF", "a.gif"])
def test_an_image_is_taken_under_every_ending_of_its_format(
    site: Site, page: Page, lesion: Path, tmp_path: Path, name: str
) -> None:
    _open(page, site)
    _upload(page, lesion.rename(tmp_path / name))
    page.get_by_test_id("preview").wait_for()


def test_a_prediction_with_its_limits(site: Site, page: Page, lesion: Path) -> None:
    model = site.approve(Diagnosis.VASC)
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url))
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    _open(page, site)
    _upload(page, lesion)
    page.get_by_test_id("preview").wait_for()
    page.get_by_label("Age in years").fill("61")
    page.locator("#sex").get_by_label("female").check()
    page.get_by_role("button", name="Classify").click()
    answer = page.get_by_test_id("answer")
    expect(answer).to_contain_text("age 61, female, site unknown")
    for name in CLASS_NAMES.values():
        expect(answer.get_by_role("rowheader").filter(has_text=name)).to_have_count(1)
    expect(answer.locator(".lf-malignant")).to_have_count(3)
    values = [float(re.sub(r"[^0-9.]", "", text)) for text in answer.locator(".lf-value").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(100, abs=1)
    expect(page.get_by_test_id("answered-by")).to_have_text(model.id)
    expect(page.get_by_test_id("model-id")).to_have_text(model.id)
    expect(page.get_by_test_id("metadata").locator("tbody tr")).to_have_count(8)
    expect(page.get_by_test_id("disclaimer")).to_contain_text("Dr Grey")
    expect(page.get_by_test_id("reminder")).to_be_in_viewport()
    expect(page.get_by_text("SYNTHETIC:")).to_be_visible()
    words = page.locator("body").inner_text()
    assert BENIGN_WARNING in words
    assert check_wording(words) == ()
    assert "Jane" not in page.content()
    assert [url for url in foreign if not url.startswith((site.url, "data:", "blob:"))] == []
    assert errors == []
    assert site.uploads() == []


def test_another_class_shows_another_map(site: Site, page: Page, lesion: Path) -> None:
    site.approve(Diagnosis.VASC)
    _open(page, site)
    _classify(page, lesion)
    shown = page.get_by_test_id("map").locator("img").nth(1)
    before = shown.get_attribute("src")
    page.get_by_label("Map for class").click()
    page.get_by_role("option", name="Dermatofibroma").click()
    expect(page.get_by_test_id("map")).to_contain_text("Map for dermatofibroma")
    assert shown.get_attribute("src") != before


def test_a_newly_approved_model_answers_without_a_restart(site: Site, page: Page, lesion: Path) -> None:
    first = site.approve(Diagnosis.VASC)
    _open(page, site)
    _classify(page, lesion)
    before = page.get_by_test_id("answer").inner_text()
    second = site.approve(Diagnosis.DF, seed=11)
    expect(page.get_by_test_id("model-id")).to_have_text(second.id)  # by itself, in the open page
    expect(page.get_by_text(f"the answer shown is of {first.id}")).to_be_visible()
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_test_id("answered-by")).to_have_text(second.id)
    assert page.get_by_test_id("answer").inner_text() != before
    assert site.process.poll() is None


def test_a_withdrawn_model_answers_no_more(site: Site, page: Page, lesion: Path) -> None:
    site.approve(Diagnosis.VASC)
    _open(page, site)
    _classify(page, lesion)
    site.withdraw()
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_text("No model is approved yet")).to_be_visible()
    expect(page.get_by_test_id("answer")).to_have_count(0)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("text.jpg", b"not an image", "is no JPEG"),
        ("empty.jpg", b"\x00", "is no JPEG"),
        ("cut.jpg", None, "damaged or cut short"),
    ],
)
def test_what_is_no_image_is_refused_beside_the_field(
    site: Site, page: Page, tmp_path: Path, lesion_jpeg: bytes, name: str, content: bytes | None, reason: str
) -> None:
    site.approve(Diagnosis.VASC)
    path = tmp_path / name
    path.write_bytes(lesion_jpeg[: len(lesion_jpeg) // 3] if content is None else content)
    _open(page, site)
    _upload(page, path)
    expect(page.get_by_role("alert").filter(has_text="This file cannot be used")).to_contain_text(reason)
    assert site.uploads() == []


def test_an_impossible_age_is_refused_beside_the_field(site: Site, page: Page, lesion: Path) -> None:
    site.approve(Diagnosis.VASC)
    _open(page, site)
    _classify(page, lesion)
    page.get_by_label("Age in years").fill("400")
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_role("alert").filter(has_text="Age:")).to_contain_text("got 400")
    expect(page.get_by_test_id("answer")).to_have_count(0)
    page.get_by_label("Age in years").fill("")
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_test_id("answer")).to_contain_text("age unknown")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_classify_without_an_image_asks_for_one(site: Site, page: Page) -> None:
    site.approve(Diagnosis.VASC)
    _open(page, site)
    expect(page.get_by_test_id("model-id")).to_be_visible()
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_role("alert").filter(has_text="Choose an image first")).to_be_visible()


def test_a_new_image_takes_the_old_answer_away(site: Site, page: Page, lesion: Path) -> None:
    site.approve(Diagnosis.VASC)
    _open(page, site)
    _classify(page, lesion)
    _upload(page, lesion)
    expect(page.get_by_test_id("answer")).to_have_count(0)


def test_a_model_without_evidence_is_explained_by_occlusion(site: Site, page: Page, lesion: Path) -> None:
    site.approve(Diagnosis.VASC, fusion="concat", synthetic=False)
    _open(page, site)
    _classify(page, lesion)
    expect(page.get_by_test_id("map")).to_contain_text("hiding them lowers its value")
    expect(page.get_by_text("SYNTHETIC:")).to_have_count(0)


def test_a_model_in_which_patient_and_image_act_together_tells_the_two_apart(
    site: Site, page: Page, lesion: Path
) -> None:
    site.approve(Diagnosis.VASC, fusion="film")
    _open(page, site)
    page.get_by_label("Age in years").fill("70")
    _classify(page, lesion)
    table = page.get_by_test_id("interaction")
    expect(table.get_by_role("row")).to_have_count(9)
    expect(table).to_contain_text("with this image")
    expect(page.get_by_text("The map shows what the image says with all three unknown.")).to_be_visible()


def test_everything_can_be_done_from_the_keyboard(site: Site, page: Page, lesion: Path) -> None:
    site.approve(Diagnosis.VASC)
    _open(page, site)
    _upload(page, lesion)
    page.get_by_test_id("preview").wait_for()
    page.get_by_label("Age in years").focus()
    page.keyboard.type("44")
    reached: list[str] = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.closest('[id]')?.id ?? ''"))
        if reached[-1] == "classify":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("answer")).to_contain_text("age 44")
    assert "site" in " ".join(reached)


def test_a_phone_shows_all_without_scrolling_sideways(site: Site, page: Page, lesion: Path) -> None:
    site.approve(Diagnosis.VASC)
    page.set_viewport_size({"width": 360, "height": 740})
    _open(page, site)
    _classify(page, lesion)
    expect(page.get_by_test_id("map")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    boxes = [page.locator(selector).first.bounding_box() for selector in (".lf-form", ".lf-result")]
    assert all(box is not None and box["width"] > 280 for box in boxes)


def test_the_page_is_ready_soon_after_an_answer(site: Site, page: Page, lesion: Path) -> None:
    site.approve(Diagnosis.VASC)
    _open(page, site)
    _classify(page, lesion)
    started = time.monotonic()
    page.get_by_label("Age in years").fill("70")
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_test_id("answer")).to_contain_text("age 70")
    assert time.monotonic() - started < 5
