"""The version of the steps of ingestion: their code decides what a listing, a shard and a snapshot hold."""

STEP_VERSION = 3
