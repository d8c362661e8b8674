"""What every store does, whatever it is made of."""

import datetime
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lesion_core.errors import ArtifactNotFound, ConfigError
from lesion_core.stores.protocol import Store

KEY = "models/quick/0123456789ab/model.onnx"
BODIES = (b"", b"x", bytes(range(256)) * 5000)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{len(body)} bytes")
def test_what_is_written_is_read(store: Store, body: bytes) -> None:
    store.write(KEY, body)
    assert store.read(KEY) == body
    assert store.read_tagged(KEY)[0] == body
    with store.open_reader(KEY) as stream:
        assert stream.read() == body


def test_a_stream_is_written_from_where_it_stands_and_left_open(store: Store) -> None:
    source = io.BytesIO(b"header" + b"body" * 1000)
    source.seek(6)
    store.write(KEY, source)
    assert store.read(KEY) == b"body" * 1000
    assert not source.closed


def test_a_stream_longer_than_one_part_arrives_whole(store: Store) -> None:
    body = bytes(range(256)) * (20 << 12)  # 20 MiB, above boto3's 8 MiB parts
    store.write(KEY, io.BytesIO(body))
    with store.open_reader(KEY) as stream:
        assert b"".join(iter(lambda: stream.read(1 << 20), b"")) == body


def test_a_reader_reads_in_pieces(store: Store) -> None:
    store.write(KEY, b"0123456789")
    with store.open_reader(KEY) as stream:
        assert stream.read(3) == b"012"
        assert stream.read(100) == b"3456789"
        assert stream.read(1) == b""


def test_writing_replaces(store: Store) -> None:
    store.write(KEY, b"a longer first version")
    store.write(KEY, b"second")
    assert store.read(KEY) == b"second"


def test_what_is_not_there_is_not_found(store: Store) -> None:
    store.write(KEY, b"x")
    for absent in ("models/other.json", "models/quick", f"{KEY}/deeper"):
        assert store.stat(absent) is None
        for act in (store.read, store.read_tagged, store.open_reader):
            with pytest.raises(ArtifactNotFound) as caught:
                act(absent)
            assert caught.value.key == absent
            assert absent in str(caught.value)


def test_stat_tells_size_and_the_tag_that_reading_tells(store: Store) -> None:
    store.write(KEY, b"12345")
    stat = store.stat(KEY)
    assert stat is not None
    assert stat.size_bytes == 5
    assert stat.tag == store.read_tagged(KEY)[1]


def test_a_tag_changes_with_the_content(store: Store) -> None:
    store.write(KEY, b"first")
    _, first = store.read_tagged(KEY)
    store.write(KEY, b"other")
    assert store.read_tagged(KEY)[1] != first


def test_listing_is_sorted_and_by_prefix(store: Store) -> None:
    keys = ["a-b", "a/b", "a/b-c/d", "a/b/c", "a0", "b/Z", "b/a", "b/é"]
    placed = [key for key in keys if key != "a/b"]  # a directory cannot also be a file
    for key in reversed(placed):
        store.write(key, b"x")
    assert list(store.list("")) == sorted(placed)
    assert list(store.list("a/")) == ["a/b-c/d", "a/b/c"]
    assert list(store.list("a/b")) == ["a/b-c/d", "a/b/c"]
    assert list(store.list("a/b/")) == ["a/b/c"]
    assert list(store.list("nothing/")) == []


def test_entries_tell_what_the_list_tells_with_size_and_time(store: Store) -> None:
    for key, body in {"a/b": b"12345", "a/c/d": b"", "b": b"x"}.items():
        store.write(key, body)
    found = list(store.entries("a/"))
    assert [(entry.key, entry.size_bytes) for entry in found] == [("a/b", 5), ("a/c/d", 0)]
    now = datetime.datetime.now(datetime.UTC)
    assert all(abs(now - entry.modified) < datetime.timedelta(minutes=1) for entry in found)
    assert [entry.key for entry in store.entries("")] == list(store.list(""))
    assert list(store.entries("nothing/")) == []


def test_removing_twice_is_no_error(store: Store) -> None:
    store.write(KEY, b"x")
    store.remove(KEY)
    store.remove(KEY)
    assert store.stat(KEY) is None
    assert list(store.list("")) == []


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../out", "a/../../out", "a//b", "a/./b", "a\\b", "a/", ".hidden", "a/.b", "a\nb", "a" * 256],
)
def test_a_key_that_is_none_is_refused_by_every_method(store: Store, key: str) -> None:
    for act in (store.read, store.read_tagged, store.open_reader, store.stat, store.remove):
        with pytest.raises(ConfigError, match="expected"):
            act(key)
    with pytest.raises(ConfigError, match="expected"):
        store.write(key, b"x")
    with pytest.raises(ConfigError, match="expected"):
        store.create(key, b"x")
    with pytest.raises(ConfigError, match="expected"):
        store.replace(key, b"x", "tag")


@pytest.mark.parametrize("prefix", ["/", "../", "a/../", "a//", ".hidden/"])
def test_a_prefix_that_leads_elsewhere_is_refused(store: Store, prefix: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        list(store.list(prefix))


def test_the_address_says_where_without_secrets(store: Store) -> None:
    assert store.url.startswith(("file:///", "s3://"))
    assert "secret" not in store.url


def test_the_root_holds_the_objects_as_files(store: Store) -> None:
    store.write(KEY, b"x")
    assert store.root is None or (store.root / KEY).read_bytes() == b"x"


PARTS = st.text(st.sampled_from("abAB01-_ é+%&=?#"), min_size=1, max_size=6).filter(lambda part: part.strip() == part)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects=st.dictionaries(st.tuples(PARTS, PARTS).map("/".join), st.binary(max_size=40), max_size=5))
def test_a_store_is_a_mapping_from_keys_to_bytes(store: Store, objects: dict[str, bytes]) -> None:
    for key in list(store.list("")):
        store.remove(key)
    for key, body in objects.items():
        store.write(key, body)
    assert {key: store.read(key) for key in store.list("")} == objects
