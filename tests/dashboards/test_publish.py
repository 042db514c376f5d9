"""Publishing over HTTP to a server that holds Grafana's side of the contract."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dashboards.build import committed
from dashboards.panels import FLEET_UID, MODEL_UID, SOURCE_UID
from dashboards.publish import FOLDER_UID, Published, publish, source_definition
from seawall.cli import main
from seawall.errors import ConfigError, SeawallError, Unavailable
from seawall.settings import Settings
from tests.dashboards.grafana_contract import TOKEN, Grafana, serving


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    with serving(Grafana()) as server:
        yield server


@pytest.fixture
def settings(grafana: Grafana) -> Settings:
    return Settings(grafana_url=grafana.url, grafana_token=TOKEN, store_password="store-secret")


def test_first_publish_creates_folder_source_and_dashboards(grafana: Grafana, settings: Settings) -> None:
    done = publish(settings, store_url="http://clickhouse:8123")
    titles = [d["title"] for d in committed().values()]
    assert done == Published("created", "created", dict.fromkeys(titles, "created"))
    assert set(grafana.dashboards) == {FLEET_UID, MODEL_UID}
    assert set(grafana.folder_of.values()) == {FOLDER_UID}
    source = grafana.sources[SOURCE_UID]
    assert source["jsonData"]["host"] == "clickhouse"
    assert source["secureJsonData"] == {"password": "store-secret"}


def test_second_publish_changes_nothing(grafana: Grafana, settings: Settings) -> None:
    publish(settings)
    before = len(grafana.writes)
    done = publish(settings)
    assert (done.folder, done.source, set(done.dashboards.values())) == ("kept", "kept", {"unchanged"})
    assert len(grafana.writes) == before
    assert {d["version"] for d in grafana.dashboards.values()} == {1}


def test_changed_or_moved_dashboard_is_updated_and_a_changed_source_is_kept(
    grafana: Grafana, settings: Settings
) -> None:
    publish(settings)
    grafana.dashboards[FLEET_UID]["title"] = "mine"
    grafana.folder_of[MODEL_UID] = "elsewhere"
    grafana.sources[SOURCE_UID]["jsonData"]["username"] = "reader"
    done = publish(settings)
    assert set(done.dashboards.values()) == {"updated"}
    assert grafana.dashboards[FLEET_UID]["title"] == "Seawall: fleet"
    assert grafana.folder_of[MODEL_UID] == FOLDER_UID
    assert grafana.sources[SOURCE_UID]["jsonData"]["username"] == "reader"


def refusal(settings: Settings) -> str:
    with pytest.raises(SeawallError) as caught:
        publish(settings)
    text = str(caught.value)
    assert settings.grafana_token == "" or settings.grafana_token not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return f"{type(caught.value).__name__}: {text}"


def test_wrong_token_is_named_but_not_shown(settings: Settings) -> None:
    told = refusal(replace(settings, grafana_token="glsa_wrong_token"))
    assert told.startswith("ConfigError: grafana: http://127.0.0.1:")
    assert "refuses SEAWALL_GRAFANA_TOKEN (401)" in told


def test_missing_plugin_is_said_with_the_way_to_install_it(grafana: Grafana, settings: Settings) -> None:
    grafana.plugins.clear()
    assert "plugins install grafana-clickhouse-datasource" in refusal(settings)
    assert grafana.writes == []


def test_missing_right_is_said_with_the_role_that_is_needed(grafana: Grafana, settings: Settings) -> None:
    grafana.is_editor_only = True
    assert "needs the role Admin" in refusal(settings)


def test_provisioned_dashboard_is_left_to_its_file(grafana: Grafana, settings: Settings) -> None:
    publish(settings)
    grafana.dashboards[FLEET_UID]["title"] = "older"
    grafana.provisioned.add(FLEET_UID)
    assert "there is nothing to publish" in refusal(settings)


def test_unwell_grafana_is_unavailable_and_its_words_are_censored(
    grafana: Grafana, settings: Settings
) -> None:
    grafana.broken = "500"
    told = refusal(settings)
    assert told.startswith("Unavailable: ")
    assert "boom, you sent ***" in told


def test_another_program_on_the_port_is_unavailable(grafana: Grafana, settings: Settings) -> None:
    grafana.broken = "html"
    assert refusal(settings).startswith("Unavailable: ")


def test_nobody_on_the_port_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert "cannot be reached" in refusal(Settings(grafana_url=url, grafana_token=TOKEN))


@pytest.mark.parametrize(
    ("url", "token", "expected"),
    [
        ("", TOKEN, "SEAWALL_GRAFANA_URL is not set"),
        ("http://127.0.0.1:1", "", "SEAWALL_GRAFANA_TOKEN is not set"),
        ("grafana:3000", TOKEN, "is not a URL"),
        ("http://admin:hunter2@127.0.0.1:1", TOKEN, "holds a user or password"),
        ("http://127.0.0.1:1", "glsa_x\nEvil: yes", "characters that no token has"),
    ],
)
def test_unusable_settings_are_refused_by_name(url: str, token: str, expected: str) -> None:
    told = refusal(Settings(grafana_url=url, grafana_token=token))
    assert expected in told
    assert "hunter2" not in told


def test_source_speaks_http_with_the_scheme_and_port_of_the_url() -> None:
    plain = source_definition(Settings(store_database="sw"), "http://store")["jsonData"]
    assert (plain["protocol"], plain["port"], plain["secure"], plain["defaultDatabase"]) == (
        "http",
        8123,
        False,
        "sw",
    )
    secure = source_definition(Settings(), "https://store/ch/")["jsonData"]
    assert (secure["port"], secure["secure"], secure["path"]) == (8443, True, "ch")
    with pytest.raises(ConfigError, match="is not a URL"):
        source_definition(Settings(), "store:8123")


def test_command_publishes_and_says_what_it_did(
    grafana: Grafana, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEAWALL_GRAFANA_URL", grafana.url)
    monkeypatch.setenv("SEAWALL_GRAFANA_TOKEN", TOKEN)
    assert main(["dashboards", "publish", "--store-url", "http://clickhouse:8123"]) == 0
    assert main(["dashboards", "publish", "--json"]) == 0
    first, _, second = capsys.readouterr().out.rpartition("\n{")
    assert first.splitlines()[:2] == ["folder: created", "data source: created"]
    assert json.loads("{" + second)["folder"] == "kept"
    monkeypatch.setenv("SEAWALL_GRAFANA_TOKEN", "glsa_other")
    assert main(["dashboards", "publish"]) == 1
    assert "glsa_other" not in "".join(capsys.readouterr())


def test_command_lists_addresses(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SEAWALL_GRAFANA_URL", "http://grafana/")
    assert main(["dashboards", "list"]) == 0
    assert "Seawall: fleet: 8 panels, http://grafana/d/seawall-fleet" in capsys.readouterr().out


def test_command_builds_into_a_folder(
    tmp_path: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dashboards", "build", "--output", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(committed())


def test_unavailable_is_not_a_configuration_error() -> None:
    assert not issubclass(Unavailable, ConfigError)
