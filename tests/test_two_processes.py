"""Two processes at once: both train a run, both pack the same pictures, or one only reads."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import files
import locks
from datasets import folders, packed
from tests.conftest import ROOT, run_main
from tests.test_cli import SMALL

PATIENCE = 120  # seconds


def wait_for(done):
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path):
    """A function that starts Python with some arguments; kills it when the test ends."""
    begun = []

    def start(*args):
        args = [sys.executable, "-u", *map(str, args)]
        begun.append(
            subprocess.Popen(
                args,
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def test_others_use_a_run_while_it_is_trained(cli, tmp_path, start):
    flags = ["--dataset", "digits", "--train", *SMALL, "--max_steps"]
    trainer = start(ROOT / "main.py", *flags, 10**6)
    run = tmp_path / "checkpoint/digits_8_8_8"
    wait_for(lambda: (run / "generator.keras").is_file() or trainer.poll() is not None)
    done = run_main(tmp_path, *flags, 10, status=1)
    assert done.stderr.count("\n") == 1
    assert f"is being trained by process {trainer.pid}:" in done.stderr
    for task in (["--num_samples", 2], ["--evaluate", "--eval_samples", 100]):
        test = ["--dataset", "digits", "--sample_dir", "looked", "--extractor", "random-cnn"]
        status, out, err = cli(*test, *task)
        assert (status, err) == (0, ""), out
    assert trainer.poll() is None
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    assert (run / "lock").read_text() == str(trainer.pid)
    status, out, err = cli(*flags, 1)
    assert (status, err) == (0, "")
    assert "resumed" in out
    assert not (run / "lock").exists()


def test_the_child_of_a_killed_trainer_does_not_hold_its_lock(tmp_path, start):
    code = (
        "import subprocess, sys, time\n"
        "from runs.run import Run\n"
        "with Run('r', 'a', 'b', 'c').lock():\n"
        "    helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],\n"
        "        close_fds=False, stdout=subprocess.DEVNULL)\n"
        "    print(helper.pid); time.sleep(60)"
    )
    trainer = start("-c", code)
    helper = int(trainer.stdout.readline())
    lock = tmp_path / "a/r/lock"
    try:
        trainer.kill()
        trainer.wait()
        os.kill(helper, 0)
        with locks.lock(lock, lambda pid: pytest.fail(f"held for {pid}")):
            assert lock.read_text() == str(os.getpid())
    finally:
        os.kill(helper, signal.SIGKILL)


SLOW = (
    "import pathlib, sys, time, utils\n"
    "from datasets import folders, packed\n"
    "load_image = utils.load_image\n"
    "def slow(*args):\n"
    "    pathlib.Path('begun').touch()\n"
    "    while not pathlib.Path('go').exists(): time.sleep(0.02)\n"
    "    return load_image(*args)\n"
    "if sys.argv[1:]: utils.load_image = slow\n"
    "found = packed.load('pics', reader=folders.read_folder, data_dir='.', cache_dir='cache',\n"
    "    size=(4, 4), workers=1)\n"
    "print(found.images.sum(), found.images.shape)"
)


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "pics").mkdir()
    for i in range(3):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / f"pics/{i}.png")
    return tmp_path


def test_the_second_process_waits_for_the_packing(pictures, start):
    first = start("-c", SLOW, "slowly")
    wait_for((pictures / "begun").exists)
    second = start("-c", SLOW)
    line = second.stdout.readline()
    assert line.startswith(f"waiting for process {first.pid}, which packs the same images into ")
    (pictures / "go").touch()
    out = first.communicate(timeout=PATIENCE)[0]
    assert "packed 3 images" in out
    rest, err = second.communicate(timeout=PATIENCE)
    assert (rest, err) == ("48 (3, 4, 4, 3)\n", "")
    assert out.endswith(rest)
    assert sorted(p.suffix for p in (pictures / "cache").iterdir()) == [".json", ".npy"]


def test_the_second_process_packs_if_the_first_is_killed(pictures, start):
    first = start("-c", SLOW, "slowly")
    wait_for((pictures / "begun").exists)
    second = start("-c", SLOW)
    assert second.stdout.readline().startswith("waiting for process")
    first.kill()
    first.wait()
    out, err = second.communicate(timeout=PATIENCE)
    assert err == ""
    assert "packed 3 images" in out
    assert out.endswith("48 (3, 4, 4, 3)\n")
    assert sorted(p.suffix for p in (pictures / "cache").iterdir()) == [".json", ".npy"]


def test_a_kill_between_the_array_and_its_notes(pictures, monkeypatch):
    """The old notes are not taken for those of the new array."""
    monkeypatch.chdir(pictures)

    def load():
        found = packed.load(
            "pics",
            reader=folders.read_folder,
            data_dir=".",
            cache_dir="cache",
            size=(4, 4),
        )
        return np.array(found.images)

    before = load()
    picture = pictures / "pics/1.png"
    body, times = picture.read_bytes(), picture.stat()
    Image.new("RGB", (4, 4), (0, 200, 0)).save(picture)

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(files, "save_text", kill)
        with pytest.raises(Killed):
            load()
    picture.write_bytes(body)
    os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))
    np.testing.assert_array_equal(load(), before)
