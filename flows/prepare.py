"""Group, split, certify and record a snapshot."""

from prefect import flow

from flows.ingest import bring_images
from lesion_core.dataset.options import PrepareOptions
from lesion_core.isic.source import ArchiveSource
from lesion_core.refs import DatasetRef
from tasks.dataset import prepare_dataset, publish_data_report


@flow(name="prepare", flow_run_name="prepare-{options.name}-{options.size_px}px")
def prepare_flow(source: ArchiveSource, options: PrepareOptions) -> DatasetRef:
    """Turn the wanted images into a dataset whose splits share no patient, lesion or image.

    Groups that were assigned to a split under this name stay there.
    """
    snapshot = bring_images(source, options.name)
    dataset = prepare_dataset(snapshot, options)
    publish_data_report(dataset)
    return dataset
