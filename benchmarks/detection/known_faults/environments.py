"""Each tool in a virtual environment of its own, with pinned versions, made when first needed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
#: Tools, in the environments that their requirement files describe.
RIVALS = ("nannyml", "evidently", "river", "tests")


def python_of(rival: str, root: Path) -> Path:
    """Return the interpreter of a rival's environment, installed anew when its requirements changed.

    Raises
    ------
    RuntimeError
        When pip fails, with the end of what it said.
    """
    requirements = HERE / "requirements" / f"{rival}.txt"
    home = root / rival
    stamp = home / ".installed"
    wanted = hashlib.blake2b(requirements.read_bytes(), digest_size=8).hexdigest()
    python = home / "bin" / "python"
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"installing {rival} into {home} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        done = subprocess.run(
            [
                str(python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
                str(requirements),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            msg = f"{requirements.name} could not be installed: {done.stderr[-2000:]}"
            raise RuntimeError(msg)
        stamp.write_text(wanted)
    return python


def site_packages(python: Path) -> Path:
    """Return where an environment keeps its packages, without importing any."""
    (found,) = (python.parent.parent / "lib").glob("python3*/site-packages")
    return found


def run_rival(rival: str, root: Path, cases: list[Path], out: Path, quiet: Path) -> None:
    """Score cases in the rival's own process; what is there already is not done again.

    Nor are the quiet streams of cases of the same name, when their scores are in the folder `quiet`.
    """
    todo = [c for c in cases if not (out / c.name).is_file()]
    if not todo:
        return
    out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "NML_DISABLE_USAGE_LOGGING": "True",  # NannyML sends usage statistics unless told not to
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": "",
    }
    script = HERE / "rivals" / f"{rival}_scores.py"
    subprocess.run(
        [str(python_of(rival, root)), str(script), str(out), str(quiet), *map(str, todo)],
        check=True,
        env=environment,
    )
