"""The version of eo_dl: said here and in `pyproject.toml`, and nowhere else (a test compares them)."""

__version__ = "0.1.0"
