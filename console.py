"""What a person sees: errors of one line, progress, a quiet stderr. Imports no TensorFlow."""

import contextlib
import math
import os
import sys
import time


class WrongCall(Exception):
    """A command line that cannot be carried out: one line, exit status 2."""


class Progress:
    """A bar with the time left on a terminal; elsewhere plain lines, now and then.

    Use as a context manager. On a terminal every update shows; elsewhere one with a text is
    printed if the last was `every` seconds ago. It may end sooner, at `deadline` seconds of
    `time.monotonic`.
    """

    def __init__(self, what, total, done=0, every=5.0, deadline=math.inf):
        self.what, self.total, self.start, self.every = what, total, done, every
        self.deadline = deadline
        self.begun, self.spoken = time.monotonic(), -math.inf
        self.bar = None

    def __enter__(self):
        if sys.stderr.isatty():
            self.bar, self.task = _terminal_bar(self.what, self.total, self.start)
            self.bar.start()
        return self

    def __exit__(self, *_):
        if self.bar:
            self.bar.stop()

    def update(self, done, text=None):
        """Show that `done` of the total are done; without a `text` the last one stays."""
        now = time.monotonic()
        left = (now - self.begun) / max(done - self.start, 1) * (self.total - done)
        left = clock(max(0, min(left, self.deadline - now)))
        if self.bar:
            fields = {} if text is None else {"text": text}
            self.bar.update(self.task, completed=done, left=left, **fields)
        elif now - self.spoken > self.every and text is not None:
            self.spoken = now
            text = f"  {text}" if text else ""
            print(f"{self.what} {done}/{self.total}{text}  {left} left", flush=True)


def _terminal_bar(what, total, done):
    """A rich progress bar with a line of text under it, and its task."""
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
    return bar, bar.add_task(what, total=total, completed=done, text="", left="-:--:--")


def clock(seconds):
    """Seconds as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


class Failed(Exception):
    """A run that cannot go on: one line for the user, exit status 1."""


def plain(text):
    """A text with what cannot be printed written as escapes: line breaks, bytes that are no text.

    Names of files may hold any of them.
    """
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)


def first_line(error, most=150):
    """The first line of an exception, of at most so many characters; its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:most]


@contextlib.contextmanager
def quiet_stderr():
    """Keep what libraries write to the file descriptor of stderr off the screen."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
