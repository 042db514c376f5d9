"""A broker and a store from PyPI, so that the same worker runs on a laptop."""
