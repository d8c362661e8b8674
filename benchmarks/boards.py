"""What a comparison must have before its numbers go into the docs."""

from lesion_core.comparison.leaderboard import Leaderboard
from lesion_core.errors import DataError


def check_complete(board: Leaderboard, recipe: str = "") -> None:
    """Refuse numbers of fewer runs than were planned: their table would name folds and images that they are not of.

    Args:
        board: The comparison.
        recipe: Whose runs count; empty: those of all recipes.

    Raises:
        DataError: A run ended without a report, and the message names each; or the comparison has no such recipe.
    """
    recipes = sorted({entry.recipe for entry in board.entries})
    missing = [each for each in board.failures if recipe in ("", each.recipe)]
    if recipe and not missing and recipe not in recipes:
        raise DataError(
            f"expected recipe {recipe!r} in comparison {board.name!r}, got {', '.join(recipes)}; name one of these, "
            "or another comparison"
        )
    if missing:
        named = "; ".join(
            f"{each.recipe}, seed {each.seed}" + ("" if each.fold is None else f", fold {each.fold}")
            for each in missing
        )
        raise DataError(
            f"expected a report of every run of comparison {board.name!r}, got none of: {named}; run the flow "
            "'compare' with it again, which does what is missing only"
        )


def check_reference(board: Leaderboard) -> None:
    """Refuse differences to another recipe than the baseline that was asked for.

    Raises:
        DataError: The baseline has no report.
    """
    if board.baseline not in ("", board.reference):
        raise DataError(
            f"expected the recipes of comparison {board.name!r} to be held against {board.baseline!r}, got "
            f"{board.reference!r} in its place; run the flow 'compare' with it again"
        )
