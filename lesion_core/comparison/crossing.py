"""From a base recipe and axes to the recipes of a comparison: crossed, or changed one at a time."""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lesion_core.comparison.spec import CompareRequest
from lesion_core.errors import ConfigError
from lesion_core.recipes.former_names import present_path
from lesion_core.recipes.recipe import Recipe, choose_recipe, parse_recipe
from lesion_core.types import JsonDict

_LONGEST_NAME = 63


def recipes_of(request: CompareRequest, folder: Path) -> tuple[Recipe, ...]:
    """Return the recipes that a request names or crosses, each under a name of its own.

    Raises:
        ConfigError: A recipe that cannot be used, two of one name, or a baseline that is none of them.
    """
    if request.base is None:
        recipes = tuple(choose_recipe(choice, folder) for choice in request.recipes)
    else:
        base = choose_recipe(request.base, folder)
        recipes = (vary if request.one_at_a_time else cross)(base, request.axes)
    names = [recipe.name for recipe in recipes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"expected recipes of different names in comparison {request.name!r}, got several called "
            f"{', '.join(twice)}; rename them, or cross the difference as an axis"
        )
    if request.baseline and request.baseline not in names:
        raise ConfigError(f"expected a baseline of {', '.join(names)}, got {request.baseline!r}")
    return recipes


def cross(base: Recipe, axes: Mapping[str, Sequence[Any]]) -> tuple[Recipe, ...]:
    """Return every combination of the axes' values, the last axis changing first.

    A combination is called ``<base>-<field>-<value>…``. The one that is the base itself keeps its name, and so the
    models that are stored under it.

    Args:
        base: What is changed.
        axes: Dotted path of a recipe's field to the values to try.

    Raises:
        ConfigError: A path that is no field, a value out of its bounds, or a name that is too long.
    """
    content = base.model_dump(mode="json")
    axes = {present_path(path): values for path, values in axes.items()}
    return tuple(
        _changed(base, content, dict(zip(axes, values, strict=True))) for values in itertools.product(*axes.values())
    )


def vary(base: Recipe, axes: Mapping[str, Sequence[Any]]) -> tuple[Recipe, ...]:
    """Return the base, and it with each value of each axis alone: what one ingredient brings where the rest is given.

    Names are as of ``cross``; a value that the base has already adds nothing.

    Args:
        base: What is changed.
        axes: Dotted path of a recipe's field to the values to try.

    Raises:
        ConfigError: As for ``cross``.
    """
    varied = (recipe for path, values in axes.items() for recipe in cross(base, {path: values}))
    return (base, *(recipe for recipe in varied if recipe is not base))


def _changed(base: Recipe, content: JsonDict, changes: Mapping[str, Any]) -> Recipe:
    changed = content
    for path, value in changes.items():
        changed = _with(changed, path.split("."), value, path)
    name = "-".join(
        [base.name, *(f"{_slug(path.rpartition('.')[2])}-{_slug(value)}" for path, value in changes.items())]
    )
    recipe = parse_recipe(changed, source=name)
    if recipe == base:
        return base
    if len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"expected names of at most {_LONGEST_NAME} characters, got {name!r}; give the base a shorter name, or "
            "name the recipes yourself"
        )
    said = ", ".join(f"{path} = {value}" for path, value in changes.items())
    return recipe.model_copy(update={"name": name, "description": f"{base.name} with {said}"})


def _with(content: JsonDict, path: Sequence[str], value: Any, whole: str) -> JsonDict:
    """Return a copy in which the field at ``path`` has another value."""
    head, *rest = path
    if not isinstance(content, dict) or head not in content or (whole == head and head in ("name", "description")):
        known = ", ".join(content) if isinstance(content, dict) else "nothing below it"
        raise ConfigError(f"expected an axis to be a recipe's field, got {whole!r}; at {head!r} there is: {known}")
    return {**content, head: _with(content[head], rest, value, whole) if rest else value}


def _slug(value: object) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-") or "empty"
