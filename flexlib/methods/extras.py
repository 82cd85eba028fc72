"""Libraries that come with `flexlib[methods]` alone. They are slow to import, so this happens where one is used."""

import importlib
from importlib import metadata
from types import ModuleType

from flexlib.config import FlexError


def import_extra(module: str, needed_by: str) -> ModuleType:
    """Import a module of an optional library.

    Parameters
    ----------
    module
        Its full name.
    needed_by
        What cannot be done without it, for the message.

    Returns
    -------
    ModuleType
        The module.

    Raises
    ------
    FlexError
        Where it, or what it imports, is missing; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise FlexError(f"{needed_by} needs {error.name}: pip install 'flexlib[methods]'") from None


def with_version(library: str) -> str:
    """Give the name of an optional library with its version, or with "not installed".

    Parameters
    ----------
    library
        Its name on PyPI.
    """
    try:
        return f"{library} {metadata.version(library)}"
    except metadata.PackageNotFoundError:
        return f"{library} not installed"
