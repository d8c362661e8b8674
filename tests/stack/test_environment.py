"""What a local stack takes from the user's shell, and what not."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    get_current_settings,
    temporary_settings,
)

from deployments.stack.addresses import Addresses
from deployments.stack.clients import asking, own_settings
from deployments.stack.environment import ALLOWED, environment, is_left_out, leave_out_inherited

_ADDRESSES = Addresses(1, 2, 3)


@pytest.mark.parametrize(
    "name",
    [
        "PREFECT_SERVER_DATABASE_CONNECTION_URL",
        "PREFECT_API_DATABASE_CONNECTION_URL",
        "PREFECT_SERVER_API_AUTH_STRING",
        "PREFECT_API_KEY",
        "PREFECT_PROFILE",
        "PREFECT_PROFILES_PATH",
        "PREFECT_SERVER_API_BASE_PATH",
        "PREFECT_LOGGING_SETTINGS_PATH",
        "PREFECT_SOMETHING_OF_A_LATER_VERSION",
        "prefect_api_key",
        "Prefect_Api_Auth_String",
        "PREFECT__FLOW_RUN_ID",
        "ORION_ENCRYPTION_KEY",
        "WEB_CONCURRENCY",
    ],
)
def test_what_is_meant_for_another_server_stays_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "planted")
    assert "planted" not in environment(tmp_path, _ADDRESSES, "http://archive").values()
    assert leave_out_inherited() == [name]
    assert leave_out_inherited() == []


@pytest.mark.parametrize("name", [*sorted(ALLOWED), "LESION_AUDIT", "PATH", "AWS_PROFILE"])
def test_what_does_no_harm_or_is_ours_is_kept(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "kept")
    assert environment(tmp_path, _ADDRESSES, "http://archive")[name] == "kept"
    assert name not in leave_out_inherited()


def test_every_name_that_prefect_reads_is_known() -> None:
    """Prefect takes settings by names of its own alone, so that one rule leaves them out."""
    names = get_current_settings().to_environment_variables(include_aliases=True)
    assert len(names) > 100
    assert all(is_left_out(name) for name in names if name not in ALLOWED)


def test_relative_paths_are_those_of_the_folder_it_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    given = {"STORE": "store", "WORK": "~/work", "RECIPES": "recipes"}
    for name, value in given.items():
        monkeypatch.setenv(f"LESION_{name}", value)
    variables = environment(tmp_path / "home", _ADDRESSES, "http://archive")
    assert variables["LESION_STORE"] == str(tmp_path / "store")
    assert variables["LESION_WORK"] == str(tmp_path / "me/work")
    assert variables["LESION_RECIPES"] == str(tmp_path / "recipes")
    monkeypatch.setenv("LESION_STORE", "s3://bucket/prefix")
    assert environment(tmp_path, _ADDRESSES, "http://archive")["LESION_STORE"] == "s3://bucket/prefix"


def test_this_process_sends_the_stacks_server_no_key_meant_for_another() -> None:
    planted = {
        PREFECT_API_URL: "http://127.0.0.1:9/api",
        PREFECT_API_KEY: "pnu_secret",
        PREFECT_API_AUTH_STRING: "user:secret",
        PREFECT_CLIENT_CUSTOM_HEADERS: {"Authorization": "Bearer secret", "X-Token": "secret"},
        PREFECT_SERVER_DATABASE_CONNECTION_URL: "sqlite+aiosqlite:////nowhere/foreign.db",
    }
    with temporary_settings(planted):
        with get_client(sync_client=True) as client:
            assert "authorization" in client._client.headers  # what Prefect does by itself
        with own_settings("http://127.0.0.1:8"), get_client(sync_client=True) as client:
            headers = dict(client._client.headers)
            assert str(client.api_url).startswith("http://127.0.0.1:8/api")
        with asking("http://127.0.0.1:8") as client:
            headers |= dict(client._client.headers)
        assert PREFECT_API_KEY.value() == "pnu_secret"
    assert "authorization" not in headers
    assert "x-token" not in headers
