"""The version of the step ``evaluate``: raised when the same inputs would give another report."""

STEP_VERSION = 7
