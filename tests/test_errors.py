"""Errors in one line, a quiet stderr, and objects that a table names."""

import os
import subprocess
import sys
import types

import pytest

import console
import utils
from config import rows


def test_import_object(monkeypatch):
    assert rows.import_object("utils:crop_box") is utils.crop_box
    assert rows.import_object("console:Progress.update") is console.Progress.update
    made = types.ModuleType("package_made_here.inner")
    made.f = object()
    monkeypatch.setitem(sys.modules, "package_made_here", types.ModuleType("package_made_here"))
    monkeypatch.setitem(sys.modules, "package_made_here.inner", made)
    assert rows.import_object("package_made_here.inner:f") is made.f


@pytest.mark.parametrize(
    "name, error", [("utils:nothing", AttributeError), ("no_such_module:f", ImportError)]
)
def test_import_object_of_a_wrong_name(name, error):
    with pytest.raises(error):
        rows.import_object(name)


def test_quiet_stderr_hides_and_restores(capfd):
    with console.quiet_stderr():
        os.write(2, b"from a library\n")
    os.write(2, b"seen\n")
    assert capfd.readouterr().err == "seen\n"


def test_quiet_stderr_shows_what_came_before(capfd, monkeypatch):
    with open(2, "w", closefd=False) as stream:  # buffered, unlike pytest's own
        monkeypatch.setattr(sys, "stderr", stream)
        stream.write("before")
        with console.quiet_stderr():
            subprocess.run(["sh", "-c", "echo child >&2"], check=True)
            stream.write("within")
            stream.flush()
        assert capfd.readouterr().err == "before"


def test_quiet_stderr_restores_after_an_error(capfd):
    free = os.dup(0)
    os.close(free)
    for _ in range(3):
        with pytest.raises(ValueError), console.quiet_stderr():
            os.write(2, b"hidden")
            raise ValueError
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"
    again = os.dup(0)
    os.close(again)
    assert again == free  # no descriptor is left open


def test_an_error_in_one_line():
    assert console.first_line(ValueError(" a\nb ")) == "a"
    assert console.first_line(ValueError()) == "ValueError"
    assert console.first_line(ValueError("x" * 200)) == "x" * 150


def test_what_cannot_be_printed_is_escaped():
    assert console.plain("é b\n\u2028\udcff") == "é b\\n\\u2028\\udcff"
