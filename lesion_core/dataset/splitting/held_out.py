"""Groups that options hold out for the test: all, those of one source, or those of one class."""

from dataclasses import dataclass

import pandas as pd

from lesion_core.dataset.manifest import source_of
from lesion_core.dataset.options import PrepareOptions
from lesion_core.errors import DataError


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What is held out.

    Attributes:
        groups: In the test, and nowhere else.
        beside: bool, index as in the manifest: images of these groups that are not of the source that was left out.
        fills_test: Whether the test holds nothing else.
    """

    groups: frozenset[str]
    beside: pd.Series
    fills_test: bool


def find_held_out(manifest: pd.DataFrame, options: PrepareOptions) -> HeldOut:
    """Return the groups that the options hold out; none where they hold out nothing.

    Args:
        manifest: Columns ``group``, ``diagnosis`` and ``source``.
        options: ``test_only``, ``leave_out_source`` and ``leave_out_class``.

    Raises:
        DataError: There is no image of the source or class that is to be left out.
    """
    none = pd.Series(False, index=manifest.index)
    if options.test_only:
        return HeldOut(frozenset(manifest["group"]), none, fills_test=True)
    if options.leave_out_source:
        chosen = manifest["source"] == source_of(options.leave_out_source)
        groups = _groups(manifest, chosen, "source", options.leave_out_source)
        return HeldOut(groups, manifest["group"].isin(groups) & ~chosen, fills_test=True)
    if options.leave_out_class is not None:
        chosen = manifest["diagnosis"] == str(options.leave_out_class)
        groups = _groups(manifest, chosen, "diagnosis", str(options.leave_out_class))
        return HeldOut(groups, none, fills_test=False)
    return HeldOut(frozenset(), none, fills_test=False)


def _groups(manifest: pd.DataFrame, chosen: pd.Series, column: str, wanted: str) -> frozenset[str]:
    if not chosen.any():
        known = ", ".join(f"{name!r} ({n:,})" for name, n in manifest[column].value_counts().items())
        raise DataError(f"expected images of the {column} {wanted!r} to leave out, got {known}; name one of these")
    return frozenset(manifest.loc[chosen, "group"])
