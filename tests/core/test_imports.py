"""Every module of the package is importable by itself: with nothing but what the package says that it needs."""

import importlib
import pkgutil

import pytest

import lesion_core

MODULES = sorted(found.name for found in pkgutil.walk_packages(lesion_core.__path__, "lesion_core."))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_imported(name: str) -> None:
    assert importlib.import_module(name).__name__ == name


def test_all_of_them_were_found() -> None:
    assert {"lesion_core.jobs", "lesion_core.training.loop.fit", "lesion_core.stores.s3"} <= set(MODULES)
    assert len(MODULES) > 100
