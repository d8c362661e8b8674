"""The documentation says what was measured, shows what exists, and links to what is there."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def load_script(name: str):  # type: ignore[no-untyped-def]
    """Import a script of the docs folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_number_in_a_results_block_comes_from_its_report() -> None:
    script = load_script("write_results")
    texts = [page.read_text(encoding="utf-8") for page in script.PAGES]
    shown = {found["name"] for text in texts for found in script.BLOCK.finditer(text)}
    assert shown == {path.stem for path in (ROOT / "docs" / "results").glob("*.json")}
    for page in script.PAGES:
        text = page.read_text(encoding="utf-8")
        assert script.rendered(text) == text, f"{page.name}: run python docs/write_results.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_commands_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in re.findall(r"^make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
