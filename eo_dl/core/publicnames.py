"""Public names of a package that are loaded on first use, so that importing the package costs nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module

from .extras import needs_extra


def load_public_name(package: str, modules: Mapping[str, str], name: str) -> object:
    """The value of a public name, for the `__getattr__` of a package; later uses find it in the package.

    Args:
        package: Name of the package.
        modules: For each public name the module that defines it, relative to the package.
        name: The name.

    Raises:
        AttributeError: The name is not public.
        MissingExtraError: Its module needs an optional package that is not installed.
    """
    if name not in modules:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    with needs_extra(f"{package}.{name}"):
        value: object = getattr(import_module(modules[name], package), name)
    setattr(sys.modules[package], name, value)
    return value
