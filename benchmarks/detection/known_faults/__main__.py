"""Known faults in real data, Seawall beside others: ``python -m benchmarks.detection.known_faults``.

    make bench-detection        # hours; can be stopped at any time, and goes on where it was
    make bench-detection-short  # minutes, once the environments are there: one table

Everything is kept under ``build/detection``: environments, tables, cases, scores by tool, and the results.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.detection.known_faults import environments, report, seawall_pages
from benchmarks.detection.known_faults.cases import PROTOCOLS, Case, CaseKey, Protocol, make, save
from benchmarks.detection.known_faults.streams import ORDERS
from benchmarks.detection.known_faults.tables import TABLES, load

BUILD = Path("build/detection")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [p.name for p in PROTOCOLS]
    parser.add_argument("--protocols", nargs="+", default=names, choices=names)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), help="unless given, the protocol's own")
    parser.add_argument(
        "--orders", nargs="+", choices=[o.name for o in ORDERS], help="unless given, the protocol's own"
    )
    parser.add_argument(
        "--runs", type=int, default=1, help="cases of each table and order, each with another feature hit"
    )
    parser.add_argument("--tools", nargs="+", default=["seawall", *environments.RIVALS])
    parser.add_argument("--short", action="store_true")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin no new case after this long"
    )
    parser.add_argument("--out", type=Path, default=BUILD, help="where cases, scores and results are kept")
    parser.add_argument(
        "--name", default="seawall", help="keep Seawall's pages under this name, to compare versions of it"
    )
    parser.add_argument("--no-report", action="store_true", help="score only")
    options = parser.parse_args()
    ends = time.monotonic() + options.seconds
    packages = environments.site_packages(environments.python_of("nannyml", options.out / "environments"))
    played = {}
    for protocol in PROTOCOLS:
        if protocol.name in options.protocols:
            keys = _keys(protocol, options)
            for i, key in enumerate(keys, 1):
                if time.monotonic() > ends:
                    print("time is up; the next run goes on from here")
                    break
                print(f"{protocol.name} {i}/{len(keys)} {key.file}", flush=True)
                _play(key, protocol, packages, options)
            played[protocol] = keys
    if options.no_report:
        return
    done = {}
    for protocol, keys in played.items():
        home = options.out / protocol.folder
        done[protocol] = [
            k for k in keys if all(_scores(t, k, home, options.name).is_file() for t in options.tools)
        ]
        print(f"{protocol.name}: {len(done[protocol])} of {len(keys)} cases were scored by all tools")
    report.write(done, options.out, packages, options.name)


def _keys(protocol: Protocol, options: argparse.Namespace) -> list[CaseKey]:
    tables, orders = protocol.short if options.short else (protocol.tables, protocol.orders)
    return [
        CaseKey(table, order, run)
        for run in range(1 if options.short else options.runs)
        for table in options.tables or tables
        for order in options.orders or orders
    ]


def _play(key: CaseKey, protocol: Protocol, packages: Path, options: argparse.Namespace) -> None:
    """Score a case with every tool that has not yet."""
    home = options.out / protocol.folder
    todo = [t for t in options.tools if not _scores(t, key, home, options.name).is_file()]
    if not todo:
        return
    case = make(key, load(key.table, packages, options.out / "tables"), protocol)
    if not (home / "cases" / key.file).is_file():
        save(case, home / "cases" / key.file)
    for tool in todo:
        _score(tool, case, home, options)


def _scores(tool: str, key: CaseKey, home: Path, name: str) -> Path:
    if tool == "seawall":
        return home / "scores" / name / f"{Path(key.file).stem}.json"
    return home / "scores" / tool / key.file


def _score(tool: str, case: Case, home: Path, options: argparse.Namespace) -> None:
    path = _scores(tool, case.key, home, options.name)
    if tool == "seawall":
        seawall_pages.play(case, path)
    else:
        # A case of the same name has the same quiet stream in every protocol of rows.
        quiet = home if case.protocol.of_labels else options.out
        environments.run_rival(
            tool,
            options.out / "environments",
            [home / "cases" / case.key.file],
            path.parent,
            quiet / "scores" / tool,
        )


if __name__ == "__main__":
    main()
