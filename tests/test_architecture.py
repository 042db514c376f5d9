"""The import rule: who may import whom. See docs/architecture.md."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STDLIB = frozenset(sys.stdlib_module_names)
LIGHT = frozenset({"seawall", "numpy", "fastavro", "confluent_kafka"})
#: Room to (what it may import at module level, what it may never import, not even lazily).
RULES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "seawall": (LIGHT, frozenset()),
    "detectors": (frozenset({"detectors", "numpy", "scipy", "river"}), frozenset({"seawall", "streams", "faust"})),
    "streams/core": (
        frozenset({"streams.core", "detectors", "seawall", "numpy"}),
        frozenset({"faust", "aiokafka", "confluent_kafka", "clickhouse_connect", "aiohttp", "streams.io", "streams.agents"}),
    ),
    "streams/io": (
        frozenset({"streams.core", "streams.io", "seawall", "detectors", "numpy", "faust", "aiokafka", "yarl", "fastavro"})
        | frozenset({"clickhouse_connect", "confluent_kafka", "pyarrow", "aiohttp", "prometheus_client"}),
        frozenset({"streams.agents", "streams.app", "streams.embedded"}),
    ),
    "streams/agents": (
        frozenset({"streams.core", "streams.io", "streams.agents", "seawall", "faust", "pyarrow"}),
        frozenset({"streams.app", "streams.embedded"}),
    ),
}  # fmt: skip
#: A pure core takes time as an argument and touches nothing outside.
IMPURE = frozenset(
    {"time", "os", "random", "asyncio", "logging", "socket", "threading", "subprocess", "pathlib", "urllib"}
)


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports(path: Path, *, lazy: bool) -> Iterator[tuple[int, str]]:
    """(line, module) of every import; those inside functions and type-checking blocks only if `lazy`."""

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import) and (lazy or not inside):
                yield from ((child.lineno, alias.name) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and (lazy or not inside):
                yield from ((child.lineno, f"{child.module}.{alias.name}") for alias in child.names)
            hidden = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            )
            yield from walk(child, inside or hidden)

    return walk(ast.parse(path.read_text(encoding="utf-8")), False)


def is_within(module: str, allowed: frozenset[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


@pytest.mark.parametrize("room", RULES)
def test_a_room_imports_only_what_it_may(room: str):
    allowed, never = RULES[room]
    wrong = []
    for path in modules(room):
        for line, module in imports(path, lazy=False):
            if module.split(".")[0] not in STDLIB and not is_within(module, allowed):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
        for line, module in imports(path, lazy=True):
            if is_within(module, never):
                wrong.append(f"{path.relative_to(ROOT)}:{line} may never import {module}")
    assert wrong == []


def test_the_core_has_no_clock_environment_or_effects():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in modules("streams/core")
        for line, module in imports(path, lazy=True)
        if module.split(".")[0] in IMPURE
    ]
    assert wrong == []


def test_nobody_but_the_command_line_imports_the_composition_root():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for room in ("seawall", "detectors", "streams", "dashboards")
        for path in modules(room)
        for line, module in imports(path, lazy=True)
        if is_within(module, frozenset({"streams.app"})) and path.parts[-2] != "cli"
    ]
    assert wrong == []


def test_nothing_outside_the_examples_knows_the_demo():
    word = re.compile(r"\bflights?\b|nycflights|\bairline", re.IGNORECASE)
    wrong = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for room in ("seawall", "detectors", "streams", "dashboards", "schemas")
        for path in (ROOT / room).rglob("*")
        if path.suffix in {".py", ".sql", ".avsc"}
        and (found := word.search(re.sub(r"in[ -]flight", "", path.read_text(encoding="utf-8"))))
    ]
    assert wrong == []


def test_faust_take_is_never_used():
    """`take` acknowledges events that were never delivered (measured on faust-streaming 0.15.3)."""
    wrong = [
        str(path.relative_to(ROOT))
        for path in modules("streams")
        if ".take(" in (text := path.read_text(encoding="utf-8")) and "stream.take(" in text
    ]
    assert wrong == []
