"""Runnable examples. Nothing in Seawall knows about them."""
