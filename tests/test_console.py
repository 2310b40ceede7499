"""Progress bars, progress lines and the time left."""

import io
import re
import sys
import time
import types

import pytest

import console


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
        assert (task.total, task.completed) == (10, 2)
        assert task.fields == {"text": "", "left": "-:--:--"}
        now.value += 4
        bar.update(4, "loss 1")
        assert bar.bar.tasks[0].completed == 4
        print("a line")
        bar.update(5)
        assert bar.bar.tasks[0].fields["text"] == "loss 1"
    out, err = capsys.readouterr()
    assert out == "a line\n"
    shown = re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", err)
    assert re.search(r"\reating [━╸╺]{20}  5/10 0:00:07 left *\r?\nloss 1", shown), shown


def test_the_time_left_ends_at_the_deadline(capsys):
    with console.Progress("eating", 10**9, deadline=time.monotonic() + 90.2) as bar:
        time.sleep(0.02)
        bar.update(1, "")
    assert "0:01:30 left" in capsys.readouterr().out
