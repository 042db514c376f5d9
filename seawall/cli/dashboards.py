"""``seawall dashboards``: put the Grafana dashboards where they belong."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from seawall.settings import Settings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("dashboards", help="Grafana dashboards", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    show = actions.add_parser("list", help="say which dashboards there are", description=run_list.__doc__)
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=run_list)

    build = actions.add_parser(
        "build", help="write the dashboards' JSON from their code and SQL", description=run_build.__doc__
    )
    build.add_argument("--output", type=Path, metavar="FOLDER", help="write here instead of into the package")
    build.set_defaults(run=run_build)

    publish = actions.add_parser(
        "publish", help="create or update the dashboards in a Grafana", description=run_publish.__doc__
    )
    publish.add_argument("--store-url", default="", metavar="URL", help="how Grafana reaches the store")
    publish.add_argument("--folder", default="", metavar="TITLE", help="title of the folder, if it is made")
    publish.add_argument("--json", action="store_true", help="print what was done as JSON")
    publish.set_defaults(run=run_publish)


def run_list(arguments: argparse.Namespace, settings: Settings) -> int:
    """List the dashboards with their addresses in the Grafana of SEAWALL_GRAFANA_URL."""
    from dashboards.build import committed

    root = settings.grafana_url.rstrip("/")
    found = [
        {"title": d["title"], "uid": d["uid"], "url": f"{root}/d/{d['uid']}", "panels": len(d["panels"])}
        for d in committed().values()
    ]
    if arguments.json:
        print(json.dumps(found))
        return 0
    for dashboard in found:
        print(f"{dashboard['title']}: {dashboard['panels']} panels, {dashboard['url']}")
    return 0


def run_build(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write the dashboards' JSON files; for who changes a panel or its SQL."""
    del settings
    from dashboards.build import default_folder, write

    for path in write(arguments.output or default_folder()):
        print(path)
    return 0


def run_publish(arguments: argparse.Namespace, settings: Settings) -> int:
    """Create or update folder, data source and dashboards; SEAWALL_GRAFANA_URL and _TOKEN say where."""
    from dashboards.publish import FOLDER_TITLE, publish

    done = publish(settings, store_url=arguments.store_url, title=arguments.folder or FOLDER_TITLE)
    if arguments.json:
        print(json.dumps(asdict(done)))
        return 0
    print(f"folder: {done.folder}")
    print(f"data source: {done.source}")
    for title, outcome in done.dashboards.items():
        print(f"{title}: {outcome}")
    return 0
