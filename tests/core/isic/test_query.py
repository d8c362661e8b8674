from collections.abc import Iterator

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lesion_core.errors import ConfigError
from lesion_core.isic.mirror.query import parse_query
from lesion_core.isic.mirror.server import running_mirror
from tests.core.isic.folders import write_table
from tests.core.isic.query_cases import CASES, ROWS, Answered


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("queries")
    write_table(folder, ROWS)
    with running_mirror(folder) as url, httpx.Client(base_url=url) as web:
        yield web


@pytest.mark.parametrize(("query", "expected"), CASES)
def test_a_query_is_answered_as_the_archives_server_does(web: httpx.Client, query: str, expected: Answered) -> None:
    answer = web.get("images/search/", params={"query": query})
    if answer.status_code == 200:
        found = [image["isic_id"][-1] for image in answer.json()["results"]]
        assert "".join(found) == expected
        assert answer.json()["count"] == len(found)
    else:
        assert answer.status_code == expected
        assert ("message" in answer.json()) if expected == 400 else ("Server Error (500)" in answer.text)


@pytest.mark.parametrize("query", ["hairy:true", "hairy:"])
def test_in_bulk_a_query_that_cannot_be_answered_gets_a_token_all_the_same(web: httpx.Client, query: str) -> None:
    token = web.post("zip-download/url/", json={"query": query})
    if query == "hairy:":
        assert token.status_code == 400
        return
    assert token.status_code == 200
    table = web.get("zip-download/metadata-file/", params={"token": token.json().partition("zsid=")[2]})
    assert table.status_code == 500


def test_brackets_beyond_all_measure_are_refused() -> None:
    with pytest.raises(ConfigError, match="brackets"):
        parse_query("(" * 200 + "sex:male" + ")" * 200)


@given(st.text(alphabet=st.sampled_from('sex:maleANDOR()-*"[]{} TO0123,.'), max_size=60))
@example("sex:male" + "\0")
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        query = parse_query(text)
    except ConfigError:
        return
    assert all(query.holds(row) in (True, False) for row in ROWS)


CONDITIONS = st.sampled_from(["sex:male", "sex:female", "sex:*", "diagnosis_3:Mel*", "age_approx:[20 TO 30]"])


def matches(query: str) -> set[str]:
    """Return the ids that match."""
    asked = parse_query(query)
    return {row["isic_id"] for row in ROWS if asked.holds(row)}


@given(CONDITIONS, CONDITIONS)
def test_connectives_obey_their_laws(first: str, second: str) -> None:
    assert matches(f"{first} AND {second}") == matches(first) & matches(second)
    assert matches(f"{first} OR {second}") == matches(first) | matches(second)
    assert matches(f"-{first}") == matches("") - matches(first)
    assert matches(f"({first} OR {second}) AND {first}") == matches(first)
