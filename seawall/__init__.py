"""Seawall: a monitor for machine-learning models in production."""
