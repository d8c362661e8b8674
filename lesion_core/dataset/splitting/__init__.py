"""Which images belong together, and on which side of the splits they lie for good."""
