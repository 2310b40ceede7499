"""Progress bars, progress lines and the time left."""

import io
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
import warnings

import pytest

import console
from commands import devices
from tests.conftest import ROOT


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0:00:00"),
        (59.4, "0:00:59"),
        (59.6, "0:01:00"),
        (3599.7, "1:00:00"),
        (3661, "1:01:01"),
        (360000, "100:00:00"),
    ],
)
def test_clock(seconds, text):
    assert console.clock(seconds) == text


@pytest.fixture
def now(monkeypatch):
    """A clock that a test sets; stderr is no terminal."""
    time = types.SimpleNamespace(value=1000.0)
    monkeypatch.setattr(console.time, "monotonic", lambda: time.value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    return time


def test_progress_prints_a_line_every_few_seconds(now, capsys):
    with console.Progress("eating", 100, done=20, every=5) as bar:
        for second, done in enumerate(range(21, 33)):  # one a second
            now.value = 1000.0 + second
            bar.update(done, f"loss {done}")
    out, err = capsys.readouterr()
    assert err == "" and out.splitlines() == [
        "eating 21/100  loss 21  0:00:00 left",
        "eating 27/100  loss 27  0:01:03 left",  # 6 s for 7 items, 73 items left
    ]


def test_a_line_fits_into_100_columns(now, capsys):
    with console.Progress("r" * 40, 10) as bar:
        bar.update(1, "  ".join(f"term_{i} {i}" for i in range(30)))
    line = capsys.readouterr().out.rstrip("\n")
    assert line.startswith("r" * 30 + " 1/10  term_0 0  term_1 1  ") and line.endswith(" left")
    assert 90 < len(line) <= 100


def test_the_time_left_leaves_out_the_compiling(now, capsys):
    with console.Progress("eating", 100, done=20, every=0, compiles=True) as bar:
        for seconds, done in ((60, 21), (5, 22), (15, 24)):
            now.value += seconds
            bar.update(done, "" if done > 21 else None)
    assert capsys.readouterr().out.splitlines() == [
        "eating 22/100  0:06:30 left",  # 78 items of 5 s
        "eating 24/100  0:08:27 left",  # 76 items of 20 / 3 s
    ]


def test_progress_without_a_text(now, capsys):
    with console.Progress("eating", 10) as bar:
        bar.update(1)
        assert capsys.readouterr().out == ""
        now.value += 2
        bar.update(2, "")
        assert capsys.readouterr().out == "eating 2/10  0:00:08 left\n"


def test_lines_are_flushed(now, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw))  # without a flush `raw` stays empty
    with console.Progress("eating", 10) as bar:
        for seconds, done in ((2, 1), (4, 2), (1.5, 3)):
            now.value += seconds
            bar.update(done, "a")
    lines = ["eating 1/10  a  0:00:18 left", "eating 3/10  a  0:00:18 left"]
    assert raw.getvalue().decode().splitlines() == lines


def test_progress_on_a_terminal_leaves_stdout_alone(now, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with console.Progress("eating", 10, done=2) as bar:
        task = bar.bar.tasks[0]
        assert (task.total, task.completed) == (1.0, 0.2)
        assert task.fields == {"text": "", "left": "-:--:--", "count": "2/10"}
        now.value += 4
        bar.update(4, "loss 1")
        assert bar.bar.tasks[0].completed == 0.4
        print("a line")
        bar.update(5)
        assert bar.bar.tasks[0].fields["text"] == "loss 1"
    out, err = capsys.readouterr()
    assert out == "a line\n"
    shown = re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", err)
    assert re.search(r"\reating [━╸╺]{20} 5/10 0:00:07 left *\r?\nloss 1", shown), shown


def test_the_time_left_ends_at_the_deadline(capsys):
    with console.Progress("eating", 10**9, deadline=time.monotonic() + 90.2) as bar:
        time.sleep(0.02)
        bar.update(1, "")
    assert "0:01:30 left" in capsys.readouterr().out


def test_a_bar_with_a_deadline_ends_full(now, monkeypatch, capsys):
    """It shows the larger of the shares of items and of time."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for total, count in ((100, "90/100"), (math.inf, "90")):
        now.value = 1000.0
        with console.Progress("eating", total, deadline=1020.0) as bar:
            now.value = 1005.0
            bar.update(1)
            assert bar.bar.tasks[0].completed == 0.25
            bar.update(90)
            assert bar.bar.tasks[0].completed == (0.9 if total == 100 else 0.25)
            now.value = 1020.5
        assert (bar.bar.tasks[0].completed, bar.bar.tasks[0].fields["count"]) == (1.0, count)
    capsys.readouterr()


def test_lines_without_a_total(now, capsys):
    with console.Progress("eating", math.inf, deadline=1020.0, patient=True) as bar:
        for seconds in (4, 2):
            now.value += seconds
            bar.update(3, "")
    assert capsys.readouterr().out == "eating 3  0:00:14 left\n"


def test_closed_streams_lead_nowhere(tmp_path):
    code = """
import sys, console
console.open_closed_streams()
print("lost", flush=True), print("lost", file=sys.stderr, flush=True)
with console.open_ended_output(), open("file", "w") as file:
    print(sys.stdin.read(), sys.stderr.isatty(), file.fileno() > 2, file=file)
"""
    for closed in ("<&- >&- 2>&-", ">&-", "2>&- </dev/null", "</dev/null"):
        call = f"exec '{sys.executable}' -c '{code}' {closed}"
        done = subprocess.run(
            ["/bin/sh", "-c", call],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        assert (tmp_path / "file").read_text() == " False True\n", closed
        assert (done.stdout == "lost\n") == (">&-" not in closed.replace("2>&-", "")), closed


def test_output_to_a_closed_pipe_is_discarded(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        with pytest.raises(BrokenPipeError):
            print("a", flush=True)
        with console.open_ended_output():
            for _ in range(2):
                print("a", flush=True)
        print("b", flush=True)  # the descriptor leads to nowhere now
        assert sys.stdout is broken


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_still_an_error(monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match="No space left"), console.open_ended_output():
            print("a", flush=True)
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_warnings_are_no_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        console.allow_warnings()
        warnings.warn("of a library", DeprecationWarning, stacklevel=1)
        with pytest.warns(UserWarning):
            warnings.warn("of a library", stacklevel=1)
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("always")
        before = list(warnings.filters)
        console.allow_warnings()
        assert warnings.filters == before


def test_attending_returns_the_result_or_the_error():
    assert devices.attend(lambda: threading.current_thread().name, 10) != "MainThread"
    with pytest.raises(ZeroDivisionError):
        devices.attend(lambda: 1 / 0, 10)


ATTEND = """
import ctypes, signal, sys, threading
from commands import devices
devices.EXIT, devices.owns_process = 0.5, True
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
pause = ctypes.PyDLL(None).sleep  # keeps the interpreter, as C++ may
forget = ctypes.CDLL(None).signal  # replaces the handler of SIGTERM, as TensorFlow does
def wait():
    forget(15, ctypes.c_void_p(1))
    print("waits", flush=True)
    threading.Event().wait()
try:
    devices.attend(wait, float(sys.argv[1]))
except TimeoutError:
    print("late", flush=True)
    pause(60)
"""


@pytest.mark.parametrize(
    ("patience", "number", "status", "last"),
    [(0.2, None, 1, "late"), (60, "SIGTERM", -15, "waits"), (60, "SIGINT", -2, "waits")],
)
def test_a_wait_for_ever_ends(patience, number, status, last):
    """After its time, and by signals that TensorFlow ignores."""
    call = [sys.executable, "-c", ATTEND, str(patience)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(call, cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == "waits\n"
        if number:
            time.sleep(0.3)
            process.send_signal(getattr(signal, number))
        out, _ = process.communicate(timeout=20)
    assert (["waits", *out.split()][-1], process.returncode) == (last, status)
