"""The exception tree.

SeawallError
├── ConfigError          a setting, monitor or baseline that cannot be used as written
├── WireError            bytes that are not one of Seawall's events
│   └── UnknownSchema    well-framed, but the writer's schema is not known here
├── ContractError        data that does not fit the contract (wrong length, unknown role, …)
└── Unavailable          an outside system (broker, store, registry) cannot be reached
"""


class SeawallError(Exception):
    """Base class of everything Seawall raises on purpose."""


class ConfigError(SeawallError):
    """A setting, monitor or baseline that cannot be used as written."""


class WireError(SeawallError):
    """Bytes that are not one of Seawall's events. `reason` is a stable, lower-snake code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class UnknownSchema(WireError):  # noqa: N818 - reads as what it is
    """Well-framed, but the writer's schema is not known here."""


class ContractError(SeawallError):
    """Data that does not fit the contract: a wrong length, an unknown role."""


class Unavailable(SeawallError):  # noqa: N818 - reads as what it is
    """An outside system (broker, store, registry) cannot be reached."""
