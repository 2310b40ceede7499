"""The files of a run: after a save, a restore, a kill, and what replaces what."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import console
import files
import utils
from runs import checkpoints
from runs.log import MAX_WEIGHTS
from runs.run import REDRAW_FRACTION, Run
from tests.conftest import ROOT, batch, begin, log_loss, same, sheet, values

pytestmark = pytest.mark.usefixtures("eager")


def rows(run):
    with open(run.folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_new_run_is_hidden_until_it_is_saved(make_run, make_trainer):
    run, trainer = begin(make_run()), make_trainer()
    log_loss(run, 1)
    run.sample(1, 0, 1, *sheet())
    assert not run.has_state()
    assert {p.name for p in run.folder.iterdir()} == {".new", files.OUTPUT_MARK}
    run.save(2, trainer)
    names = {p.name for p in run.folder.iterdir()}
    assert {"config.json", "generator.keras", "critic.keras", "checkpoint", "frames"} <= names
    assert [n for n in names if n.startswith(".")] == [files.OUTPUT_MARK]
    log_loss(run, 3)
    assert [r["step"] for r in rows(run)] == ["1", "3"]


def test_a_new_run_replaces_the_old_one_only_when_saved(make_run, make_trainer):
    old, trainer = begin(make_run(), seed=1), make_trainer()
    log_loss(old, 5)
    old.save(5, trainer)
    new = begin(make_run(), seed=2)
    log_loss(new, 1, 7.0)
    assert json.loads((old.folder / "config.json").read_text())["seed"] == 1
    assert [r["step"] for r in rows(old)] == ["5"]
    new.save(1, trainer)
    assert json.loads((new.folder / "config.json").read_text())["seed"] == 2
    assert [(r["step"], r["loss"]) for r in rows(new)] == [("1", "7")]
    assert not list(new.folder.glob("ckpt-5*"))
    assert list(new.folder.glob("ckpt-1*"))


@pytest.mark.parametrize("stage", ["ready", "half removed", "half moved"])
def test_a_kill_while_a_new_run_replaces_the_old_one(make_run, stage):
    run = make_run()
    for name in ("config.json", "generator.keras", "ckpt-9.index", "notes.txt"):
        (run.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (run.folder / name).write_text("old")
    moved = run.folder / (".moving" if stage == "half moved" else ".ready")
    (moved / "frames").mkdir(parents=True)
    for name in ("config.json", "generator.keras"):
        (moved / name).write_text("new")
    if stage != "ready":
        (run.folder / "ckpt-9.index").unlink()
    if stage == "half moved":
        (run.folder / "generator.keras").unlink()
        (moved / "config.json").rename(run.folder / "config.json")
    with run.lock():
        assert {p.name for p in run.folder.iterdir()} == {
            *("config.json", "generator.keras", "frames", "lock", "notes.txt")
        }
        assert (run.folder / "config.json").read_text() == "new"


def test_restore_is_exact_and_deletes_later_steps(make_run, make_trainer):
    run, trainer = begin(make_run()), make_trainer()
    for step in (1, 2, 3):
        trainer.step(*batch(trainer, seed=step))
        log_loss(run, step)
        run.sample(step, 0, step, *sheet())
        if step == 2:
            run.save(step, trainer)
            saved = values(trainer.state)
    with open(run.folder / "metrics.csv", "a") as file:
        file.write("4,0,0.")  # a kill in the middle of a line
    again, other = make_run(), make_trainer(seed=1)
    assert again.restore(other) == 2
    assert same(saved, values(other.state)) == []
    assert [r["step"] for r in rows(again)] == ["1", "2"]
    assert sorted(p.name for p in (run.folder / "frames").iterdir()) == [
        "00000001.png",
        "00000002.png",
    ]
    begin(again, resume=True)
    log_loss(again, 3)
    assert [(r["step"], r["seconds"]) for r in rows(again)][-1] == ("3", "0.5")


def test_only_the_newest_checkpoints_are_kept(make_run, make_trainer):
    run, trainer = begin(make_run()), make_trainer()
    for step in range(1, 6):
        run.save(step, trainer)
    names = {p.name.split(".")[0] for p in run.folder.glob("ckpt-*")}
    assert names == {"ckpt-3", "ckpt-4", "ckpt-5"}


def test_settings_change_with_the_first_save(make_run, make_trainer):
    """A resume that fails before it has saved leaves no settings behind."""
    trainer = make_trainer()
    begin(make_run(), rate=1).save(1, trainer)
    run = begin(make_run(), resume=True, rate=1e38)
    run.sample(2, 0, 2, *sheet())  # draws the page, with the settings of this call
    assert "1e+38" in (run.samples / "index.html").read_text()
    path = run.folder / "config.json"
    assert json.loads(path.read_text())["rate"] == 1
    run.keep_best(2, trainer, {"fid": 1.0})
    assert json.loads((run.folder / "best/config.json").read_text())["rate"] == 1e38
    run.save(2, trainer)
    assert json.loads(path.read_text())["rate"] == 1e38


@pytest.mark.parametrize("name", ["a*b", "a[b]?\\c", os.fsdecode(b"a\xffb")])
def test_a_path_is_no_pattern(make_run, make_trainer, name):
    """TensorFlow looks for checkpoints by patterns, and takes paths for UTF-8."""
    other, trainer = begin(make_run("aXb")), make_trainer()
    run = begin(make_run(name))
    for step in (1, 2, 3, 4):
        other.save(step, trainer)
    for step in range(11, 16):
        log_loss(run, step)
        run.save(step, trainer)
    for saved, first in ((other, 2), (run, 13)):
        steps = {p.name.partition(".")[0] for p in saved.folder.glob("ckpt-*")}
        assert steps == {f"ckpt-{step}" for step in range(first, first + 3)}
    run.events.close()
    assert list(run.logs.glob("events*"))
    assert make_run(name).restore(make_trainer()) == 0  # the trainer has made no step


def test_a_path_that_tensorflow_cannot_use_is_refused(tmp_path, monkeypatch):
    """Systems without /proc have no other path of a folder."""
    monkeypatch.setattr(files, "OPEN_FOLDERS", str(tmp_path / "none"))
    assert files.suits_tensorflow(tmp_path)
    with pytest.raises(console.Failed, match=r"cannot use the path .*/a\[b\] on this"):
        files.suits_tensorflow(tmp_path / "a[b]")


def test_a_broken_checkpoint_is_one_line(make_run, make_trainer):
    run, trainer = begin(make_run()), make_trainer()
    run.save(1, trainer)
    data = next(run.folder.glob("ckpt-1.data*"))
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(console.Failed, match=r"ckpt-1.*--resume False") as error:
        make_run().restore(make_trainer())
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_another_network_is_refused(make_run, make_trainer):
    run = begin(make_run())
    run.save(1, make_trainer())
    with pytest.raises(console.Failed, match="cannot restore"):
        make_run().restore(make_trainer(g_width=(6,)))


def test_a_second_trainer_is_told_the_first_ones_process_id(make_run, tmp_path):
    code = (
        "import sys, time\n"
        "from runs.run import Run\n"
        "with Run('r', *sys.argv[1:]).lock():\n"
        "    print('in', flush=True); time.sleep(60)"
    )
    places = [str(tmp_path / d) for d in ("checkpoint", "samples", "logs")]
    other = subprocess.Popen(
        [sys.executable, "-c", code, *places], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(console.Failed, match=f"process {other.pid}:"), make_run().lock():
            pass
        with make_run("another").lock():
            pass
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    with make_run().lock():
        assert (make_run().folder / "lock").read_text() == str(os.getpid())


def test_the_pictures_of_a_run(make_run):
    run = begin(make_run())
    log_loss(run, 1)
    for i, value in enumerate((-1.0, 0.0, 1.0)):
        run.sample(200 * i, i, 7, *sheet(value))
    run.redraw()
    for i, level in enumerate((0, 128, 255)):
        with Image.open(run.samples / f"train_0{i}_0007.png") as image:
            assert image.size == (16, 16)
            assert image.getextrema() == (level, level)
    for suffix in ("gif", "webp"):
        with Image.open(run.samples / f"training.{suffix}") as film:
            assert film.n_frames == 3
    with Image.open(run.samples / "losses.png") as plot:
        assert plot.width > 500
    assert run.samples / "index.html" in run.written()
    assert "update 400, epoch 2.0" in (run.samples / "index.html").read_text()


def test_redrawing_takes_a_small_fraction_of_the_time(make_run, monkeypatch):
    run, drawn = begin(make_run()), []

    def redraw(live):
        assert live
        drawn.append(1)
        run._redrawn, run._redraw_cost = time.monotonic(), 10.0

    monkeypatch.setattr(run, "redraw", redraw)
    for i in range(5):
        run.sample(i, 0, i, *sheet())
    assert len(drawn) == 1
    run._redrawn -= 10.0 / REDRAW_FRACTION
    run.sample(9, 0, 9, *sheet())
    assert len(drawn) == 2


def test_tensorboard_reads_the_events(make_run, make_trainer):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = begin(make_run())
    log_loss(run, 3, 2.5)
    run.sample(4, 0, 4, *sheet())
    trainer = make_trainer()
    run.save(5, trainer)
    events = EventAccumulator(str(run.logs), size_guidance={"tensors": 0})
    events.Reload()
    tags = events.Tags()["tensors"]
    assert "loss" in tags
    assert "samples" in tags
    assert events.Tensors("loss")[0].step == 3
    for name, network in trainer.networks.items():
        for weight in network.trainable_variables:
            (event,) = events.Tensors(f"{name}/{weight.path}")
            bins = tf.make_ndarray(event.tensor_proto)  # [bins, (left, right, count)]
            every = 1 + np.size(weight) // MAX_WEIGHTS
            assert event.step == 5 and bins[:, 2].sum() == len(range(0, np.size(weight), every))
            assert bins[0, 0] >= np.min(weight) and bins[-1, 1] <= np.max(weight)


def test_images_of_another_kind_are_refused(make_run, make_trainer):
    run = begin(make_run())
    run.save(1, make_trainer())
    spec = {"height": 8, "width": 8, "channels": 3, "classes": 0}
    text = json.loads((run.folder / "config.json").read_text())
    for name, value in (("channels", 1), ("classes", 10), ("value_range", [0, 4095])):
        changed = {**text, "data": {**spec, name: value}}
        (run.folder / "config.json").write_text(json.dumps(changed))
        with pytest.raises(console.Failed, match=re.escape(f"{name} {value}, and these have")):
            run.check_data(spec)
    (run.folder / "config.json").write_text(json.dumps({**text, "data": spec}))
    run.check_data(spec)


def test_a_restore_before_the_first_row_deletes_the_log(make_run, make_trainer):
    run, trainer = begin(make_run()), make_trainer()
    run.save(3, trainer)
    log_loss(run, 5)
    again = make_run()
    again.restore(make_trainer())
    assert not (run.folder / "metrics.csv").exists()


def test_the_old_runs_film_stays_until_the_new_one_is_saved(make_run, make_trainer):
    old, trainer = begin(make_run()), make_trainer()
    old.sample(0, 0, 0, *sheet(-1.0))
    old.save(1, trainer)
    film = (old.samples / "training.gif").read_bytes()
    new = begin(make_run())
    new.sample(0, 0, 0, *sheet(1.0))
    assert (old.samples / "training.gif").read_bytes() == film
    new.save(1, trainer)
    new.sample(1, 0, 1, *sheet(1.0))
    assert (old.samples / "training.gif").read_bytes() != film


def test_the_best_checkpoint_is_a_run_of_its_own(make_run, make_trainer):
    run, trainer = begin(make_run()), make_trainer()
    assert run.best() == {}
    log_loss(run, 1)
    run.keep_best(1, trainer, {"fid": 3.0})
    run.save(2, trainer)
    assert run.best() == {"step": 1, "fid": 3.0}
    names = {p.name for p in (run.folder / "best").iterdir()}
    expected = {"generator.keras", "critic.keras", "config.json", "metrics.csv", "measures.json"}
    expected |= {"checkpoint", "ckpt-1.index", "ckpt-1.data-00000-of-00001", "frames"}
    assert names == expected | {"samples.png"}
    trainer.step(*batch(trainer))
    run.keep_best(3, trainer, {"fid": 2.0})
    grid = utils.make_grid(utils.to_uint8(trainer.preview()[0]), trainer.preview()[1])
    for path in (run.samples / "best.png", run.folder / "best/frames/00000003.png"):
        np.testing.assert_array_equal(utils.read_image(path), grid)
    assert names_in(run.folder / "best/frames") == {"00000003.png"}
    assert utils.read_text(run.samples / "best.png") == {"step": "3"}
    state = values(trainer.state)
    assert run.best() == {"step": 3, "fid": 2.0}
    assert not list((run.folder / "best").glob("ckpt-1.*"))
    other = make_trainer()
    Run("best", run.folder, run.samples, run.logs).restore(other)
    assert same(values(other.state), state) == []
    begin(make_run()).save(1, trainer)  # the new run deletes the old one's best
    assert not (run.folder / "best").exists() and not (run.samples / "best.png").exists()


@pytest.mark.parametrize("stage", ["written in part", "written", "the old one half removed"])
def test_a_kill_while_the_best_checkpoint_is_saved(make_run, make_trainer, stage):
    run, trainer = begin(make_run()), make_trainer()
    run.save(1, trainer)
    run.keep_best(1, trainer, {"fid": 3.0})
    part = run.folder / (".best-part" if stage == "written in part" else ".best")
    shutil.copytree(run.folder / "best", part)
    (part / "measures.json").write_text('{"step": 2, "fid": 2.0}')
    if stage == "the old one half removed":
        (run.folder / "best" / "measures.json").unlink()
    again = make_run()
    with again.lock():
        assert again.best()["step"] == (1 if stage == "written in part" else 2)
        assert (again.folder / "best" / "generator.keras").is_file()
    (again.samples / "best.png").write_text("older than best/samples.png")
    begin(again, resume=True).sample(1, 0, 1, *sheet())
    sheets = (again.samples / "best.png", again.folder / "best/samples.png")
    assert sheets[0].read_bytes() == sheets[1].read_bytes()
    again.keep_best(3, trainer, {"fid": 1.0})
    assert [p.name for p in run.folder.glob(".*")] == [files.OUTPUT_MARK]


def test_a_plateau_ends_with_a_restore(make_run, make_trainer):
    """As in a rollback: the best checkpoint may be newer than the restored one."""
    run, trainer = begin(make_run(), best_by="fid", extractor="a"), make_trainer()
    for step in range(1, 7):
        run.log(step, 0, 1.0, {}, {"fid_a": 5.0})
        if step == 2:
            run.keep_best(step, trainer, {"fid_a": 5.0})
            trainer.count.assign(step - 1)
            run.save(1, trainer)
    assert run.plateau() == checkpoints.Plateau("fid_a", 2, 1 - 2 / 6)
    again = make_run()
    again.restore(make_trainer())
    assert begin(again, resume=True, best_by="fid", extractor="a").plateau() is None
    again.sample(1, 0, 1, *sheet())
    assert "Best: update 2, fid_a 5<" in (again.samples / "index.html").read_text()


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_a_new_run_replaces_the_old_runs_pictures_when_it_is_saved(make_run, make_trainer):
    """Pictures of test mode and of an evaluation, too, but no file of the user's."""
    old, trainer = begin(make_run()), make_trainer()
    old.reals(np.zeros((4, 8, 8, 1), np.uint8))
    for step in (1, 2, 3):
        old.sample(step, 0, step, *sheet(-1.0))
    old.log(3, 0, 1.0, {"loss": 1.0}, {"fid": 1.0})
    old.redraw()
    old.save(3, trainer)
    mine = ("train_x.png", "notes.txt", "test_1.png", "me.html", "test.png.txt", "fakeA")
    made = ("test.png", "test_arange_2.png", "test_gif_merged.gif", "seed_0007.png", "nearest.png")
    made += ("test_move.png", "test_move_01.gif", "mix.png", "mix_classes.png")
    made += ("latent_0000.png",)
    for name in (*mine, *made, "measures.json", "test_20261126010203.png", "interpolation.webp"):
        (old.samples / name).write_text(name)
    before = names_in(old.samples)
    assert {"measures.png", "losses.png", "real_vs_fake.png", "train_00_0003.png"} < before
    new = begin(make_run())
    new.reals(np.full((4, 8, 8, 1), 255, np.uint8))
    new.sample(1, 0, 1, *sheet(1.0))
    assert names_in(old.samples) == before | {".new"}
    film = (new.samples.parent / "training.gif").read_bytes()
    assert film != (old.samples / "training.gif").read_bytes()  # that of the newest training
    new.save(1, trainer)
    drawn = {"reals.png", "real_vs_fake.png", "train_00_0001.png"}
    drawn |= {"training.gif", "training.webp", "index.html"}
    assert names_in(new.samples) == {*mine, *drawn, files.OUTPUT_MARK}
    assert film == (new.samples / "training.gif").read_bytes()
    for name in ("reals", "train_00_0001"):
        with Image.open(new.samples / f"{name}.png") as image:
            assert image.getextrema() == (255, 255)
    new.sample(2, 0, 2, *sheet(1.0))
    assert "train_00_0002.png" in names_in(new.samples)


def test_a_restore_deletes_the_grids_of_later_steps(make_run, make_trainer):
    """By the steps in the files: their names depend on the number of images."""
    run, trainer = begin(make_run()), make_trainer()
    for step, epoch in ((4, 7), (6, 1), (5, 2), (9, 0)):
        run.sample(step, epoch, 0, *sheet())
    for name in ("train_00_0001.png", "train_own.png"):
        (run.samples / name).write_bytes(b"no picture")
    trainer.count.assign(5)
    run.save(5, trainer)
    assert make_run().restore(make_trainer()) == 5
    kept = {"train_07_0000.png", "train_02_0000.png", "train_00_0001.png", "train_own.png"}
    assert {name for name in names_in(run.samples) if name.startswith("train_")} == kept


def test_what_has_nothing_to_show_is_removed(make_run):
    run = begin(make_run(), resume=True)
    made = {"real_vs_fake.png", "measures.png", "losses.png", "best.png"}
    for name in made:
        (run.samples / name).write_text("another run's")
    run.sample(1, 0, 1, *sheet())
    assert not names_in(run.samples) & made
    log_loss(run, 1)
    run.redraw()
    assert "losses.png" in names_in(run.samples) and "measures.png" not in names_in(run.samples)


def test_a_folder_of_pictures_with_files_of_others_is_refused(make_run):
    run = make_run()
    run.samples.mkdir(parents=True)
    for name in ("test.png", ".hidden"):
        (run.samples / name).write_text(name)
    begin(make_run())
    (run.samples / files.OUTPUT_MARK).unlink()
    (run.samples / "cat.png").write_text("mine")
    with pytest.raises(console.Failed, match=r"has other files, such as cat\.png: give another"):
        begin(make_run())
    assert not files.is_output(run.samples)


def test_the_best_runs_folders_have_the_name_of_their_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for top in ("checkpoint/a", tmp_path / "checkpoint" / "a"):
        best = Run("best", top, "s", "l")
        assert (str(best.samples), str(best.logs)) == ("s/a_best", "l/a_best")
    assert Run("best", ".", "s", "l").samples.name == f"{tmp_path.name}_best"
    assert str(Run("a", "checkpoint", "s", "l").samples) == "s/a"
