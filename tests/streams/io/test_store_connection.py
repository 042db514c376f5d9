"""What is said when the store cannot be reached: for a person, in one line."""

from dataclasses import replace

import pytest

from seawall.errors import Unavailable
from seawall.settings import Settings
from streams.embedded.processes import free_port
from streams.io.clickhouse import connect


@pytest.mark.parametrize(
    ("host", "said"),
    [("127.0.0.1", "Connection refused"), ("nobody.invalid", "Failed to resolve 'nobody.invalid'")],
)
def test_a_store_that_is_not_there_is_named_with_the_reason_alone(host: str, said: str) -> None:
    url = f"http://{host}:{free_port()}"
    with pytest.raises(Unavailable) as raised:
        connect(replace(Settings.from_env({}), store_url=url))
    assert str(raised.value).startswith(f"store at {url} (SEAWALL_STORE_URL): ")
    assert str(raised.value).endswith(said)
