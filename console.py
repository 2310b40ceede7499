"""The terminal: errors of one line, progress bars, signals, closed pipes, a quiet stderr.

Imports no TensorFlow.
"""

import contextlib
import errno
import functools
import math
import os
import signal
import sys
import threading
import time
import warnings

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
STOP_SIGNALS = tuple(signal.Signals[n] for n in _NAMES if hasattr(signal, n))  # Windows lacks some
WIDTH = 100  # columns of a line of progress


class WrongCall(Exception):
    """An invalid command line. The program prints it as one line, with exit status 2."""


class Failed(Exception):
    """A call that cannot go on. The program prints it as one line, with exit status 1."""


class Progress:
    """Progress with the time left: a bar if stderr is a terminal, and otherwise lines on stdout.

    A context manager. The bar shows every update. A line is printed for an update with a text, if
    the last line is over `every` seconds old.

    Args:
      label: name of the work.
      total: number of items to do; infinity if only the deadline ends the work.
      done: number of items done already.
      every: seconds between two lines; infinity prints none.
      deadline: value of `time.monotonic` at which the work ends even if it is not done.
      patient: True prints no line in the first `every` seconds.
      compiles: True leaves the time until the first update out of the speed: something compiles.
    """

    def __init__(
        self, label, total, done=0, every=5.0, deadline=math.inf, patient=False, compiles=False
    ):
        self.label, self.total, self.start, self.every = label, total, done, every
        self.compiles, self.deadline = compiles, deadline
        self.begun = self.timed = time.monotonic()  # `timed`, `start`: the speed is that since then
        self.printed = self.begun if patient else -math.inf
        self.bar = None

    def __enter__(self):
        if sys.stderr.isatty():
            self.bar, self.task = _terminal_bar(
                self.label, self._count(self.start), self._share(self.start, self.begun)
            )
            self.bar.start()
        return self

    def __exit__(self, *_):
        if self.bar:
            if time.monotonic() >= self.deadline:
                self.bar.update(self.task, completed=1.0, left=clock(0))
            self.bar.stop()

    def _count(self, done):
        return f"{done}" if self.total == math.inf else f"{done}/{self.total}"

    def _share(self, done, now):
        """Return the share of the items that are done or of the time, whichever is larger."""
        time_share = (now - self.begun) / max(self.deadline - self.begun, 1e-9)
        return min(1.0, max(done / max(self.total, 1), time_share))

    def update(self, done, text=None):
        """Show that `done` items are done.

        Args:
          done: number of items.
          text: a line to show. None keeps the bar's last text, and prints no line.
        """
        now = time.monotonic()
        left = (now - self.timed) / max(done - self.start, 1) * (self.total - done)
        left = clock(max(0, min(left, self.deadline - now)))
        if self.compiles:
            self.timed, self.start, self.compiles = now, done, False
        if self.bar:
            fields = {"count": self._count(done), **({} if text is None else {"text": text})}
            self.bar.update(self.task, completed=self._share(done, now), left=left, **fields)
        elif now - self.printed > self.every and text is not None:
            self.printed = now
            parts = [f"{self.label[:30]} {self._count(done)}", *text.split("  "), f"{left} left"]
            while len("  ".join(parts)) > WIDTH and len(parts) > 2:
                del parts[-2]
            print("  ".join(filter(None, parts)), flush=True)


class Stopped(Exception):
    """A signal has asked to stop during a `Part`."""


class Part(contextlib.nullcontext):
    """Shows the progress within one item, as the text of another progress.

    Args:
      progress: the `Progress` of the items.
      done: number of items that are done.
      asked: list of the signals that ask to stop; once it is not empty, `update` raises `Stopped`.
      label, total: name of the part, and the number of its own items.
    """

    def __init__(self, progress, done, asked, label, total):
        self.progress, self.done, self.asked = progress, done, asked
        self.label, self.total = label, total

    def __enter__(self):
        return self

    def update(self, done, text=None):
        """Show that `done` items of the part are done."""
        if self.asked:
            raise Stopped
        self.progress.update(self.done, f"{self.label} {done}/{self.total}")


def no_progress(label, total):
    """Return an object with the methods of `Progress` that shows nothing."""
    del label, total
    return _NoProgress()


class _NoProgress(contextlib.nullcontext):
    def __enter__(self):
        return self

    def update(self, done, text=None):
        pass


def _terminal_bar(label, count, share):
    """Return a rich progress bar with a line of text under it, and the id of its task."""
    from rich import console, progress

    class Bar(progress.Progress):
        def get_renderables(self):
            yield self.make_tasks_table(self.tasks)
            yield from (task.fields["text"] for task in self.tasks)

    bar = Bar(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=20),
        progress.TextColumn("{task.fields[count]}"),
        progress.TextColumn("{task.fields[left]} left"),
        console=console.Console(stderr=True),
        redirect_stdout=False,
    )
    return bar, bar.add_task(
        label, total=1.0, completed=share, count=count, text="", left="-:--:--"
    )


@contextlib.contextmanager
def stop_requests():
    """Collect the names of `STOP_SIGNALS` in a list, instead of ending the process.

    The second signal of a kind has its usual effect. A signal that the process ignores stays
    ignored, as SIGHUP under nohup. Outside the main thread nothing is collected.

    Yields:
      The list, empty until a signal arrives.
    """
    asked = []

    def ask(number, _):
        asked.append(signal.Signals(number).name)
        signal.signal(number, before[number])

    before = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        before = {n: h for n, h in found.items() if h not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def open_closed_streams():
    """Open the standard streams that the caller has closed, such as by `>&-`, to nowhere.

    Else the next files that are opened would have their numbers, and get what libraries in C print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "rww"[number], closefd=False))


def allow_warnings():
    """Undo PYTHONWARNINGS=error and `-W error`: TensorFlow and Keras do what is deprecated."""
    if any(action == "error" for action, *_ in warnings.filters):
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)


CLOSED = (errno.EPIPE, errno.EIO)  # the reader of a pipe, or the terminal, has gone


class _OpenEnded:
    """A text stream that discards its output once nobody reads it."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        """Write a text; return its length."""
        self._try(self._stream.write, text)
        return len(text)

    def flush(self):
        """Flush the stream."""
        self._try(self._stream.flush)

    def _try(self, function, *args):
        try:
            function(*args)
        except OSError as error:
            if error.errno not in CLOSED:
                raise
            # Discard what is still buffered, too.
            with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


@contextlib.contextmanager
def open_ended_output():
    """Discard output to a closed pipe or terminal in the block, instead of raising an error."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_OpenEnded, before)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        sys.stdout, sys.stderr = before


@functools.cache
def note_once(text):
    """Print a note, once in a process."""
    print(f"note: {text}", flush=True)


def clock(seconds):
    """Return seconds as text, h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def plain(text):
    """Escape line breaks and other unprintable characters in a text.

    File names may contain them, and bytes that are not valid text.
    """
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)


def first_line(error, max_length=150):
    """Return the first line of an exception's message, cut off, or its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:max_length]


@contextlib.contextmanager
def quiet_stderr():
    """Discard what is written to the file descriptor of stderr in the block.

    This also silences libraries in C, which do not use `sys.stderr`.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
