"""One file for each flow."""

from tasks.edge import prepare_environment

prepare_environment()  # here, since whoever imports a flow comes by before Prefect is imported
