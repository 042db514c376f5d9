"""Grafana dashboards, provisioning and the SQL behind each panel."""
