"""What is half done in a run's folders, and what is left of it at the next start."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import files
from benchmarks.whole import events
from commands import build
from config.resolve import resolve
from runs import recovery
from tests.test_run import begin, grid, log, make_run  # noqa: F401 (a fixture among them)

LIST = 'model_checkpoint_path: "ckpt-4"\nall_model_checkpoint_paths: "ckpt-2"\n'
LIST += 'all_model_checkpoint_paths: "/else/where/ckpt-4"\n'


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LIST if path.name == "checkpoint" else name)


def names(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_what_is_half_written_goes(tmp_path):
    whole = ["ckpt-2.index", "ckpt-4.index", "ckpt-4.data-00000-of-00001", "checkpoint"]
    whole += ["generator.keras", "notes.txt", ".mine", "frames/00000001.png", "best/ckpt-3.index"]
    half = ["ckpt-3.index", "ckpt-6.data-00000-of-00001", "ckpt-6_temp/part-0", "checkpoint.tmpab"]
    half += [".new/config.json", ".best-part/x", ".generator.77.part.keras"]
    half += ["frames/.00000002.77.part.png"]
    put(tmp_path / "run", *whole, *half)
    put(tmp_path / "logs", "events.1", ".new/events.2")
    recovery.settle(tmp_path / "run", tmp_path / "logs")
    assert names(tmp_path / "run") == set(whole)
    assert names(tmp_path / "logs") == {"events.1"}


def test_checkpoints_stay_where_no_list_of_them_is(tmp_path):
    put(tmp_path / "run", "ckpt-3.index")
    recovery.settle(tmp_path / "run", tmp_path / "logs")
    assert names(tmp_path / "run") == {"ckpt-3.index"}


@pytest.mark.parametrize("done", range(6))
def test_the_events_of_a_new_run_take_the_place_of_the_old_ones(tmp_path, monkeypatch, done):
    """Killed at each of the stages, and begun again."""
    put(tmp_path / "run/.ready", "config.json")
    put(tmp_path / "run", "generator.keras")
    put(tmp_path / "logs", "events.old", ".new/events.new", "mine.txt")
    steps = [0]

    class Killed(BaseException):
        pass

    def count(method):
        def counted(self, *args, **more):
            steps[0] += 1
            if steps[0] > done:
                raise Killed
            return method(self, *args, **more)

        return counted

    with monkeypatch.context() as patch:
        for name in ("rename", "unlink", "rmdir"):
            patch.setattr(type(tmp_path), name, count(getattr(type(tmp_path), name)))
        try:
            recovery.settle(tmp_path / "run", tmp_path / "logs")
        except Killed:
            assert done < 6
    recovery.settle(tmp_path / "run", tmp_path / "logs")
    assert names(tmp_path / "run") == {"config.json"}
    assert names(tmp_path / "logs") == {"events.new", "mine.txt"}


def test_who_only_looks_moves_a_new_run_up_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"dataset": "digits", "checkpoint_dir": "runs"}
    for name, half in (("a", ".ready"), ("b", ".moving"), ("c", ".ready")):
        put(tmp_path / "runs" / name / half, "generator.keras")
        text = resolve({**given, "seed": 7}).to_json() | {"data": {}}
        (tmp_path / "runs" / name / half / "config.json").write_text(json.dumps(text))
    with files.lock(tmp_path / "runs/c/lock", pytest.fail):
        c, folder = build.find(given)
    assert c.seed == 7
    assert folder in (Path("runs/a"), Path("runs/b"))
    for name in "ab":
        assert names(tmp_path / "runs" / name) == {"generator.keras", "config.json"}
    assert (tmp_path / "runs/c/.ready/config.json").exists()


def test_events_after_the_step_gone_back_to_are_forgotten(make_run):  # noqa: F811
    run = begin(make_run(), resume=True)
    for step in (1, 2, 3):
        log(run, step)
    run._close_events()
    path = next(run.logs.glob("events*"))
    whole = path.read_bytes()
    for last, steps in ((9, [1, 2, 3]), (2, [1, 2]), (1, [1])):
        recovery.forget(run.home, run.logs, last)
        assert events(run.logs) == {"loss": steps}
    path.write_bytes(whole[:-5])  # cut short by a kill
    recovery.forget(run.home, run.logs, 9)
    assert events(run.logs) == {"loss": [1, 2]}
    assert whole.startswith(path.read_bytes())
    third = path.stat().st_size
    for wrong in (slice(third, third + 8), slice(third + 12, third + 13)):  # a length, a body
        body = bytearray(whole)
        body[wrong] = b"\xff" * (wrong.stop - wrong.start)
        path.write_bytes(body)
        recovery.forget(run.home, run.logs, 9)
        assert path.stat().st_size == third
        assert events(run.logs) == {"loss": [1, 2]}
    recovery.forget(run.home, run.logs, 0)
    assert not path.exists()


def test_events_of_a_new_run_are_hidden_until_it_is_saved(make_run, make_trainer):  # noqa: F811
    old, trainer = begin(make_run()), make_trainer()
    log(old, 5)
    old.save(5, trainer)
    assert events(old.logs)["loss"] == [5]
    new = begin(make_run())
    log(new, 1)
    new._writer.flush()
    assert sorted(events(old.logs)["loss"]) == [1, 5]
    assert {p.parent.name for p in old.logs.rglob("events*")} == {"r", ".new"}
    new.save(1, trainer)
    log(new, 2)
    new.save(2, trainer)
    assert events(old.logs)["loss"] == [1, 2]
    assert not (old.logs / ".new").exists()
    new.restore(make_trainer())


def test_a_film_that_a_kill_left_undrawn_is_drawn(make_run, make_trainer):  # noqa: F811
    run = begin(make_run())
    run.sample(0, 0, 0, *grid())
    run.save(1, make_trainer())
    run.reals(np.zeros((4, 8, 8, 1), np.uint8))
    last = run.samples / "index.html"  # what is drawn last
    for half in (None, b"of an earlier drawing"):
        if half:
            last.write_bytes(half)
            os.utime(last, (1, 1))
        run.finish()
        drawn = last.stat().st_mtime_ns
        assert last.read_bytes().endswith(b"</html>\n")
        assert (run.samples / "real_vs_fake.png").read_bytes()[1:4] == b"PNG"
        run.finish()
        assert last.stat().st_mtime_ns == drawn


def test_dead_processes_files_are_cleared(tmp_path):
    put(tmp_path, ".a.4194305.part.png", f".b.{os.getppid()}.part.png", ".c.part.png", "d.part.png")
    with files.atomic_path(tmp_path / "e.png") as part:
        left = part.name
        part.write_text("")
    put(tmp_path, left)  # of this process, before it has written anything
    files.clear_parts(tmp_path)
    assert names(tmp_path) == {f".b.{os.getppid()}.part.png", ".c.part.png", "d.part.png", "e.png"}
