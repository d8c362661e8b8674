"""That no patient, lesion or near-duplicate crosses a split, counted in the stored tables."""
