"""The compose file: the published schema's shape, and promises that the schema does not know."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dashboards.panels import PLUGIN, SOURCE_UID
from dashboards.publish import FOLDER_UID, source_definition
from seawall.contracts import topics
from seawall.settings import SECRETS, Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("migrate", "worker")
PASSWORDS = {"SEAWALL_STORE_PASSWORD": "s", "SEAWALL_READER_PASSWORD": "r", "GRAFANA_ADMIN_PASSWORD": "g"}


def interpolate(text: str, environ: dict[str, str]) -> str:
    """Do what compose does with ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?message}``."""

    def replaced(match: re.Match[str]) -> str:
        name, operator, rest = match["name"], match["operator"], match["rest"]
        value = environ.get(name, "")
        if not value and operator == ":?":
            raise KeyError(name)
        return value or (rest if operator == ":-" else "")

    return re.sub(r"\$\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<rest>[^}]*))?\}", replaced, text)


def environment(service: str, environ: dict[str, str] = PASSWORDS) -> dict[str, str]:
    return {k: interpolate(str(v), environ) for k, v in SERVICES[service]["environment"].items()}


def test_file_has_the_shape_of_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec.json").read_text("utf-8"))
    # it says draft 07, by an address that the library does not look up
    jsonschema.Draft7Validator.check_schema(schema)
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(COMPOSE)] == []


def test_the_schema_would_notice_a_mistake() -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec.json").read_text("utf-8"))
    broken = {**COMPOSE, "services": {"kafka": {"image": "x", "healthchek": {}}}}
    (error,) = jsonschema.Draft7Validator(schema).iter_errors(broken)
    assert "healthchek" in error.message


@pytest.mark.parametrize("service", OURS)
def test_settings_are_known_and_lead_to_the_other_services(service: str) -> None:
    settings = Settings.from_env({k: v for k, v in environment(service).items() if k.startswith("SEAWALL_")})
    assert settings.broker.split(":")[0] in SERVICES
    assert settings.store_url.split("/")[2].split(":")[0] in SERVICES
    assert settings.store_username == SERVICES["clickhouse"]["environment"]["CLICKHOUSE_USER"]
    assert settings.store_password == environment("clickhouse")["CLICKHOUSE_PASSWORD"] == "s"
    assert settings.topic_prefix == Settings().topic_prefix


def test_brokers_listener_for_workers_is_the_one_they_ask() -> None:
    kafka = environment("kafka")
    assert f"INSIDE://{environment('worker')['SEAWALL_BROKER']}" in kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert "HOST://127.0.0.1:9092" in kafka["KAFKA_ADVERTISED_LISTENERS"]


@pytest.mark.parametrize("missing", sorted(PASSWORDS))
def test_no_password_has_a_default(missing: str) -> None:
    known = {name: value for name, value in PASSWORDS.items() if name != missing}
    texts = [str(value) for service in SERVICES.values() for value in service.get("environment", {}).values()]
    with pytest.raises(KeyError, match=missing):
        interpolate("\n".join(texts), known)


def test_tables_and_topics_are_made_by_the_migrate_service(settings: Settings) -> None:
    """Run what the container would run, against a real broker and a real store."""
    run = [sys.executable, "-P", "-m", "seawall", *SERVICES["migrate"]["command"]]
    environ = {**settings.to_env(), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(run, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert all(settings.topic(name) in done.stdout for name in topics())


def test_secrets_come_from_the_environment() -> None:
    secret = {f"SEAWALL_{name.upper()}" for name in SECRETS}
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if key in secret or "PASSWORD" in key or "TOKEN" in key or "SECRET" in key:
                assert re.fullmatch(r"\$\{\w+:(\?[^}]+|-)\}", str(value)), (name, key)


def test_ports_are_bound_to_loopback_and_images_have_a_version() -> None:
    for name, service in SERVICES.items():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ())), name
        tag = interpolate(service["image"], {}).rpartition(":")[2]
        assert tag, name
        assert tag != "latest", name


def test_services_restart_are_checked_and_start_in_order() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    for name, service in SERVICES.items():
        assert service["restart"], name
        assert "healthcheck" in service or ("build" in service and "HEALTHCHECK" in dockerfile), name
        for other, how in service.get("depends_on", {}).items():
            is_once = SERVICES[other].get("healthcheck", {}).get("disable", False)
            expected = "service_completed_successfully" if is_once else "service_healthy"
            assert how["condition"] == expected, (name, other)
    assert set(SERVICES["worker"]["depends_on"]) == {"kafka", "clickhouse", "migrate"}


def test_what_must_survive_lies_on_volumes() -> None:
    for name in ("kafka", "clickhouse", "grafana"):
        assert any(str(v).startswith(f"{name}:") for v in SERVICES[name]["volumes"])
        assert name in COMPOSE["volumes"]


def test_files_that_are_mounted_exist() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = str(volume).split(":")[0]
            assert not source.startswith(".") or (ROOT / source).exists(), source


def test_workers_can_be_scaled() -> None:
    worker = SERVICES["worker"]
    assert "container_name" not in worker
    assert "ports" not in worker
    assert interpolate(worker["deploy"]["replicas"], {}) == "2"


def test_own_services_have_few_rights() -> None:
    for name in OURS:
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_example_environment_names_every_password_and_gives_none() -> None:
    text = (ROOT / "deploy.env.example").read_text("utf-8")
    assert {line for line in text.splitlines() if line and not line.startswith("#")} == {
        f"{n}=" for n in PASSWORDS
    }


def test_provisioned_source_is_the_one_that_publish_would_make() -> None:
    file = ROOT / "dashboards/provisioning/datasources/seawall.yaml"
    (source,) = yaml.safe_load(file.read_text("utf-8"))["datasources"]
    made = source_definition(Settings(), "http://clickhouse:8123")
    assert (source["uid"], source["type"], source["name"]) == (SOURCE_UID, PLUGIN, made["name"])
    assert source["jsonData"]["protocol"] == made["jsonData"]["protocol"] == "http"
    assert set(source["jsonData"]) <= set(made["jsonData"])
    used = set(re.findall(r"\$\{(\w+)\}", file.read_text("utf-8")))
    assert used <= set(SERVICES["grafana"]["environment"])


def test_grafana_finds_dashboards_and_plugin() -> None:
    file = ROOT / "dashboards/provisioning/dashboards/seawall.yaml"
    (provider,) = yaml.safe_load(file.read_text("utf-8"))["providers"]
    assert f"./dashboards/grafana:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    assert provider["folderUid"] == FOLDER_UID
    assert SERVICES["grafana"]["environment"]["GF_PLUGINS_PREINSTALL_SYNC"] == PLUGIN
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / "dashboards/grafana" / home.name).is_file()


def test_reader_may_read_and_nothing_else() -> None:
    from xml.etree import ElementTree

    root = ElementTree.parse(ROOT / "dashboards/provisioning/clickhouse/reader.xml").getroot()
    name = environment("grafana")["SEAWALL_READER_USERNAME"]
    assert root.findtext(f"users/{name}/grants/query") == "GRANT SELECT ON seawall.*"
    assert root.findtext(f"profiles/{root.findtext(f'users/{name}/profile')}/readonly") == "2"
    password = root.find(f"users/{name}/password")
    assert password is not None
    assert password.get("from_env") in SERVICES["clickhouse"]["environment"]
