"""``seawall down``: stop a ``seawall up`` that runs elsewhere, and anything a killed one left behind."""

from __future__ import annotations

import argparse
import os
import signal
from dataclasses import replace

from seawall.errors import Unavailable
from seawall.settings import Settings

_DEADLINE_S = 60.0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("down", help="stop what `seawall up` started", description=run.__doc__)
    parser.add_argument("--data-dir", help="the folder that `seawall up` runs in (SEAWALL_DATA_DIR)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Stop the stack of SEAWALL_DATA_DIR and wait until it has stopped."""
    from streams.embedded.processes import wait_until
    from streams.embedded.running import clear_state, hold, is_held, is_same, read_state, stop_orphans

    settings = replace(settings, data_dir=arguments.data_dir or settings.data_dir)
    folder = settings.data_path
    if not is_held(folder):
        orphans = []
        if folder.exists():
            with hold(folder):
                orphans = stop_orphans(folder)
                clear_state(folder)
        for orphan in orphans:
            print(f"stopped {orphan.name} (pid {orphan.pid}), which a killed `seawall up` left")
        if not orphans:
            print(f"nothing is running in {settings.data_dir!r}")
        return 0
    state = read_state(folder)
    if state is None or not is_same(state.supervisor):
        msg = f"down: something holds {str(folder / 'lock')!r} but up.json does not say what"
        raise Unavailable(msg)
    os.kill(state.supervisor.pid, signal.SIGTERM)
    if not wait_until(lambda: not is_held(folder), _DEADLINE_S):
        msg = f"down: pid {state.supervisor.pid} did not stop within {_DEADLINE_S:g} s"
        raise Unavailable(msg)
    print(f"stopped ({state.describe()})")
    return 0
