"""The HTTP API, asked over real HTTP."""

import json
import math
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from deployments.demo import ask_page
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.serving.wording import check_wording
from tests.app.conftest import Site, running_site


def _ask(target: Site, image: bytes, /, **fields: str) -> httpx.Response:
    return httpx.post(
        f"{target.url}/v1/predict", files={"image": ("a.jpg", image, "image/jpeg")}, data=fields, timeout=30
    )


def _probabilities(answer: dict[str, Any]) -> dict[str, float]:
    return {item["class"]: item["probability"] for item in answer["classes"]}


@pytest.mark.parametrize("fusion", ["additive", "film"])
def test_an_answer_in_full(site: Site, lesion_jpeg: bytes, fusion: str) -> None:
    model = site.approve(Diagnosis.BCC, fusion=fusion)
    response = _ask(site, lesion_jpeg, age_years="61", sex="male", site="head/neck")
    assert response.status_code == 200
    answer = response.json()
    assert answer["model"] == model.id
    assert answer["approved_by"] == "Dr Grey"
    assert answer["synthetic"] is True
    assert answer["metadata"] == {"age_years": 61, "sex": "male", "site": "head/neck"}
    probabilities = _probabilities(answer)
    assert set(probabilities) == set(CLASS_ORDER)
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    mean_log = sum(math.log(value) for value in probabilities.values()) / 8
    for item in answer["classes"]:
        assert ("interaction" in item["shares"]) == (fusion == "film")
        assert sum(item["shares"].values()) == pytest.approx(math.log(item["probability"]) - mean_log, abs=1e-3)
    assert "act on clinical suspicion" in answer["disclaimer"]
    assert check_wording(json.dumps(answer, ensure_ascii=False)) == ()
    assert response.headers["cache-control"] == "no-store"
    assert site.uploads() == []


def test_an_image_unlike_the_training_is_refused_and_another_is_answered(site: Site, lesion_jpeg: bytes) -> None:
    site.approve(Diagnosis.BCC, ood={"threshold": 250.0})
    answer = _ask(site, lesion_jpeg).json()
    assert len(answer["classes"]) == len(CLASS_ORDER)
    likeness = answer["out_of_distribution"]
    assert (likeness["threshold"], likeness["flagged"], likeness["refused"]) == (250.0, False, False)
    assert likeness["text"] is None
    site.approve(Diagnosis.BCC, ood={"threshold": likeness["score"] / 1.3})  # another camera, say
    somewhat = _ask(site, lesion_jpeg).json()
    assert len(somewhat["classes"]) == len(CLASS_ORDER)
    assert somewhat["out_of_distribution"]["flagged"]
    assert not somewhat["out_of_distribution"]["refused"]
    assert "not quite like the dermoscopic images" in somewhat["out_of_distribution"]["text"]
    site.approve(Diagnosis.BCC, ood={"threshold": 50.0})
    response = _ask(site, lesion_jpeg)
    assert response.status_code == 200
    answer = response.json()
    assert answer["classes"] == []
    refusal = answer["out_of_distribution"]
    assert refusal["score"] == pytest.approx(likeness["score"])
    assert (refusal["threshold"], refusal["flagged"], refusal["refused"]) == (50.0, True, True)
    assert "limit 50.0). Its answer means nothing here: do not use it." in refusal["text"]
    site.approve(Diagnosis.BCC)
    assert _ask(site, lesion_jpeg).json()["out_of_distribution"] is None


def test_the_demonstration_asks_with_an_image_and_an_age(site: Site, lesion_jpeg: bytes) -> None:
    model = site.approve(Diagnosis.BCC)
    answer = ask_page(site.url, lesion_jpeg)
    assert answer["model"] == model.id
    assert answer["metadata"] == {"age_years": 55, "sex": None, "site": None}
    with pytest.raises(httpx.HTTPStatusError, match=r"422|400"):
        ask_page(site.url, b"no image")


def test_unknown_metadata_may_be_left_out_empty_or_called_unknown(site: Site, lesion_jpeg: bytes) -> None:
    site.approve(Diagnosis.BCC)
    answers = [
        _ask(site, lesion_jpeg).json(),
        _ask(site, lesion_jpeg, age_years="", sex="", site="").json(),
        _ask(site, lesion_jpeg, sex="unknown", site="unknown").json(),
    ]
    assert answers[0]["classes"] == answers[1]["classes"] == answers[2]["classes"]
    assert [answer["metadata"] for answer in answers] == [dict.fromkeys(("age_years", "sex", "site"))] * 3
    assert _ask(site, lesion_jpeg, sex="male").json()["classes"] != answers[0]["classes"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"age_years": "400"}, "age_years"),
        ({"age_years": "-1"}, "age_years"),
        ({"age_years": "nan"}, "age_years"),
        ({"age_years": "old"}, "age_years"),
        ({"sex": "Male"}, "sex"),
        ({"site": "torso"}, "site"),
    ],
)
def test_a_field_that_cannot_be_meant_is_named(
    site: Site, lesion_jpeg: bytes, fields: dict[str, str], field: str
) -> None:
    site.approve(Diagnosis.BCC)
    response = _ask(site, lesion_jpeg, **fields)
    assert response.status_code == 422
    assert response.json()["field"] == field
    assert fields[field] in response.json()["message"]


IMAGE = ("a.jpg", b"x", "image/jpeg")


@pytest.mark.parametrize(
    ("parts", "field", "words"),
    [
        ([("age", "55")], "age", "Did you mean “age_years”?"),
        ([("age_approx", "55")], "age_approx", "Did you mean “age_years”?"),
        ([("anatom_site_general", "head/neck")], "anatom_site_general", "Did you mean “site”?"),
        ([("age_year", "55")], "age_year", "Did you mean “age_years”?"),
        ([("Sex", "male")], "Sex", "Did you mean “sex”?"),
        ([("gender", "male")], "gender", "Expected image, age_years, sex, site, each at most once."),
        ([("patient_name" * 20, "x")], ("patient_name" * 20)[:40] + "…", "is not known"),
        ([("age_years", "55"), ("age_years", "56")], "age_years", "was given 2 times"),
        ([("sex", "male"), ("sex", "male"), ("sex", "")], "sex", "was given 3 times"),
        ([("image", IMAGE)], "image", "was given 2 times"),
        ([("image", "text")], "image", "was given 2 times"),
        ([("mask", IMAGE)], "mask", "is not known"),
        ([("age_years", IMAGE)], "age_years", "expected text, got a file"),
    ],
)
def test_what_is_not_known_or_comes_twice_is_refused_by_name(
    site: Site, lesion_jpeg: bytes, parts: list[tuple[str, Any]], field: str, words: str
) -> None:
    """Answering without it would be an answer to another question."""
    form = [(name, value if isinstance(value, tuple) else (None, value)) for name, value in parts]
    response = httpx.post(f"{site.url}/v1/predict", files=[("image", ("a.jpg", lesion_jpeg, "image/jpeg")), *form])
    assert response.status_code == 422
    assert response.json()["field"] == field
    assert words in response.json()["message"]
    assert check_wording(response.text) == ()
    assert site.uploads() == []


def test_an_image_under_another_name_is_refused_by_name(site: Site, lesion_jpeg: bytes) -> None:
    response = httpx.post(f"{site.url}/v1/predict", files={"imgae": ("a.jpg", lesion_jpeg, "image/jpeg")})
    assert response.status_code == 422
    assert response.json()["field"] == "imgae"
    assert "Did you mean “image”?" in response.json()["message"]


@pytest.mark.parametrize(
    ("address", "field", "words"),
    [
        ("/v1/predict?age_years=70", "age_years", "as fields of the form, and the address alone."),
        ("/v1/predict?age=70", "age", "Did you mean “age_years”?"),
        ("/v1/predict?debug", "debug", "is not read"),
    ],
)
def test_parameters_in_the_address_are_refused_by_name(
    site: Site, lesion_jpeg: bytes, address: str, field: str, words: str
) -> None:
    response = httpx.post(f"{site.url}{address}", files={"image": lesion_jpeg})
    assert response.status_code == 422
    assert response.json()["field"] == field
    assert words in response.json()["message"]


def test_bad_requests_end_in_words(site: Site, lesion_jpeg: bytes) -> None:
    site.approve(Diagnosis.BCC)
    url = f"{site.url}/v1/predict"
    refused = _ask(site, b"not an image")
    assert (refused.status_code, refused.json()["field"]) == (422, "image")
    assert httpx.post(url, data={"age_years": "40"}).json()["field"] == "image"
    assert httpx.post(url, content=b"{}", headers={"Content-Type": "application/json"}).status_code == 422
    broken = httpx.post(url, content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=y"})
    assert broken.status_code == 422
    endless = httpx.post(
        url, content=iter([lesion_jpeg]), headers={"Content-Type": "multipart/form-data; boundary=y"}
    )
    assert endless.status_code == 411
    large = _ask(site, b"\xff" * (21 * 1024 * 1024))
    assert large.status_code == 413
    assert "20 MB" in large.json()["message"]
    assert site.process.poll() is None


def test_readiness_follows_the_approval(site: Site, lesion_jpeg: bytes) -> None:
    site.withdraw()
    assert httpx.get(f"{site.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{site.url}/healthz?probe=1").status_code == 200  # a load balancer's own
    assert httpx.get(f"{site.url}/readyz").status_code == 503
    refused = _ask(site, lesion_jpeg)
    assert refused.status_code == 503
    assert "No model is approved yet" in refused.json()["message"]
    model = site.approve(Diagnosis.BCC)
    assert httpx.get(f"{site.url}/readyz").json() == {"status": "ready", "model": model.id}
    assert _ask(site, lesion_jpeg).json()["model"] == model.id


def test_the_answer_after_an_approval_is_the_new_models(site: Site, lesion_jpeg: bytes) -> None:
    first = site.approve(Diagnosis.BCC)
    before = _ask(site, lesion_jpeg).json()
    second = site.approve(Diagnosis.SCC, seed=3)
    after = _ask(site, lesion_jpeg).json()
    assert (before["model"], after["model"]) == (first.id, second.id)
    assert _probabilities(before) != _probabilities(after)


def test_a_damaged_model_never_answers(site: Site, lesion_jpeg: bytes) -> None:
    site.approve(Diagnosis.BCC)
    model = site.publish(Diagnosis.AK, seed=99)
    (path,) = (site.folder / "store" / model.key).rglob("model.onnx")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    site.approve(Diagnosis.AK, seed=99)
    refused = _ask(site, lesion_jpeg)
    assert refused.status_code == 503
    assert "cannot be loaded" in refused.json()["message"]
    site.approve(Diagnosis.BCC)
    assert _ask(site, lesion_jpeg).status_code == 200


def test_the_description_names_the_form(site: Site) -> None:
    schema = httpx.get(f"{site.url}/openapi.json").json()
    assert {"/v1/predict", "/healthz", "/readyz"} <= set(schema["paths"])
    form = schema["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"image", "age_years", "sex", "site"}
    assert form["additionalProperties"] is False


@pytest.mark.parametrize("fusion", ["additive", "film"])
def test_what_is_answered_is_what_the_description_says(site: Site, lesion_jpeg: bytes, fusion: str) -> None:
    site.approve(Diagnosis.BCC, fusion=fusion)
    schema = httpx.get(f"{site.url}/openapi.json").json()
    question = schema["paths"]["/v1/predict"]["post"]["responses"]
    assert set(question) == {"200", "401", "411", "413", "422", "503"}
    answers = {
        "200": (question, _ask(site, lesion_jpeg, age_years="61")),
        "422": (question, _ask(site, lesion_jpeg, age="61")),
        **{
            path: (schema["paths"][path]["get"]["responses"], httpx.get(f"{site.url}{path}"))
            for path in ("/healthz", "/readyz")
        },
    }
    for responses, response in answers.values():
        described = responses[str(response.status_code)]["content"]["application/json"]["schema"]
        jsonschema.validate(response.json(), {**described, "components": schema["components"]})
    shapes = schema["components"]["schemas"]
    assert set(shapes["PredictAnswer"]["properties"]) == set(answers["200"][1].json())
    assert set(shapes["PatientMetadata"]["properties"]) == {"age_years", "sex", "site"}
    assert all(shape["additionalProperties"] is False for shape in shapes.values() if "properties" in shape)


def test_no_file_of_the_server_can_be_fetched(site: Site) -> None:
    for path in ("/gradio_api/file=/etc/passwd", "/gradio_api/file=pyproject.toml", "/file=/etc/passwd"):
        response = httpx.get(f"{site.url}{path}")
        assert response.status_code in (403, 404), path
        assert "root:" not in response.text


def test_login_guards_the_page_and_the_api(tmp_path: Path, lesion_jpeg: bytes) -> None:
    with running_site(tmp_path, LESION_PAGE_USERS="doctor:s3cret:x,nurse:other", LESION_AUDIT="true") as site:
        site.approve(Diagnosis.BCC)
        assert httpx.get(f"{site.url}/healthz").status_code == 200
        for auth in (None, ("doctor", "wrong"), ("nobody", "s3cret:x"), ("", "")):
            response = httpx.post(f"{site.url}/v1/predict", files={"image": lesion_jpeg}, auth=auth)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Basic")
        for path in ("config", "gradio_api/info", "gradio_api/queue/data?session_hash=x"):
            assert httpx.get(f"{site.url}/{path}").status_code == 401, path
        assert httpx.post(f"{site.url}/gradio_api/upload", files={"files": lesion_jpeg}).status_code == 401
        assert httpx.post(f"{site.url}/gradio_api/queue/join", json={}).status_code == 401
        login = {"username": "doctor", "password": "s3cret:x"}
        assert httpx.post(f"{site.url}/login", data={**login, "password": "x"}).status_code == 400
        with httpx.Client(base_url=site.url) as client:
            assert client.post("/login", data=login).status_code == 200
            assert client.get("/config").status_code == 200
        answered = httpx.post(f"{site.url}/v1/predict", files={"image": lesion_jpeg}, auth=("doctor", "s3cret:x"))
        assert answered.status_code == 200
        (record,) = site.store.list("audit/")
        assert json.loads(site.store.read(record))["model"] == answered.json()["model"]
    assert list((tmp_path / "tmp").iterdir()) == []  # a stopped page leaves no file behind


def test_nothing_is_recorded_unless_asked_for(site: Site, lesion_jpeg: bytes) -> None:
    site.approve(Diagnosis.BCC)
    assert _ask(site, lesion_jpeg).status_code == 200
    assert list(site.store.list("audit/")) == []
