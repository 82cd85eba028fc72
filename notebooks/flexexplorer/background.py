"""Work in the background, a piece at a time, while a page stays awake."""

import threading
from collections.abc import Callable

Work = Callable[[threading.Event], None]


class Background:
    """Does work in a thread. New work asks the work before it to stop, and begins when that has ended.

    Parameters
    ----------
    on_error
        Called with an error that work raised, as nothing else would show it.
    on_end
        Called when work has ended, in whatever way.
    """

    def __init__(self, on_error: Callable[[Exception], None], on_end: Callable[[], None]) -> None:
        self.thread: threading.Thread | None = None
        self._on_error, self._on_end = on_error, on_end
        self._stop = threading.Event()
        self._starting = threading.Lock()

    def start(self, work: Work) -> None:
        """Begin work as soon as the work before it has ended.

        Parameters
        ----------
        work
            Called with the event that asks it to stop. It may start other work.
        """
        with self._starting:
            self.stop()
            self._stop, before = threading.Event(), self.thread
            self.thread = threading.Thread(target=self._run, args=(work, self._stop, before), daemon=True)
            self.thread.start()

    def _run(self, work: Work, stop: threading.Event, before: threading.Thread | None) -> None:
        if before:
            before.join()
        try:
            if not stop.is_set():
                work(stop)
        except Exception as error:
            self._on_error(error)
        finally:
            self._on_end()

    def stop(self) -> None:
        """Ask the work that goes on to stop."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until nothing goes on, nor what it has started in turn."""
        thread = None
        while thread is not self.thread:
            with self._starting:
                thread = self.thread
            if thread:
                thread.join()
