"""The terminal: errors of one line, progress bars, a quiet stderr. Imports no TensorFlow."""

import contextlib
import math
import os
import sys
import time


class WrongCall(Exception):
    """An invalid command line. The program prints the message as one line, with exit status 2."""


class Failed(Exception):
    """A call that cannot go on. The program prints the message as one line, with exit status 1."""


class Progress:
    """Progress with the time left: a bar if stderr is a terminal, and otherwise lines on stdout.

    A context manager. The bar shows every update. A line is printed for an update with a text, if
    the last line is over `every` seconds old.

    Args:
      label: name of the work.
      total: number of items to do.
      done: number of items done already.
      every: seconds between two lines; infinity prints none.
      deadline: value of `time.monotonic` at which the work ends even if it is not done.
    """

    def __init__(self, label, total, done=0, every=5.0, deadline=math.inf):
        self.label, self.total, self.start, self.every = label, total, done, every
        self.deadline = deadline
        self.begun, self.printed = time.monotonic(), -math.inf
        self.bar = None

    def __enter__(self):
        if sys.stderr.isatty():
            self.bar, self.task = _terminal_bar(self.label, self.total, self.start)
            self.bar.start()
        return self

    def __exit__(self, *_):
        if self.bar:
            self.bar.stop()

    def update(self, done, text=None):
        """Show that `done` items are done.

        Args:
          done: number of items.
          text: a line to show. None keeps the bar's last text, and prints no line.
        """
        now = time.monotonic()
        left = (now - self.begun) / max(done - self.start, 1) * (self.total - done)
        left = clock(max(0, min(left, self.deadline - now)))
        if self.bar:
            fields = {} if text is None else {"text": text}
            self.bar.update(self.task, completed=done, left=left, **fields)
        elif now - self.printed > self.every and text is not None:
            self.printed = now
            text = f"  {text}" if text else ""
            print(f"{self.label} {done}/{self.total}{text}  {left} left", flush=True)


def _terminal_bar(label, total, done):
    """Return a rich progress bar with a line of text under it, and the id of its task."""
    from rich import console, progress

    class Bar(progress.Progress):
        def get_renderables(self):
            yield self.make_tasks_table(self.tasks)
            yield from (task.fields["text"] for task in self.tasks)

    bar = Bar(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=20),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[left]} left"),
        console=console.Console(stderr=True),
        redirect_stdout=False,
    )
    return bar, bar.add_task(label, total=total, completed=done, text="", left="-:--:--")


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
