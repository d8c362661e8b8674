"""The planted faults of ``make nightly`` still fit the code and the tests that they are for."""

import ast
from pathlib import Path

import pytest

from tests.architecture.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted_and_its_test_is_one_of_ci(fault: Fault) -> None:
    assert (ROOT / fault.path).read_text(encoding="utf-8").count(fault.right) == 1
    assert fault.wrong != fault.right
    path, _, name = fault.test.partition("::")
    functions = {
        node.name: ast.dump(ast.Tuple(node.decorator_list, ast.Load()))
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert name in functions
    assert "nightly" not in functions[name]
