"""Put folder, data source and dashboards into a running Grafana. Doing it again changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from dashboards.build import committed
from dashboards.panels import PLUGIN, SOURCE_UID, Json
from seawall.errors import ConfigError, SeawallError, Unavailable
from seawall.settings import Settings

FOLDER_UID, FOLDER_TITLE = "seawall", "Seawall"
SOURCE_NAME = "Seawall"
TIMEOUT_S = 15.0
#: What belongs to one Grafana or one save, and so says nothing about whether two dashboards are the same.
_OF_ONE_GRAFANA = frozenset({"id", "version", "iteration"})


@dataclass(frozen=True)
class Published:
    """What `publish` did: each value is ``created``, ``updated``, ``kept`` or ``unchanged``."""

    folder: str
    source: str
    dashboards: Mapping[str, str] = field(default_factory=dict)
    """By title."""


def publish(settings: Settings, *, store_url: str = "", title: str = FOLDER_TITLE) -> Published:
    """Create or update Seawall's folder, data source and dashboards.

    A data source that exists is kept as it is: somebody may have given it another user or address. A
    dashboard that somebody changed is overwritten; Grafana keeps the old version in its history. Blocks up
    to `TIMEOUT_S` for each request; a failure half-way is mended by running it again.

    Parameters
    ----------
    store_url
        How Grafana reaches the store, when that is not how this process does.
    title
        Title of the folder when it has to be created.

    Raises
    ------
    ConfigError
        URL or token are missing or refused, rights are missing, the plugin is not installed, or Grafana takes
        its dashboards from files.
    Unavailable
        Grafana does not answer, or answers that it is unwell.
    """
    grafana, shown = _connect(settings)
    # closing the client's session is left to its users
    with closing(grafana.client.s), _explained(shown, settings.grafana_token):
        _require_plugin(grafana)
        return Published(
            _folder(grafana, title),
            _source(grafana, settings, store_url or settings.store_url),
            {dashboard["title"]: _dashboard(grafana, dashboard) for dashboard in committed().values()},
        )


def _connect(settings: Settings) -> tuple[Any, str]:
    """Return the client, and the URL as it may be shown."""
    from grafana_client.api import GrafanaApi  # noqa: PLC0415 - `build` and `list` do without it

    for name, value in (("GRAFANA_URL", settings.grafana_url), ("GRAFANA_TOKEN", settings.grafana_token)):
        if not value:
            msg = f"SEAWALL_{name} is not set; publish needs Grafana's address and a service account's token"
            raise ConfigError(msg)
    url = urlsplit(settings.grafana_url)
    if url.scheme not in {"http", "https"} or not url.hostname:
        msg = "SEAWALL_GRAFANA_URL is not a URL such as http://127.0.0.1:3000"
        raise ConfigError(msg)
    if url.username or url.password:
        msg = "SEAWALL_GRAFANA_URL holds a user or password; use SEAWALL_GRAFANA_TOKEN instead"
        raise ConfigError(msg)
    if not (settings.grafana_token.isascii() and settings.grafana_token.isprintable()):
        msg = "SEAWALL_GRAFANA_TOKEN holds characters that no token has; is there a line end in it?"
        raise ConfigError(msg)
    shown = f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}"
    # the client joins a path and "api" without a slash of its own
    return GrafanaApi.from_url(shown + "/", credential=settings.grafana_token, timeout=TIMEOUT_S), shown


@contextmanager
def _explained(shown: str, token: str) -> Iterator[None]:
    """Turn the client's errors into ours, and see to it that none of them shows the token."""
    from grafana_client.client import (  # noqa: PLC0415
        GrafanaException,
        GrafanaServerError,
        GrafanaTimeoutError,
        GrafanaUnauthorizedError,
    )
    from niquests.exceptions import RequestException  # noqa: PLC0415

    def because(error: Exception) -> str:
        text = str(getattr(error, "message", "") or error).strip() or type(error).__name__
        return text.splitlines()[0][:300].replace(token, "***")

    # `from None`: the original's traceback would show the request, and with it the token
    try:
        yield
    except SeawallError:
        raise
    except GrafanaUnauthorizedError:
        msg = f"grafana: {shown} refuses SEAWALL_GRAFANA_TOKEN (401): it is wrong, expired or revoked"
        raise ConfigError(msg) from None
    except GrafanaTimeoutError:
        msg = f"grafana: {shown} did not answer within {TIMEOUT_S:g} s"
        raise Unavailable(msg) from None
    except GrafanaServerError as error:
        msg = f"grafana: {shown} is unwell: {because(error)}"
        raise Unavailable(msg) from None
    except GrafanaException as error:
        msg = f"grafana: {shown} refused: {because(error)}{_hint(error)}"
        raise ConfigError(msg) from None
    except (RequestException, ValueError) as error:
        # a ValueError is an answer that is not JSON: a proxy's page, or another program on that port
        msg = f"grafana: {shown} cannot be reached: {because(error)}"
        raise Unavailable(msg) from None


def _hint(error: Any) -> str:
    if error.status_code == 403:
        return "; the service account needs the role Admin, or Editor when the data source exists already"
    if "provisioned" in str(error.message):
        return "; this Grafana takes them from files, so there is nothing to publish"
    return ""


def _found(ask: Callable[[], Any]) -> Any:
    """Ask for something that may not exist; None if it does not."""
    from grafana_client.client import GrafanaClientError  # noqa: PLC0415

    try:
        return ask()
    except GrafanaClientError as error:
        if error.status_code == 404:
            return None
        raise


def _require_plugin(grafana: Any) -> None:
    if not any(plugin.get("id") == PLUGIN for plugin in grafana.plugin.list()):
        msg = (
            f"grafana: the plugin {PLUGIN} is not installed; install it with "
            f"`grafana cli plugins install {PLUGIN}` (or GF_PLUGINS_PREINSTALL) and restart Grafana"
        )
        raise ConfigError(msg)


def _folder(grafana: Any, title: str) -> str:
    if _found(lambda: grafana.folder.get_folder(FOLDER_UID)) is not None:
        return "kept"
    grafana.folder.create_folder(title, uid=FOLDER_UID)
    return "created"


def _source(grafana: Any, settings: Settings, store_url: str) -> str:
    if _found(lambda: grafana.datasource.get_datasource_by_uid(SOURCE_UID)) is not None:
        return "kept"
    grafana.datasource.create_datasource(source_definition(settings, store_url))
    return "created"


def source_definition(settings: Settings, store_url: str) -> Json:
    """Describe the store to Grafana, over HTTP, which the embedded store speaks too."""
    url = urlsplit(store_url)
    if url.scheme not in {"http", "https"} or not url.hostname:
        msg = f"store URL {store_url!r} is not a URL such as http://127.0.0.1:8123"
        raise ConfigError(msg)
    is_secure = url.scheme == "https"
    return {
        "uid": SOURCE_UID,
        "name": SOURCE_NAME,
        "type": PLUGIN,
        "access": "proxy",
        "jsonData": {
            "host": url.hostname,
            "port": url.port or (8443 if is_secure else 8123),
            "protocol": "http",
            "secure": is_secure,
            "path": url.path.strip("/"),
            "username": settings.store_username,
            "defaultDatabase": settings.store_database,
        },
        "secureJsonData": {"password": settings.store_password},
    }


def _dashboard(grafana: Any, dashboard: Json) -> str:
    there = _found(lambda: grafana.dashboard.get_dashboard(dashboard["uid"]))
    if there is not None and there.get("meta", {}).get("folderUid") == FOLDER_UID:
        kept = {k: v for k, v in cast(Json, there["dashboard"]).items() if k not in _OF_ONE_GRAFANA}
        if kept == dashboard:
            return "unchanged"
    grafana.dashboard.update_dashboard(
        {
            "dashboard": {**dashboard, "id": None},
            "folderUid": FOLDER_UID,
            "overwrite": True,
            "message": "seawall dashboards publish",
        }
    )
    return "updated" if there is not None else "created"
