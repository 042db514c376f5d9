"""Write ``grafana/*.json`` from `fleet` and `model`: ``seawall dashboards build``."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from dashboards import fleet, model
from dashboards.panels import Json


def build() -> dict[str, Json]:
    """Return every dashboard by file name, made from the code and the queries."""
    return {"fleet.json": fleet.build(), "model.json": model.build()}


def rendered() -> dict[str, str]:
    """Return every file's text."""
    return {
        name: json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"
        for name, dashboard in build().items()
    }


def committed() -> dict[str, Json]:
    """Return every dashboard by file name as it was written last: what provisioning and ``publish`` use."""
    folder = files("dashboards").joinpath("grafana")
    return {
        entry.name: json.loads(entry.read_text(encoding="utf-8"))
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".json")
    }


def write(folder: Path) -> list[Path]:
    """Write every file into `folder`, creating it if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in rendered().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def default_folder() -> Path:
    """Folder of the files in this package."""
    return Path(__file__).parent / "grafana"


if __name__ == "__main__":
    for written_path in write(default_folder()):
        print(written_path)
