"""Back to what was approved before."""

from prefect import flow

from lesion_core.registry.approval import RollbackRequest
from lesion_core.registry.channels import ChannelState
from tasks.registry import roll_back


@flow(name="rollback", flow_run_name="rollback")
def rollback_flow(request: RollbackRequest) -> ChannelState:
    """Serve the previously approved model again; the page follows by itself."""
    return roll_back(request)
