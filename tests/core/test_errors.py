"""The error tree: complete in its own drawing, picklable, found by name."""

import pickle
import re

import pytest

from lesion_core import errors
from lesion_core.errors import ArtifactCorrupt, ConfigError, LesionError, StoreUnavailable, error_by_name


def every_class(cls: type[LesionError] = LesionError) -> list[type[LesionError]]:
    return [cls, *(below for child in cls.__subclasses__() for below in every_class(child))]


def test_the_drawing_names_every_class_and_marks_the_transient_ones() -> None:
    drawn = {
        match[1]: "[transient]" in match[0]
        for match in re.finditer(r"^    [│├└─\s]*([A-Z][A-Za-z]+)(?:\(\w+\))?.*$", str(errors.__doc__), re.MULTILINE)
    }
    assert drawn == {cls.__name__: cls.transient for cls in every_class()}


@pytest.mark.parametrize("cls", every_class())
def test_every_error_survives_a_process_boundary(cls: type[LesionError]) -> None:
    error = pickle.loads(pickle.dumps(cls("expected A, got B; do C", key="a/b")))
    assert type(error) is cls
    assert error.key == "a/b"
    assert str(error) == "expected A, got B; do C"
    assert error_by_name(cls.__name__) is cls


def test_an_unknown_name_is_still_an_error_of_ours() -> None:
    assert error_by_name("SystemExit") is LesionError


def test_a_missing_fact_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = ArtifactCorrupt("m", key="k").nothing


def test_only_what_may_succeed_later_is_transient() -> None:
    assert StoreUnavailable("m").transient
    assert not ConfigError("m").transient
