"""The names of the archive's fields: older ones are read as today's, and one module alone spells them out."""

import ast
from pathlib import Path

import pytest

from lesion_core import archive_fields

ROOT = Path(__file__).parents[2]
# Our own tables have columns that are called the same.
_OURS = {
    archive_fields.IMAGE_ID,
    archive_fields.ATTRIBUTION,
    archive_fields.LESION,
    archive_fields.PATIENT,
    archive_fields.SEX,
    archive_fields.PUBLIC,
}
_NAMES = {
    *archive_fields.SEARCHED,
    *archive_fields.OWN,
    *archive_fields.MEASURED,
    archive_fields.DAY,
    archive_fields.FORMER_MALIGNANCY,
    archive_fields.FORMER_SITE,
}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("image_name", "sex"), ("isic_id", "sex")),
        (("name", "isic_id"), ("name", "isic_id")),
        (("anatom_site_general_challenge",), ("anatom_site_general",)),
    ],
)
def test_an_older_name_stands_for_todays_where_that_is_missing(
    names: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert archive_fields.names_of_today(names) == expected


def test_metadata_of_before_have_todays_names_and_lose_nothing() -> None:
    older = "anatom_site_general_challenge"
    assert archive_fields.of_today({older: "torso", "name": "a", "age": None}) == {
        "anatom_site_general": "torso",
        "name": "a",
        "age": None,
    }
    both = {older: "torso", "anatom_site_general": "head/neck"}
    assert archive_fields.of_today(both) == both


@pytest.mark.parametrize("folder", ["lesion_core", "tasks", "flows", "deployments"])
def test_no_other_module_spells_a_name_out(folder: str) -> None:
    found = {}
    for path in (ROOT / folder).rglob("*.py"):
        if path.name != "archive_fields.py":
            words = {
                node.value
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            if spelt := words & (_NAMES - _OURS):
                found[path.relative_to(ROOT).as_posix()] = sorted(spelt)
    assert found == {}
