"""Locks, and the temporary files of processes that live or are dead."""

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import threading

import pytest

import locks
from tests.conftest import ROOT


def test_a_lock_is_exclusive_and_removes_its_file(tmp_path):
    path = tmp_path / "lock"
    with locks.lock(path, pytest.fail):
        assert path.read_text() == str(os.getpid())
        with pytest.raises(KeyError), locks.lock(path, {}.__getitem__):
            pass
    assert os.listdir(tmp_path) == []
    path.write_text("77")  # left by a process that was killed
    with locks.lock(path, pytest.fail):
        assert path.read_text() == str(os.getpid())


def test_a_waiting_lock_takes_the_new_file(tmp_path):
    """The holder removes its file: a lock on the removed file would keep nobody out."""
    path, held = tmp_path / "lock", contextlib.ExitStack()
    held.enter_context(locks.lock(path, pytest.fail))

    def busy(pid):
        assert pid == str(os.getpid())
        held.close()

    with locks.lock(path, busy):
        assert path.read_text() == str(os.getpid())
        with pytest.raises(KeyError), locks.lock(path, {}.__getitem__):
            pass


def test_a_lock_waits_until_the_holder_ends(tmp_path):
    """Where `busy` returns, the block begins when the other block has ended."""
    path, order, held = tmp_path / "lock", [], contextlib.ExitStack()
    held.enter_context(locks.lock(path, pytest.fail))

    def let_go():
        order.append("let go")
        held.close()

    later = threading.Timer(0.3, let_go)
    with locks.lock(path, lambda pid: later.start()):
        order.append("held")
    assert order == ["let go", "held"]


def test_a_lock_whose_holder_has_not_written_yet(tmp_path):
    with open(tmp_path / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with (
            pytest.raises(KeyError, match=r"^'unknown'$"),
            locks.lock(tmp_path / "lock", {}.__getitem__),
        ):
            pass


def test_a_lock_may_end_after_its_file_is_removed(tmp_path):
    with locks.lock(tmp_path / "lock", pytest.fail):
        (tmp_path / "lock").unlink()


def test_a_lock_that_cannot_be_written_names_its_file(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    path.write_text("77")
    monkeypatch.setattr(locks, "open_file", lambda *_: full)
    monkeypatch.setattr(locks, "_is_at", lambda *_: True)
    with (
        open("/dev/full", "a+") as full,
        pytest.raises(OSError, match=f"^cannot write {path}: "),
        locks.lock(path, pytest.fail),
    ):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("planted", ["link", "hard link", "pipe", "folder"])
def test_a_lock_is_not_taken_through_a_link(tmp_path, planted):
    """Someone who may write to a shared folder must not choose which file is emptied."""
    victim, path = tmp_path / "victim", tmp_path / "lock"
    victim.write_text("precious")
    plant = {"link": path.symlink_to, "hard link": path.hardlink_to}
    plant |= {"pipe": lambda _: os.mkfifo(path), "folder": lambda _: path.mkdir()}
    plant[planted](victim)
    with pytest.raises(OSError, match=f"^cannot write {path}: "), locks.lock(path, pytest.fail):
        pytest.fail("entered")
    assert victim.read_text() == "precious"


# ---- temporary files


def names(folder):
    return sorted(os.listdir(folder))


def test_temporary_files_of_the_living_are_kept(tmp_path):
    """Processes in containers have the same ids, so an id tells nothing."""
    with locks.part_of(tmp_path / "a.png") as one, locks.part_of(tmp_path / "b", True) as two:
        assert one.suffix == ".png" and two.is_dir()
        (two / "half").write_text("half")
        locks.clear_parts(tmp_path)
        assert names(tmp_path) == sorted([one.name, two.name])
        one.write_text("another file of the same name is as safe")
        locks.clear_parts(tmp_path)
        assert one.exists()
    assert names(tmp_path) == []


def test_temporary_files_of_the_dead_are_removed_and_no_others(tmp_path):
    code = (
        "import os, pathlib, locks\n"
        "with locks.part_of(pathlib.Path('a.png')), locks.part_of(pathlib.Path('b'), True) as b:\n"
        "    (b / 'half').touch(); print('made', flush=True); os.kill(os.getpid(), 9)"
    )
    words = [sys.executable, "-c", code]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(words, cwd=tmp_path, env=env, check=False)
    assert len(names(tmp_path)) == 2
    mine = [".todo.part2.md", ".notes.77.part.md", ".gan-1.part", ".gan-x.partner"]
    for name in mine:
        (tmp_path / name).touch()
    away = tmp_path / f".gan-{'0' * 16}.part.png"
    away.symlink_to(".todo.part2.md")
    locks.clear_parts(tmp_path)
    assert names(tmp_path) == sorted([*mine, away.name])


def test_a_temporary_file_may_lose_its_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with locks.part_of(tmp_path / "a" / "b") as part:
        part.unlink()
        (tmp_path / "a").rmdir()


# ---- systems that lack locks


NO_LOCKS = "note: this file system has no locks: do not train one run twice at the same time\n"


@pytest.mark.parametrize("lacks", [None, *locks.NO_LOCKS])
def test_without_locks_there_is_one_note(tmp_path, monkeypatch, capsys, noted, lacks):
    def flock(*_):
        raise OSError(lacks, os.strerror(lacks))

    if lacks is None:
        monkeypatch.setattr(locks, "fcntl", None)
    else:
        monkeypatch.setattr(locks.fcntl, "flock", flock)
    path = tmp_path / "lock"
    for _ in range(2):
        with locks.part_of(path) as part:
            locks.clear_parts(tmp_path)
            assert os.listdir(tmp_path) == [part.name]
        with locks.lock(path, pytest.fail):
            assert path.read_text() == str(os.getpid())
            with locks.lock(path, pytest.fail):  # keeps nobody out
                pass
        assert os.listdir(tmp_path) == []
    assert capsys.readouterr().out == NO_LOCKS


def test_other_errors_of_locks_are_raised(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output"), locks.lock(tmp_path / "lock", pytest.fail):
        pass
