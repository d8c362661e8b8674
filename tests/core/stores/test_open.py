"""From settings to a store."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from lesion_core.errors import ConfigError
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store
from tests.servers import S3Server, minio

__all__ = ["minio"]


def test_a_path_opens_a_directory(tmp_path: Path) -> None:
    store = open_store(LesionSettings(store=str(tmp_path / "my store")))
    store.write("a/b", b"x")
    assert (tmp_path / "my store/a/b").read_bytes() == b"x"
    assert store.root == tmp_path / "my store"
    assert store.url == f"file://{tmp_path}/my%20store"


def test_a_store_opens_again_by_its_own_address(tmp_path: Path) -> None:
    store = open_store(LesionSettings(store=str(tmp_path / "my store")))
    store.write("a/b", b"x")
    assert open_store(LesionSettings(store=store.url)).read("a/b") == b"x"


def test_a_relative_path_stays_where_it_was_when_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(LesionSettings(store="here"))
    monkeypatch.chdir("/")
    store.write("a/b", b"x")
    assert (tmp_path / "here/a/b").is_file()


def test_s3_opens_from_the_environment_alone(minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in minio.variables("opened/here").items():
        monkeypatch.setenv(name, value)
    store = open_store(LesionSettings())
    store.write("a/b", b"x")
    assert store.read("a/b") == b"x"
    assert store.url == "s3://lesion/opened/here"
    assert store.root is None


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("", "got nothing"),
        ("ftp://somewhere/else", "s3://bucket/prefix"),
        ("file://relative/dir", "three slashes"),
        ("s3://", "bucket"),
        ("s3://Bucket_/x", "bucket"),
        ("s3://host:9000/bucket", "LESION_S3_ENDPOINT"),
        ("s3://key:secret@bucket/prefix", "LESION_S3_SECRET_KEY"),
        ("s3://bucket/prefix?versionId=1", "nothing more"),
        ("s3://bucket/../other", "relative store key"),
    ],
)
def test_an_address_of_no_known_form_is_refused(address: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="expected") as caught:
        open_store(LesionSettings(store=address))
    assert hint in str(caught.value)


def test_a_secret_in_the_address_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(LesionSettings(store="s3://key:hush@bucket/prefix"))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("name", ["s3_access_key", "s3_secret_key"])
def test_half_a_credential_is_refused(name: str) -> None:
    settings = LesionSettings(store="s3://bucket/prefix").model_copy(update={name: SecretStr("half")})
    with pytest.raises(ConfigError, match="both set or both unset"):
        open_store(settings)
