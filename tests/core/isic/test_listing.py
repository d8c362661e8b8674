"""A listing in the store: what it holds, what it is named after, and that its size does not matter to memory."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from lesion_core.errors import StoreRefused
from lesion_core.isic.listing.catalogue import Catalogue, CatalogueRow
from lesion_core.isic.listing.listing import list_archive, read_losses, read_shard, read_statements
from lesion_core.isic.listing.selection import select
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.statements import Statement
from lesion_core.stores.local import LocalStore
from tests.core.isic.folders import NEVUS, isic_id, row, write_folder


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [row(number, new_key="kept") for number in range(25)]
    rows[2] |= {"diagnosis_3": "Lentigo simplex"}
    rows[3] |= {"copyright_license": "CC-BY-NC"}
    return write_folder(tmp_path / "archive", rows)


def test_every_listed_image_is_kept_wanted_or_not(folder: Path, store: LocalStore) -> None:
    with running_mirror(folder) as url:
        source = ArchiveSource(url=url, licences=("CC-0",))
        listing = list_archive(source, store, shard_images=10)
    assert (listing.n_listed, listing.n_images, listing.n_lost, listing.n_shards) == (25, 23, 0, 3)
    images = [image for number in range(3) for image in read_shard(store, listing, number)]
    assert [image.isic_id for image in images] == [isic_id(number) for number in range(25)]
    assert [image.isic_id for image in images if not image.is_wanted] == [isic_id(2), isic_id(3)]
    assert {image.reason for image in images if not image.is_wanted} == {
        "is none of the eight classes (MEL, NV, BCC, AK, BKL, DF, VASC, SCC)",
        "is none of the accepted CC-0",
    }
    assert images[0].statement.facts["new_key"] == "kept"  # what the archive adds is not lost
    assert list(read_statements(store, listing)) == [image.statement for image in images]
    assert read_losses(store, listing) == []


def test_a_listing_is_named_after_what_it_says_and_where_the_files_are(folder: Path, store: LocalStore) -> None:
    with running_mirror(folder) as url:
        first = list_archive(ArchiveSource(url=url), store)
        assert list_archive(ArchiveSource(url=url), store) == first
        assert list_archive(ArchiveSource(url=url, listing="pages"), store) == first
        assert list_archive(ArchiveSource(url=url), store, shard_images=10) != first
        assert list_archive(ArchiveSource(url=url, classes=("MEL", "NV")), store) != first
    with running_mirror(folder) as url:
        assert list_archive(ArchiveSource(url=url), store) != first  # elsewhere: the old addresses would lead nowhere


def test_no_room_for_a_catalogue_is_said_in_the_stores_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefused):
        Catalogue(tmp_path / "file" / "catalogue.sqlite")


def rows(n_images: int) -> Iterator[CatalogueRow]:
    for number in range(n_images):
        facts = {**NEVUS, "lesion_id": f"IL_{number:07d}", "age_approx": number % 85}
        yield CatalogueRow(Statement(isic_id(number), "CC-0", "Clinic A", facts), f"http://host/{number}.jpg")


def peak_bytes(folder: Path, n_images: int) -> int:
    """Take in a listing and choose from it; return the most memory that took."""
    tracemalloc.start()
    try:
        with Catalogue(folder / f"{n_images}.sqlite") as catalogue:
            assert catalogue.add(rows(n_images)) == n_images
            selection = select(catalogue, ArchiveSource(url="http://host/"))
            assert sum(choice.is_wanted for choice in selection.choices()) == n_images
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_a_listing(tmp_path: Path) -> None:
    pa.default_memory_pool().release_unused()
    small, large = peak_bytes(tmp_path, 1_500), peak_bytes(tmp_path, 6_000)
    assert large < small + 500_000  # the 4,500 further rows alone are some 4 MB as objects
