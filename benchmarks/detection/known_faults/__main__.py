"""Known faults in real data, Seawall beside others: ``python -m benchmarks.detection.known_faults``.

    make bench-detection        # hours; can be stopped at any time, and goes on where it was
    make bench-detection-short  # minutes, once the environments are there: one table, two orders

Everything is kept under ``build/detection``: environments, tables, cases, scores by tool, and the results.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.detection.known_faults import environments, report, seawall_pages
from benchmarks.detection.known_faults.cases import Case, CaseKey, make, save
from benchmarks.detection.known_faults.streams import ORDERS
from benchmarks.detection.known_faults.tables import TABLES, load

BUILD = Path("build/detection")
SHORT_TABLES, SHORT_ORDERS = ("housing",), ("exchangeable", "seasonal")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--orders", nargs="+", default=[o.name for o in ORDERS])
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
    if options.short:
        options.tables, options.orders, options.runs = SHORT_TABLES, SHORT_ORDERS, 1
    ends = time.monotonic() + options.seconds
    keys = [CaseKey(t, o, r) for r in range(options.runs) for t in options.tables for o in options.orders]
    packages = environments.site_packages(environments.python_of("nannyml", options.out / "environments"))
    for i, key in enumerate(keys, 1):
        if time.monotonic() > ends:
            print("time is up; the next run goes on from here")
            break
        case = _case(key, packages, options.out)
        print(f"{i}/{len(keys)} {key.file}", flush=True)
        for tool in options.tools:
            _score(tool, case, options.out, options.name)
    if options.no_report:
        return
    done = [k for k in keys if all(_scores(t, k, options.out, options.name).is_file() for t in options.tools)]
    print(f"{len(done)} of {len(keys)} cases were scored by all of {', '.join(options.tools)}")
    report.write(done, options.out, packages, options.name)


def _case(key: CaseKey, packages: Path, out: Path) -> Case:
    case = make(key, load(key.table, packages, out / "tables"))
    path = out / "cases" / key.file
    if not path.is_file():
        save(case, path)
    return case


def _scores(tool: str, key: CaseKey, out: Path, name: str) -> Path:
    if tool == "seawall":
        return out / "scores" / name / f"{Path(key.file).stem}.json"
    return out / "scores" / tool / key.file


def _score(tool: str, case: Case, out: Path, name: str) -> None:
    path = _scores(tool, case.key, out, name)
    if path.is_file():
        return
    if tool == "seawall":
        seawall_pages.play(case, path)
    else:
        environments.run_rival(tool, out / "environments", [out / "cases" / case.key.file], path.parent)


if __name__ == "__main__":
    main()
