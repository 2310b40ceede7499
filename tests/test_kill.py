"""A short run of `benchmarks.kill`, and its checks of damaged files."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import files
import utils
from benchmarks import kill_trainer, whole
from tests.conftest import ROOT


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_runs_end_like_the_unbroken_run(kills):
    """The first kill comes at a random moment, the others at file operations."""
    call = [sys.executable, "-m", "benchmarks.kill", "--quick", "--seed", "2"]
    call += ["--kills", str(kills)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{kills} kills, 1 at random moments")
    assert done.stdout.endswith("0 things wrong\n")


@pytest.fixture
def left(tmp_path):
    """A folder with an intact file of each kind."""
    run = tmp_path / "checkpoint/r"
    noise = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), dtype=np.uint8)
    utils.save_image(tmp_path / "samples/a.png", noise[0])
    for suffix in ("gif", "webp"):
        utils.save_animation(tmp_path / f"samples/a.{suffix}", noise)
    files.save_text(tmp_path / "samples/index.html", "<html></html>\n")
    (tmp_path / "cache").mkdir()
    np.save(tmp_path / "cache/a.npy", noise)
    files.save_text(run / "measures.json", json.dumps({"fid": 1}))
    files.save_text(run / "metrics.csv", "step,seconds,loss\n1,0.1,2\n2,0.2,3\n")
    keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]).save(run / "generator.keras")
    return tmp_path


def test_whole_files_have_no_faults(left):
    assert len(whole.files(left)) == 8
    assert whole.broken(left, {}) == []
    (left / f"samples/.gan-{'0' * 16}.part.png").write_bytes(b"half")
    assert whole.broken(left, {}) == []


@pytest.mark.parametrize(
    "name",
    [
        *("samples/a.png", "samples/a.gif", "samples/a.webp", "cache/a.npy"),
        *("checkpoint/r/measures.json", "checkpoint/r/generator.keras"),
        "samples/index.html",
    ],
)
def test_a_truncated_file_is_found(left, name):
    body = (left / name).read_bytes()
    (left / name).write_bytes(body[: len(body) // 2])
    assert [text.partition(":")[0] for text in whole.broken(left, {})] == [str(left / name)]


def test_a_best_checkpoint_that_is_being_replaced_may_lack_files(left):
    best = left / "checkpoint/r/best"
    files.save_text(best / "checkpoint", 'model_checkpoint_path: "ckpt-4"')
    assert len(whole.broken(left, {})) == 1
    (best.parent / ".best").mkdir()
    assert whole.broken(left, {}) == []


def test_a_repeated_step_is_found(left):
    path = left / "checkpoint/r/metrics.csv"
    path.write_text(path.read_text() + "2,0.3,3\n3,0.")  # the last row is cut short and ignored
    assert whole.broken(left, {}) == [f"{path}: step 2 twice"]


def test_a_differing_row_is_found(left, tmp_path):
    run = left / "checkpoint/r"
    files.save_text(run / "config.json", json.dumps({"seed": 5}))
    unbroken = tmp_path / "unbroken"
    files.save_text(unbroken / "checkpoint/r/metrics.csv", "step,loss,more\n1,2,\n2,3,\n3,1,4\n")
    assert whole.broken(left, {5: unbroken}) == []
    files.save_text(unbroken / "checkpoint/r/metrics.csv", "step,loss\n1,2\n2,3.5\n")
    path = run / "metrics.csv"
    assert whole.broken(left, {5: unbroken}) == [f"{path}: another row of step 2"]


def test_differing_arrays_are_named():
    a = {"x": np.zeros(2), "y": np.ones(1)}
    assert whole.different(a, dict(a)) == []
    assert whole.different(a, {"x": np.array([0, 1e-30]), "z": np.ones(1)}) == ["x", "y", "z"]


def test_kinds_of_file_operations(tmp_path):
    picture = str(tmp_path / kill_trainer.PICTURES / "7.png")
    assert kill_trainer.moment(tmp_path, "open", (picture, "rb", 0)) == "read a picture"
    assert (
        kill_trainer.moment(tmp_path, "open", (str(tmp_path / "a12.csv"), "w", 1)) == "open a#.csv"
    )
    assert (
        kill_trainer.moment(tmp_path, "os.rename", (tmp_path / "a", "b", -1, -1)) == "os.rename a"
    )
    for event, args in (("open", ("/tmp", "r", 0)), ("open", (3, "w", 1)), ("import", ("a",))):
        assert kill_trainer.moment(tmp_path, event, args) is None
    assert kill_trainer.moment(tmp_path, "os.remove", ("/elsewhere/a", -1)) is None
