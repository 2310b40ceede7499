"""Atomic writes, marks of outputs, disk space, and the limit of unpacked sizes."""

import errno
import os

import numpy as np
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


def test_save_text_replaces(tmp_path):
    for text in ("a long first text", "é"):
        files.save_text(tmp_path / "a.json", text)
        assert (tmp_path / "a.json").read_text() == text
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    """The temporary name is not longer."""
    path = tmp_path / ("n" * 251 + ".png")
    files.save_text(path, "whole")
    assert path.read_text() == "whole"


def test_paths_of_another_locale_do_not_suit_tensorflow(tmp_path, monkeypatch):
    """TensorFlow would make a second folder."""
    (tmp_path / "é").mkdir()
    assert files.suits_tensorflow(tmp_path / "é")
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("latin-1"))
    assert not files.suits_tensorflow(tmp_path / "é")
    with files.tensorflow_path(tmp_path) as path:
        assert path == str(tmp_path)


def test_equal_files(tmp_path):
    one, two, three = (tmp_path / name for name in "abc")
    one.write_text("a")
    two.write_text("a")
    assert files.are_equal(one, two) and not files.are_equal(one, three)
    two.write_text("b")
    assert not files.are_equal(one, two)


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


# ---- systems that lack something


@pytest.mark.parametrize("lacks", [None, *files.NO_ALLOCATION])
@pytest.mark.parametrize("shape", [(3, 5), (3000, 1000)])
def test_without_allocation_zeros_are_written(tmp_path, monkeypatch, capsys, noted, lacks, shape):
    def fallocate(*_):
        raise OSError(lacks, os.strerror(lacks))

    if lacks is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", fallocate)
    path = tmp_path / "a.npy"
    array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    files.allocate(path)
    array[...] = 7
    array.flush()
    assert 512 * path.stat().st_blocks >= path.stat().st_size == array.nbytes + 128
    assert (np.load(path) == 7).all() and np.load(path).shape == shape
    files.allocate(path)
    note = "note: this system cannot allocate disk space: packing writes zeros first\n"
    assert capsys.readouterr().out == note


def test_other_errors_of_allocation_are_raised(tmp_path, monkeypatch):
    def fallocate(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    (tmp_path / "a").write_bytes(bytes(9))
    with pytest.raises(OSError, match="No space"):
        files.allocate(tmp_path / "a")


# ---- folders that cannot be written


def test_a_folder_that_can_be_written_is_left_alone(tmp_path):
    for folder in (tmp_path, tmp_path / "a" / "b"):
        files.check_writable(folder)
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("gone")
    for name in ("file", "file/in/it", "link"):
        with pytest.raises(OSError, match=f"^cannot write {tmp_path}/{name}/: "):
            files.check_writable(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=r"^cannot write file/: Not a directory"):
        files.check_writable("file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    (tmp_path / "a").mkdir(mode=0o500)
    with pytest.raises(OSError, match=r"a/b/: Permission denied"):
        files.check_writable(tmp_path / "a" / "b")
