"""The archive beside the last snapshot: counts, changes, a changed schema."""
