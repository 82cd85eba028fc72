"""How a command line of this project ends: its exit status, and one line for each mistake."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from flexlib.config import FlexError, first_line


def run_app(group: click.Command, name: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    group
        Its commands, or its only one.
    name
        What stands before a message.
    arguments
        By default those of the process.

    Returns
    -------
    int
        Exit status: 0 done; 2 bad input or a machine that could not do it, said in one line; 130 interrupted.
    """
    try:
        with _stopped_by_sigterm():
            group.main(arguments, prog_name=name, standalone_mode=False)
            sys.stdout.flush()
    except FlexError as error:
        return _say(name, str(error))
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        return _say(name, " ".join(error.format_message().split()))
    except (KeyboardInterrupt, click.Abort):  # click makes the latter of the former, and it is a RuntimeError
        _say(name, "interrupted; finished runs are kept")
        return 130
    except (BrokenPipeError, SystemExit):  # the reader of our output, such as head, has gone; click exits then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, MemoryError, RuntimeError) as error:  # a full disk, too large a network
        return _say(name, f"{type(error).__name__}: {first_line(error)}")
    return 0


def _say(name: str, message: str) -> int:
    print(f"{name}: {message}", file=sys.stderr)
    return 2


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Take SIGTERM, which a batch system sends at the time limit, as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
