"""A person's word on a model."""

from prefect import flow

from lesion_core.registry.approval import ApprovalRequest
from lesion_core.registry.channels import ChannelState
from tasks.registry import approve_model


@flow(name="approve", flow_run_name="{request.decision}-{request.model_id}")
def approve_flow(request: ApprovalRequest) -> ChannelState | None:
    """Approve or reject a model. Only one that passed the gate can be approved; the page follows by itself."""
    return approve_model(request)
