"""The clients' own reader, told to expect the protocol, must read what the server sends without it."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from streams.embedded.native import UnsupportedType, with_block_info

TYPES = """
SELECT number AS n, toString(number) AS s, repeat('x', 300) AS long,
    toLowCardinality(toString(number % 3)) AS lc,
    [number, number + 1] AS a, arrayMap(x -> toLowCardinality(toString(x)), range(number % 4)) AS alc,
    CAST([], 'Array(LowCardinality(String))') AS empty,
    if(number % 2 = 0, NULL, number) AS nullable, map('k', number) AS m, (number, 'b') AS t,
    CAST((1, 'x'), 'Tuple(first UInt8, second String)') AS named,
    toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS u,
    toDateTime64(number, 6, 'UTC') AS d, toDate(number) AS day, toDecimal64(number, 3) AS dec,
    toFixedString('abc', 5) AS f,
    CAST('a', 'Enum8(\\'a\\' = 1, \\'b(,\\' = 2)') AS e,
    CAST(NULL, 'LowCardinality(Nullable(String))') AS lcn,
    toIPv4('1.2.3.4') AS ip, true AS b, [[1, 2], []] AS nested, 1.5 AS x
FROM numbers(150000)
"""


def _ask(store_url: str, query: str, **arguments: Any) -> bytes:
    url = urlsplit(store_url)
    assert url.hostname
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    line = "&".join(f"{k}={quote(str(v))}" for k, v in arguments.items())
    connection.request("POST", f"/?{line}", query.encode())
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == 200, body
    return body


def _without_block_info(body: bytes) -> bytes:
    """Take the header of a first block out again."""
    assert body[:8] == b"\x01\x00\x02\xff\xff\xff\xff\x00"
    return body[8:]


def test_a_block_gets_its_header_and_each_column_its_flag(store_url: str) -> None:
    body = _ask(store_url, "SELECT toUInt8(7) AS n", default_format="Native", client_protocol_version=54460)
    assert _without_block_info(body) == b"\x01\x01\x01n\x05UInt8\x00\x07"


def test_an_older_protocol_gets_the_data_as_the_engine_wrote_it(store_url: str) -> None:
    body = _ask(store_url, "SELECT toUInt8(7) AS n", default_format="Native", client_protocol_version=54405)
    assert body == b"\x01\x01\x01n\x05UInt8\x07"


def test_every_usual_type_is_walked_to_its_exact_end(store_url: str) -> None:
    plain = _ask(store_url, TYPES, default_format="Native")
    blocks = _ask(store_url, TYPES, default_format="Native", client_protocol_version=54460)
    columns = 22
    added = len(blocks) - len(plain)
    # a wrong step would leave the reader in the middle of a value and never come out even
    assert added % (8 + columns) == 0
    assert added // (8 + columns) == blocks.count(b"\x01\x00\x02\xff\xff\xff\xff\x00")


def test_a_result_without_rows_keeps_its_columns(store_url: str) -> None:
    body = _ask(
        store_url, "SELECT toUInt8(7) AS n WHERE 0", default_format="Native", client_protocol_version=54460
    )
    assert body in {b"", b"\x01\x00\x02\xff\xff\xff\xff\x00\x01\x00\x01n\x05UInt8\x00"}


def test_a_type_of_unknown_layout_is_named() -> None:
    block = b"\x01\x01\x01n\x04JSON\x00"
    with pytest.raises(UnsupportedType, match="'JSON'"):
        with_block_info(block, 54460)
