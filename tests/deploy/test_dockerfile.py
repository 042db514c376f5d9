"""The image: what a linter would ask, and that it copies what the package is made of."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text("utf-8")
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
    if line.strip()
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def arguments(name: str) -> list[str]:
    return [words[1] for words in INSTRUCTIONS if words[0] == name]


def copied() -> set[str]:
    """Return paths of the checkout that the build copies."""
    found: set[str] = set()
    for line in arguments("COPY"):
        if "--from" not in line:
            found.update(part.rstrip("/") for part in shlex.split(line)[:-1])
    return found


def test_only_known_instructions_are_used() -> None:
    known = {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "LABEL", "USER", "HEALTHCHECK", "STOPSIGNAL",
             "ENTRYPOINT", "CMD"}  # fmt: skip
    assert {words[0] for words in INSTRUCTIONS} <= known


def test_image_is_built_in_two_stages_from_slim_images_with_a_version() -> None:
    stages = arguments("FROM")
    assert len(stages) == 2
    assert all(re.fullmatch(r"python:\$\{PYTHON_VERSION\}-slim-\w+( AS \w+)?", stage) for stage in stages)
    (default,) = (a.partition("=")[2] for a in arguments("ARG"))
    assert PROJECT["project"]["requires-python"] == f">={default}"


def test_process_runs_as_a_user_that_is_not_root_set_before_it_starts() -> None:
    names = [words[0] for words in INSTRUCTIONS]
    (user,) = arguments("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "RUN" not in names[names.index("USER") :]


def test_signals_reach_the_process() -> None:
    assert json.loads(arguments("ENTRYPOINT")[0]) == ["seawall"]  # exec form: no shell in between
    assert json.loads(arguments("CMD")[-1]) == ["worker"]
    assert "seawall" in PROJECT["project"]["scripts"]


def test_health_check_is_a_program_that_compiles() -> None:
    (line,) = arguments("HEALTHCHECK")
    command = json.loads(line[line.index("CMD") + 3 :])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "healthcheck", "exec")
    assert "SEAWALL_WORKER_HEALTH_PORT" in command[2]


def test_everything_that_the_package_is_made_of_is_copied_and_not_ignored() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    needed |= {*wheel["packages"], *wheel["force-include"]}
    assert copied() == needed
    allowed = {
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert needed == allowed


def test_installed_extra_exists_and_nothing_secret_is_baked_in() -> None:
    (extra,) = re.findall(r'pip install "\.\[(\w+)\]"', TEXT)
    assert extra in PROJECT["project"]["optional-dependencies"]
    assert not re.search(r"PASSWORD|TOKEN|SECRET", TEXT)
