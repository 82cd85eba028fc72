"""Libraries that come with `flexlib[methods]` alone. They are slow to import, so this happens where one is used."""

import importlib
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
