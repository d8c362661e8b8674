"""Under which licences an image may be shown in a report, and what must stand beside it."""

from collections.abc import Mapping
from dataclasses import dataclass

from lesion_core.types import Licence


@dataclass(frozen=True, slots=True)
class DisplayRule:
    """What showing an image of a licence asks for.

    Attributes:
        is_shown: Whether the image may stand in a report as a picture.
        names_attribution: Whether whom the licence asks to credit stands beside it.
        names_licence: Whether the licence stands beside it.
    """

    is_shown: bool
    names_attribution: bool
    names_licence: bool


# https://creativecommons.org/licenses/: CC-0 asks for nothing, BY for a credit, NC besides for non-commercial use,
# which only the reader can keep to who knows of it. Another licence than these is never shown.
DISPLAY_RULES: Mapping[Licence, DisplayRule] = {
    "CC-0": DisplayRule(is_shown=True, names_attribution=False, names_licence=False),
    "CC-BY": DisplayRule(is_shown=True, names_attribution=True, names_licence=False),
    "CC-BY-NC": DisplayRule(is_shown=True, names_attribution=True, names_licence=True),
}
_NOT_SHOWN = DisplayRule(is_shown=False, names_attribution=True, names_licence=True)


def display_rule(licence: str) -> DisplayRule:
    """Return what showing an image under ``licence`` asks for; a licence that is not in the table is not shown."""
    return next((rule for known, rule in DISPLAY_RULES.items() if known == licence), _NOT_SHOWN)


def credit_of(licence: str, attribution: str) -> str:
    """Return what stands beside an image: 'Hospital A, CC-BY-NC'; empty where its licence asks for nothing."""
    rule = display_rule(licence)
    name = " ".join(attribution.split()) or "Anonymous"
    return ", ".join([name] * rule.names_attribution + [licence] * rule.names_licence)
