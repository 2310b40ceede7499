"""Atomic writes, locks, the leftovers of dead processes, and the limit of unpacked sizes."""

import contextlib
import fcntl
import os
import subprocess
import sys
import threading

import pytest

import files


def test_atomic_path_writes_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "in" / "a.txt"
    with files.atomic_path(target) as part:
        assert part.parent == target.parent and part.suffix == ".txt"
        part.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole" and os.listdir(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_path_keeps_the_old_file_on_an_error(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(error), files.atomic_path(target) as part:
        part.write_text("half")
        raise error
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_atomic_path_reports_the_blocks_own_error(tmp_path):
    with pytest.raises(ZeroDivisionError), files.atomic_path(tmp_path / "a") as _:
        1 / 0
    assert os.listdir(tmp_path) == []


def test_an_error_of_writing_names_the_file(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for place, error in (("file/a.png", None), ("a.png", OSError(28, "No space left on device"))):
        with (
            pytest.raises(OSError, match=f"^cannot write {tmp_path}/{place}: ") as found,
            files.atomic_path(tmp_path / place),
        ):
            raise error
        assert ".part" not in str(found.value)
    with (
        pytest.raises(OSError, match="cannot write x: 9 requested and 0 written"),
        files.writing("x"),
    ):
        raise OSError("9 requested and 0 written")
    assert os.listdir(tmp_path) == ["file"]


def test_a_lock_is_exclusive_and_removes_its_file(tmp_path):
    path = tmp_path / "lock"
    with files.lock(path, pytest.fail):
        assert path.read_text() == str(os.getpid())
        with pytest.raises(KeyError), files.lock(path, {}.__getitem__):
            pass
    assert os.listdir(tmp_path) == []
    path.write_text("77")  # left by a process that was killed
    with files.lock(path, pytest.fail):
        assert path.read_text() == str(os.getpid())


def test_a_waiting_lock_takes_the_new_file(tmp_path):
    """The holder removes its file: a lock on the removed file would keep nobody out."""
    path, held = tmp_path / "lock", contextlib.ExitStack()
    held.enter_context(files.lock(path, pytest.fail))

    def busy(pid):
        assert pid == str(os.getpid())
        held.close()

    with files.lock(path, busy):
        assert path.read_text() == str(os.getpid())
        with pytest.raises(KeyError), files.lock(path, {}.__getitem__):
            pass


def test_a_lock_waits_until_the_holder_ends(tmp_path):
    """Where `busy` returns, the block begins when the other block has ended."""
    path, order, held = tmp_path / "lock", [], contextlib.ExitStack()
    held.enter_context(files.lock(path, pytest.fail))

    def let_go():
        order.append("let go")
        held.close()

    later = threading.Timer(0.3, let_go)
    with files.lock(path, lambda pid: later.start()):
        order.append("held")
    assert order == ["let go", "held"]


def test_a_lock_whose_holder_has_not_written_yet(tmp_path):
    with open(tmp_path / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with (
            pytest.raises(KeyError, match=r"^'unknown'$"),
            files.lock(tmp_path / "lock", {}.__getitem__),
        ):
            pass


def test_a_lock_may_end_after_its_file_is_removed(tmp_path):
    with files.lock(tmp_path / "lock", pytest.fail):
        (tmp_path / "lock").unlink()


def test_a_lock_that_cannot_be_written_names_its_file(tmp_path):
    path = tmp_path / "lock"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"^cannot write {path}: "), files.lock(path, pytest.fail):
        pass
    assert os.listdir(tmp_path) == []


def test_parts_of_a_process_of_another_user_are_kept(tmp_path, monkeypatch):
    def denied(pid, number):
        assert (pid, number) == (77, 0)
        raise PermissionError

    (tmp_path / ".a.77.part.png").touch()
    monkeypatch.setattr(os, "kill", denied)
    files.clear_parts(tmp_path)
    assert os.listdir(tmp_path) == [".a.77.part.png"]


def test_a_part_that_another_process_has_cleared(tmp_path, monkeypatch):
    part = tmp_path / ".a.77.part.png"
    part.touch()

    def gone(pid, number):
        part.unlink()
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", gone)
    files.clear_parts(tmp_path)
    assert os.listdir(tmp_path) == []


def test_parts_of_a_zombie_process_are_cleared(tmp_path):
    """A dead process stays in the table until its parent waits for it, but writes no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    (tmp_path / f".a.{process.pid}.part.png").touch()
    files.clear_parts(tmp_path)
    process.wait()
    assert os.listdir(tmp_path) == []


def test_save_text_replaces(tmp_path):
    for text in ("a long first text", "é"):
        files.save_text(tmp_path / "a.json", text)
        assert (tmp_path / "a.json").read_text() == text
    assert os.listdir(tmp_path) == ["a.json"]


def test_check_size_allows_a_hundredfold_and_a_megabyte():
    files.check_size(1_000_300, 3, "x")
    with pytest.raises(ValueError, match=r"^x: too many bytes for 3 stored bytes$"):
        files.check_size(1_000_301, 3, "x")


def test_outputs_are_marked_as_a_whole_or_by_their_names(tmp_path):
    ours, users = tmp_path / "new" / "ours", tmp_path / "users"
    assert not files.is_output(tmp_path) and files.output_names(tmp_path) == set()
    files.mark_output(ours)
    files.mark_output(ours, ("a.gif",))  # all of it stays marked
    assert files.is_output(ours) and not files.is_output(ours.parent)
    files.mark_output(users, ("a.gif", "b.html"))
    files.mark_output(users, ("a.gif",))
    assert not files.is_output(users)
    assert files.output_names(users) == {"a.gif", "b.html"}
    files.mark_output(users)
    assert files.is_output(users)


def test_a_copy_replaces_a_file_whole(tmp_path):
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    files.copy(tmp_path / "a", tmp_path / "b")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"new"}
    with pytest.raises(OSError, match="cannot write"):
        files.copy(tmp_path / "absent", tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
