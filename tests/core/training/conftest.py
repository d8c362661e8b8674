"""The small dataset and the quick recipe that the tests of this package train on."""

from tests.core.noise import dataset, dataset_ref, make_recipe, store

__all__ = ["dataset", "dataset_ref", "make_recipe", "store"]
