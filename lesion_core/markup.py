"""HTML and Markdown from templates in which every value is escaped, whatever it looks like; the only user of jinja2.

Templates lie in the folder ``templates`` of a package. In HTML a value is text unless it is ``markupsafe.Markup``; in
Markdown it is text unless it is ``Markdown``. A name that a template does not get is an error, not an empty place.
"""

import functools
import re
from collections.abc import Iterable, Sequence

import jinja2

_SIGNS = re.compile(r"([\\`*_\[\]|])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Markdown(str):
    """Text that is Markdown already, and is not escaped again."""

    __slots__ = ()


def escape_markdown(value: object) -> Markdown:
    """Return text on one line that stays in its cell and that no viewer takes for a tag, a link or emphasis.

    ``Markdown`` is returned as it is.
    """
    if isinstance(value, Markdown):
        return value
    return Markdown(_SIGNS.sub(r"\\\1", " ".join(str(value).split())).translate(_ENTITIES))


def code(value: object) -> Markdown:
    """Return a code span; also one whose text has backticks or, in a table, pipes."""
    text = " ".join(str(value).split())
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return Markdown(f"{fence}{space}{text}{space}{fence}".replace("|", "\\|"))


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> Markdown:
    """Return a Markdown table; cells are text, unless they are ``Markdown``.

    Raises:
        ValueError: A row has more or fewer cells than the header.
    """
    lines = [list(map(escape_markdown, row)) for row in (header, *rows)]
    if any(len(line) != len(lines[0]) for line in lines):
        raise ValueError(f"expected {len(lines[0])} cells in each row of the table, got other numbers")
    lines.insert(1, [Markdown("---")] * len(lines[0]))
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def signed(value: float) -> str:
    """Return a number with two places and its sign, a true minus; 0.00 has none."""
    return "0.00" if abs(value) < 0.005 else f"{value:+.2f}".replace("-", "−")


def render_html(package: str, template: str, /, **values: object) -> str:
    """Return a package's template ``<template>.html.j2`` filled in.

    Raises:
        jinja2.UndefinedError: The template asks for a value that is not given.
    """
    return _html(package).get_template(f"{template}.html.j2").render(values)


def render_markdown(package: str, template: str, /, **values: object) -> Markdown:
    """Return a package's template ``<template>.md.j2`` filled in; raises as ``render_html``."""
    return Markdown(_markdown(package).get_template(f"{template}.md.j2").render(values))


@functools.cache
def _html(package: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = signed
    return environment


@functools.cache
def _markdown(package: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=False,  # that is HTML's; ``finalize`` escapes every value for Markdown
        finalize=escape_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(table=table, code=code)
    return environment
