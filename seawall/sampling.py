"""Keep a share of a model's events, and keep all of one event or nothing of it.

The decision hangs on the event id alone, so the prediction, the features and the label of one event are
kept or dropped together, in whichever process and language they are logged: the first eight bytes of
BLAKE2b of the id's UTF-8 text, read big-endian and divided by 2^64, lie below the rate. What a lower rate
keeps, a higher rate keeps too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from seawall.errors import ConfigError

_SPAN = 2.0**64


def position(event_id: str) -> float:
    """Place of an event in [0, 1); an event is kept when this lies below the rate."""
    digest = hashlib.blake2b(event_id.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _SPAN


class Sampler:
    """Sampling rates by model.

    Parameters
    ----------
    sample
        One rate for every model, or a rate by model name; a model that is not named is kept whole. Rates lie
        in (0, 1].
    """

    def __init__(self, sample: float | Mapping[str, float]) -> None:
        if isinstance(sample, Mapping):
            self._rates = {str(model): _checked(f"sample[{model!r}]", rate) for model, rate in sample.items()}
            self._default = 1.0
        else:
            self._rates = {}
            self._default = _checked("sample", sample)
        #: True when nothing is ever left out, which spares the hot path the question.
        self.keeps_all = self._default == 1.0 and all(rate == 1.0 for rate in self._rates.values())

    def rate(self, model: str) -> float:
        """Share of the model's events that is kept."""
        return self._rates.get(model, self._default)

    def weight(self, model: str) -> float:
        """How many events each kept event stands for."""
        return 1.0 / self.rate(model)

    def keeps(self, model: str, event_id: str) -> bool:
        """Whether this event is kept."""
        rate = self.rate(model)
        return rate >= 1.0 or position(event_id) < rate


def _checked(field: str, rate: object) -> float:
    if (
        isinstance(rate, bool)
        or not isinstance(rate, int | float)
        or math.isnan(rate)
        or not 0.0 < rate <= 1.0
    ):
        msg = f"{field}: {rate!r} is not a rate, expected a number above 0 and at most 1"
        raise ConfigError(msg)
    return float(rate)
