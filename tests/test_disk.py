"""Full disks, read-only disks and folders that vanish: the real ones, through main."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from datasets.packed import Batches
from files import OUTPUT_MARK
from runs.checkpoints import read_index
from tests.conftest import ROOT, checkpoint, log_rows, same

pytestmark = pytest.mark.usefixtures("eager")
PLACES = ("checkpoint", "samples", "logs")
FLAGS = ["--dataset", "digits", "--train", "--name", "r", "--arch", "mlp", "--mode", "hinge"]
FLAGS += ["--output_height=8", "--fc_width=4", "--z_dim=4", "--batch_size=4", "--log_every=1"]
FLAGS += [
    "--sample_every=2",
    "--save_every=3",
]


def mount(*args):
    """Call mount, or skip the test if this process may not mount."""
    done = subprocess.run(["mount", *map(str, args)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.decode().strip()}")


@contextlib.contextmanager
def disk(folder, size="4m"):
    """Mount a small disk at a folder in the block."""
    folder.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "none", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder):
    """Make a folder read-only in the block, for root too."""
    mount("--bind", folder, folder)
    try:
        mount("-o", "remount,bind,ro", folder)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    """Fill a disk."""
    with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.fixture
def before_a_step(monkeypatch):
    """A function that makes the next training call `harm` before its first step."""
    take = Batches.take

    def arrange(harm):
        def taken(*args):
            monkeypatch.setattr(Batches, "take", take)
            harm()
            return take(*args)

        monkeypatch.setattr(Batches, "take", taken)

    return arrange


def one_line(found, *texts):
    """Check that a call failed with one line that contains these texts; return the line."""
    status, _, err = found
    assert (status, err.count("\n")) == (1, 1), err
    assert err.startswith("main.py: ")
    assert "memory" not in err
    for text in texts:
        assert text in err
    return err


def check_run():
    """Check that the checkpoint of step 3, the networks and the log can be read."""
    assert read_index(Path("checkpoint/r")).names == {"ckpt-3"}
    assert checkpoint("checkpoint/r", 3)
    assert keras.saving.load_model("checkpoint/r/generator.keras").get_weights()
    assert [r["step"] for r in log_rows("checkpoint/r")][:3] == ["1", "2", "3"]


def test_full_disks_and_folders_that_vanish(cli, tmp_path, before_a_step):
    with contextlib.ExitStack() as stack:
        for place in PLACES:
            stack.enter_context(disk(tmp_path / place))
        assert cli(*FLAGS, "--name=whole", "--max_steps=7")[0] == 0
        assert cli(*FLAGS, "--max_steps=3")[0] == 0
        for place in PLACES:
            before_a_step(lambda place=place: fill(tmp_path / place))
            line = one_line(cli(*FLAGS, "--max_steps=7"), f" {place}/", "No space left on device")
            assert "cannot write" in line
            (tmp_path / place / "filler").unlink()
            check_run()
        for folder in ("samples/r", "logs/r"):
            before_a_step(lambda folder=folder: shutil.move(folder, "away"))
            one_line(cli(*FLAGS, "--max_steps=7"), f"{folder} is gone")
            shutil.move("away", folder)
            check_run()
        assert cli(*FLAGS, "--max_steps=7")[0] == 0
        run = Path("checkpoint/r")
        assert same(checkpoint("checkpoint/whole", 7), checkpoint(run, 7)) == []
        assert log_rows("checkpoint/whole") == log_rows(run)
        assert [p.name for p in run.rglob(".*")] == [OUTPUT_MARK]
        before_a_step(lambda: shutil.rmtree(run))
        one_line(cli(*FLAGS, "--max_steps=9"), "checkpoint/r/config.json is gone")
        assert not run.exists()


def test_a_limit_of_the_file_size(cli, before_a_step):
    assert cli(*FLAGS, "--max_steps=3")[0] == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before_a_step(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1])))
    try:
        found = cli(*FLAGS, "--max_steps=6")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    one_line(found, "cannot write ", "File too large")
    check_run()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("length", [10, 100_000])  # buffered, and written at once
def test_an_output_that_cannot_be_written(length):
    code = (
        "import sys, main\n"
        f"main.preset_table = lambda: {length} * 'a'\n"
        "sys.exit(main.finish(main.main(['--list_presets'])))"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert done.stderr.startswith(b"main.py: ")
    assert done.stderr.endswith(b"No space left on device\n")


@pytest.mark.parametrize("place", PLACES)
def test_read_only_folders(cli, tmp_path, place):
    (tmp_path / place).mkdir()
    with read_only(tmp_path / place):
        one_line(cli(*FLAGS, "--max_steps=1"), f"{place}/", "Read-only file system")
    assert os.listdir(tmp_path / place) == []


@pytest.mark.parametrize("place", PLACES)
def test_a_file_where_a_folder_should_be(cli, tmp_path, place):
    (tmp_path / place).write_text("mine")
    one_line(cli(*FLAGS, "--output_height=16", "--max_steps=1"), place)
    assert (tmp_path / place).read_text() == "mine"
    assert not (tmp_path / "data").exists()  # found before the images are packed


def test_a_full_cache_is_replaced_by_the_default_one(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    with disk(tmp_path / "cache", "64k"):
        fill(tmp_path / "cache")
        flags = [*FLAGS, "--output_height=16", "--cache_dir=cache", "--max_steps=1"]
        status, out, err = cli(*flags)
        assert (status, err) == (0, "")
        assert f"images into {tmp_path}/home" in out
        assert os.listdir(tmp_path / "cache") == ["filler"]


def test_training_goes_on_without_its_cache_folder(cli, before_a_step):
    before_a_step(lambda: shutil.rmtree("cache"))
    status, _, err = cli(*FLAGS, "--output_height=16", "--cache_dir=cache", "--max_steps=2")
    assert (status, err) == (0, "")


def test_no_room_for_the_packed_images(cli, tmp_path, monkeypatch):
    with disk(tmp_path / "small", "64k") as small:
        monkeypatch.setenv("XDG_CACHE_HOME", str(small / "home"))
        flags = [*FLAGS, "--output_height=16", f"--cache_dir={small}/cache"]
        line = one_line(cli(*flags, "--max_steps=1"), "cannot write the packed images", "No space")
        assert str(small) in line
        assert [p for p in small.rglob("*") if p.is_file()] == []
