"""Put monitors and baselines on the bus, and read back what is there.

Both topics are compacted: the last message of a key is what holds.
"""

from __future__ import annotations

import hashlib
import time

from seawall.baseline import Baseline
from seawall.bus import DEADLINE_S, append_values, max_message_bytes, read_messages
from seawall.errors import ContractError
from seawall.settings import Settings
from seawall.wire import encode

#: Room for the batch's own framing around a message of the greatest size.
_FRAMING_BYTES = 64 << 10


def publish_baseline(settings: Settings, baseline: Baseline, *, deadline_s: float = DEADLINE_S) -> None:
    """Publish a baseline under ``model/version``. Blocks until every replica has it.

    Raises
    ------
    Unavailable
        The broker cannot be reached, or did not acknowledge within `deadline_s`. Publishing again
        is harmless.
    ConfigError
        The topic does not exist, or the broker's settings cannot be used.
    ContractError
        The baseline is larger than the topic takes.
    """
    _publish(settings, "baselines", f"{baseline.model}/{baseline.version}", baseline.to_bytes(), deadline_s)


def publish_monitor(settings: Settings, model: str, yaml_text: str, *, deadline_s: float = DEADLINE_S) -> str:
    """Publish a monitor file, verbatim, under its model; returns its SHA-256.

    The caller has checked the file: what is published is what workers use. Fails as `publish_baseline` does.
    """
    sha256 = hashlib.sha256(yaml_text.encode()).hexdigest()
    record = {
        "model": model,
        "yaml": yaml_text,
        "sha256": sha256,
        "published_us": time.time_ns() // 1000,
        "deleted": False,
    }
    _publish(settings, "monitors", model, encode("monitor", record), deadline_s)
    return sha256


def read_latest(settings: Settings, name: str, *, deadline_s: float = DEADLINE_S) -> dict[str, bytes]:
    """Read a control topic of the catalogue from its beginning; returns the last value of every key.

    Raises
    ------
    Unavailable
        The broker cannot be reached, or reading took longer than `deadline_s`.
    ConfigError
        The topic does not exist.
    """
    found: dict[str, bytes] = {}
    for key, value in read_messages(settings, name, deadline_s=deadline_s):
        if value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found


def _publish(settings: Settings, name: str, key: str, value: bytes, deadline_s: float) -> None:
    largest = max_message_bytes(name)
    if len(value) > largest - _FRAMING_BYTES:
        msg = (
            f"{key}: {len(value)} bytes are more than topic {settings.topic(name)} takes ({largest}); "
            "a wider pane makes a baseline smaller"
        )
        raise ContractError(msg)
    append_values(settings, name, key, [value], deadline_s=deadline_s)
