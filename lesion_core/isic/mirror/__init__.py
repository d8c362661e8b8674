"""The archive's API, served from a folder."""
