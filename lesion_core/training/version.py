"""The version of the step ``train``: raised when the same inputs would give another model."""

STEP_VERSION = 8
