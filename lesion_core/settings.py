"""The environment, read once at the edge: ``LESION_*``, and of others what libraries read behind our back."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lesion_core.errors import ConfigError
from lesion_core.paths import expanded, expanded_address
from lesion_core.proxies import loopback_excepted
from lesion_core.types import OodPolicy

_ASIDE = "LESION_UNUSABLE_"
_SECRET = ("s3_access_key", "s3_secret_key", "page_users", "study_storage")


class LesionSettings(BaseSettings):
    """Deployment facts; hyper-parameters live in recipes and never here.

    Every field is read from the variable ``LESION_<FIELD>``. Values are passed down as arguments;
    nothing below the edge reads the environment.

    Raises:
        ConfigError: A value is invalid; the message names its variable.
    """

    model_config = SettingsConfigDict(env_prefix="LESION_", frozen=True, extra="ignore")

    store: str = Field(
        default=".lesion/store",
        description="Where artifacts live: a directory, file:///dir, or s3://bucket/prefix",
    )
    s3_endpoint: str | None = Field(default=None, description="Address of an S3-compatible server; unset means AWS")
    s3_region: str = Field(default="us-east-1", description="Region the requests are signed for")
    s3_access_key: SecretStr | None = Field(default=None, description="Access key; unset means boto3's own chain")
    s3_secret_key: SecretStr | None = Field(default=None, description="Secret key")
    work: Path = Field(
        default=Path(".lesion/work"),
        description="Local scratch: verified copies of stored files, checkpoints of running trainings",
    )
    archive_url: str = Field(
        default="https://api.isic-archive.com/api/v2/",
        description="Archive that is asked where a source names none; `lesion mirror` serves a folder alike",
    )
    recipes: Path = Field(default=Path("deployments/recipes"), description="Where recipes are looked up by name")
    comparisons: Path = Field(
        default=Path("deployments/comparisons"), description="Where comparisons are looked up by name"
    )
    runner: Literal["threads", "dask"] = Field(
        default="threads",
        description="Where shards of the archive are fetched, and where trials of a study and runs of a comparison "
        "run: threads of a worker, or a Dask cluster",
    )
    dask_address: str = Field(
        default="", description="Scheduler of a running Dask cluster; empty starts a local one for each run"
    )
    shards_at_once: int = Field(
        default=2, ge=1, le=64, description="Shards fetched at a time; they share the source's connections"
    )
    shard_images: int = Field(
        default=1000, ge=10, description="Wanted images in one shard of a listing, and in a task"
    )
    trials_at_once: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Trials of one study at a time; the server's limit on trainings holds for them, too",
    )
    runs_at_once: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Runs of one comparison in hand at a time: waiting for a place among the trainings, trained, or "
        "evaluated (up to twice as many where the models are there already); the server's limit on trainings holds "
        "for them, too",
    )
    study_storage: SecretStr | None = Field(
        default=None,
        description="Database of the studies: sqlite:///file, or postgresql+psycopg://user:password@host/name; unset "
        "means a journal file in the folder LESION_WORK",
    )
    threads: int = Field(default=0, ge=0, description="Threads for a child process; 0 means all cores")
    page_host: str = Field(default="127.0.0.1", description="Address the page listens on")
    page_port: int = Field(default=7860, ge=0, le=65535, description="Port the page listens on; 0 picks a free one")
    page_users: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="name:password pairs, comma-separated, that may open the page; empty means no login"
    )
    page_root: str = Field(
        default="",
        pattern=r"^(/[^?#]*|https?://[^?#]+)?$",
        description="Where a proxy shows the page, if below a path or under another name: /lesion, or the whole "
        "address, https://clinic.example/lesion",
    )
    page_poll_seconds: float = Field(
        default=5.0, gt=0, le=3600, description="How often the page looks for a newly approved model"
    )
    ood_policy: OodPolicy = Field(
        default="refuse",
        description="What becomes of an image that is far from those that the model was made from: 'refuse' gives no "
        "probabilities, 'note' gives them with a warning. One that is only somewhat unlike them is always answered "
        "with a warning",
    )
    audit: bool = Field(default=False, description="Keep predictions (without pixels or identity) in the store")

    @field_validator("page_users", mode="before")
    @classmethod
    def _split_users(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("store")
    @classmethod
    def _store_at_home(cls, value: str) -> str:
        return expanded_address(value)

    @field_validator("work", "recipes", "comparisons")
    @classmethod
    def _path_at_home(cls, value: Path) -> Path:
        return expanded(value)

    @field_validator("study_storage", "s3_endpoint", "s3_access_key", "s3_secret_key", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        # A compose file hands on what nobody set; a file of secrets, or one from Windows, ends in a line break.
        return (value.strip() if isinstance(value, str) else value) or None

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError("; ".join(map(_in_words, error.errors(include_url=False)))) from error


def _in_words(problem: Mapping[str, Any]) -> str:
    """Say what is wrong with one variable; what may be secret is not repeated."""
    name = str(problem["loc"][0])
    got = "one that is not shown here" if name in _SECRET else repr(problem["input"])
    return (
        f"expected LESION_{name.upper()} to be a usable value, got {got}: {problem['msg']}; correct the variable or "
        "unset it"
    )


def first_set(variables: tuple[str, ...]) -> tuple[str, str]:
    """Return name and value of the first of these variables that is set, or was set aside; else two empty strings."""
    for name in variables:
        if value := os.environ.get(name) or os.environ.get(f"{_ASIDE}{name}"):
            return name, value
    return "", ""


def set_aside(variable: str) -> None:
    """Hide a variable from libraries, in this process and its children; ``first_set`` still knows it."""
    if variable in os.environ:
        os.environ[f"{_ASIDE}{variable}"] = os.environ.pop(variable)


def keep_loopback_direct() -> None:
    """Except this machine's loopback from the environment's proxies, for every client and child of this process."""
    os.environ.update(loopback_excepted(os.environ))
