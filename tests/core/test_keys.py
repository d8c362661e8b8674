"""Keys: one place that makes them, nothing that leaves the store's root."""

import json
import math
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lesion_core import keys
from lesion_core.errors import ConfigError
from lesion_core.types import StoreKey

names = st.text(st.characters(codec="utf-8"), max_size=40)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(names, names)
def test_a_key_stays_below_the_root_or_is_refused(first: str, second: str) -> None:
    for make in (keys.dataset_key, keys.model_key, keys.audit_key, keys.snapshot_key):
        try:
            key = make(first, second)
        except ConfigError:
            continue
        path = PurePosixPath(key)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert TypeAdapter(StoreKey).validate_python(key) == key


@given(plain)
def test_the_digest_ignores_how_a_value_was_spelt(value: object) -> None:
    again = json.loads(json.dumps(value))
    assert keys.digest_of(again) == keys.digest_of(value)


@given(st.dictionaries(st.text(), st.integers(), min_size=1))
def test_the_digest_sees_every_change(value: dict[str, int]) -> None:
    name = next(iter(value))
    assert keys.digest_of({**value, name: value[name] + 1}) != keys.digest_of(value)


def test_a_number_that_json_lacks_has_no_digest() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        keys.digest_of({"loss": math.nan})


def test_ids_and_folders_agree() -> None:
    key = keys.model_key("isic-quick", "0123456789abcdef")
    assert key == "models/isic-quick/0123456789ab"
    assert keys.id_of(key) == "isic-quick/0123456789ab"
    assert keys.index_key(key) == f"{key}/index.json"
    assert keys.report_key(keys.id_of(key), "f" * 64) == f"reports/isic-quick-0123456789ab/{'f' * 12}"
    assert keys.data_report_key("isic", "f" * 64) == f"data-reports/isic/{'f' * 12}"
    assert keys.gate_key(keys.id_of(key), "f" * 64) == f"gates/isic-quick/0123456789ab/{'f' * 12}.json"
    assert keys.comparison_key("fusion", "f" * 64) == f"comparisons/fusion/{'f' * 12}"
    assert keys.claim_key("isic", "fold.2", "a") == "claims/isic/fold.2/a.json"
    assert keys.test_access_key("isic", "fold.2", "f" * 64) == f"looks/isic/fold.2/{'f' * 12}.json"
    assert keys.study_key("isic-search", "f" * 64) == f"studies/isic-search/{'f' * 12}"
    signal = keys.signal_key("isic-search-0123456789ab", 3, "verdict", 12)
    assert signal == "signals/isic-search-0123456789ab/00003/verdict-0012.json"
    assert signal.startswith(keys.signals_prefix("isic-search-0123456789ab", 3))
    assert keys.event_key("approved", 3) < keys.event_key("approved", 12)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "a/../b", "a//b", "a/", "a\\b", "./a"])
def test_a_key_that_could_leave_the_root_is_no_key(key: str) -> None:
    with pytest.raises(ValidationError, match="relative store key"):
        TypeAdapter(StoreKey).validate_python(key)
