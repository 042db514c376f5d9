"""YAML with line numbers: text to nodes, with duplicate keys and tabs reported."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from seawall.errors import ConfigError
from seawall.monitor_yaml.problems import Report, any_of, did_you_mean
from seawall.monitor_yaml.rules import PLACES

#: A composed YAML node. PyYAML is imported lazily, so its types cannot be named here.
Node = Any

_TAG = "tag:yaml.org,2002:"
_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
    "seq": "a list",
    "map": "a mapping",
}


def compose(text: str, report: Report) -> Node | None:
    """Parse YAML into nodes. Returns None, with the problems reported, when that is impossible."""
    try:
        import yaml  # noqa: PLC0415 - the service extra has it, the SDK does without
    except ImportError as error:
        msg = f"{report.file}: reading YAML needs PyYAML: pip install 'seawall[service]'"
        raise ConfigError(msg) from error
    if _has_tab_indent(text, report):
        return None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        report.add(line, "", text[error.position], "a printable character")
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        report.add(line, "", _line(text, line), f"valid YAML: {_explain(error, _line(text, line))}")
        return None
    except RecursionError:
        report.add(1, "", "", "less deeply nested YAML")
        return None
    if node is None:
        report.add(1, "", "", "at least 'model: NAME', found an empty file")
    return node


def _line(text: str, line: int) -> str:
    lines = text.splitlines()
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def _has_tab_indent(text: str, report: Report) -> bool:
    # YAML stops at the first tab; people want to hear about all of them.
    found = False
    for number, line in enumerate(text.splitlines(), 1):
        if (
            "\t" in line[: len(line) - len(line.lstrip())]
            and line.strip()
            and not line.strip().startswith("#")
        ):
            report.add(
                number, "", line.strip(), "spaces before the text, found a tab; YAML allows no tabs there"
            )
            found = True
    return found


def _explain(error: Any, line: str) -> str:
    said = str(error.problem or error.context or "cannot be read")
    if "'>'" in said or "'%'" in said or "'@'" in said or "'`'" in said:
        return f"{said}; put the value in quotes"
    if "single document" in str(error.context or "") + said:
        return "one monitor a file, found a second document after '---'"
    if "mapping values are not allowed" in said:
        return f"{said}; put the value in quotes, or begin a new line"
    if line.endswith(("[", "{", ",")) or "expected ',' or" in said:
        return f"{said}; is a bracket or a comma missing?"
    return said


def kind_of(node: Node) -> str:
    """Short type of a node: str, int, float, bool, null, timestamp, seq, map."""
    return str(node.tag).removeprefix(_TAG)


def kind_in_words(node: Node) -> str:
    """Type of a node for a message, such as ``a list``."""
    return _KINDS.get(kind_of(node), kind_of(node))


def shown(node: Node) -> str:
    """Return the value of a scalar; lists and mappings are shown as written, on one line."""
    if node.id == "scalar":
        return str(node.value)
    # A slice of the text: walking the nodes would never end for an anchor that contains itself.
    written = str(node.start_mark.buffer)[node.start_mark.pointer : node.end_mark.pointer]
    return " ".join(written.split())


def line_of(node: Node) -> int:
    """Line of a node, from 1."""
    return int(node.start_mark.line) + 1


def _hint(name: str, known: Collection[str]) -> str:
    hint = did_you_mean(name, known)
    if hint:
        return hint
    elsewhere = did_you_mean(name, PLACES).removeprefix("; did you mean ").removesuffix("?")
    return f"; did you mean {PLACES[elsewhere]}?" if elsewhere else f": {any_of(known, 20)}"


class Section:
    """One mapping of the file, read key by key.

    A key given twice, or that is not text, is reported when the section is made; unknown keys too, unless
    `known` is None (the keys are names that the owner chooses).
    """

    def __init__(self, node: Node, path: str, report: Report, known: Collection[str] | None) -> None:
        self.report = report
        self.path = path
        self.line = line_of(node)
        self._nodes: dict[str, Node] = {}
        self._key_lines: dict[str, int] = {}
        if kind_of(node) != "map":
            if kind_of(node) != "null":  # `windows:` with nothing below means defaults
                report.add(
                    self.line, path, shown(node), f"a mapping of keys and values, found {kind_in_words(node)}"
                )
            return
        for key, value in node.value:
            self._take(key, value, known)

    @classmethod
    def empty(cls, path: str, report: Report, line: int) -> Section:
        """Make a section of which nothing is given."""
        section = cls.__new__(cls)
        section.report, section.path, section.line = report, path, line
        section._nodes, section._key_lines = {}, {}
        return section

    def _take(self, key: Node, value: Node, known: Collection[str] | None) -> None:
        name = shown(key)
        field = self.field(name)
        if key.id != "scalar" or kind_of(key) in {"bool", "null"}:
            self.report.add(
                line_of(key), field, name, f'a name, found {kind_in_words(key)}; put it in quotes: "{name}"'
            )
        elif name in self._nodes:
            first = self._key_lines[name]
            self.report.add(line_of(key), field, name, f"each key once; it already stands in line {first}")
        elif known is not None and name not in known:
            self.report.add(line_of(key), field, name, f"a known key{_hint(name, known)}")
        else:
            self._nodes[name] = value
            self._key_lines[name] = line_of(key)

    def field(self, name: str) -> str:
        """Path of a key of this section."""
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str) -> Node | None:
        """Return the value of a key, or None when it is absent. A key with nothing after it is absent."""
        node = self._nodes.get(name)
        return None if node is None or kind_of(node) == "null" else node

    def line_of(self, name: str) -> int:
        """Line of a key, or of the section when it is absent."""
        return self._key_lines.get(name, self.line)

    def items(self) -> list[tuple[str, Node]]:
        """Every key with its value node, in file order."""
        return list(self._nodes.items())
