"""The archive's API, spoken."""
