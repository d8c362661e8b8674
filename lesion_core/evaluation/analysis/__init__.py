"""Analyses of a model on one split, each with its result as it stands in the report."""
