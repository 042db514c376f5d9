"""Monitor files: one YAML per model, read with every problem named by file, line and field.

    spec = parse_monitor(text, file="late-arrival.yaml")

`parse_monitor` raises `MonitorError`, whose `problems` holds everything found; `check_monitor` returns it
instead.
"""

from seawall.monitor_yaml.parse import check_monitor, parse_monitor
from seawall.monitor_yaml.problems import MonitorError, Problem

__all__ = ["MonitorError", "Problem", "check_monitor", "parse_monitor"]
