"""Where a model fails: by subgroup, without metadata, and under changes of the image."""
