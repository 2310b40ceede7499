"""Recovery: what a kill left half done is finished or removed at the next start."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import console
import locks
from benchmarks.whole import events
from commands import build
from config.resolve import resolve
from runs import recovery
from tests.conftest import begin, log_loss, sheet

LIST = 'model_checkpoint_path: "ckpt-4"\nall_model_checkpoint_paths: "ckpt-2"\n'
LIST += 'all_model_checkpoint_paths: "/else/where/ckpt-4"\n'


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LIST if path.name == "checkpoint" else name)


def names(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


PART = f".gan-{'0' * 16}.part.png"
EVENTS = "events.out.tfevents.1.host.2.{}.v2".format
# Names that a run never writes, though some look alike.
OTHERS = ["notes.txt", ".mine", "ckpt-notes.txt", "ckpt-best/x", "ckpt-20-mine.index", "ckpt-3.zip"]
OTHERS += [".todo.part2.md", "checkpoint.tmp.md", "bert.keras", "frames/0.png", "frames/mine.png"]
OTHERS += ["frames/.x.7.part.png", "best/notes.txt", "best/frames/mine.txt", "generator_old.keras"]


def test_incomplete_files_are_removed(tmp_path):
    whole = ["ckpt-2.index", "ckpt-4.index", "ckpt-4.data-00000-of-00001", "checkpoint"]
    whole += ["generator.keras", "frames/00000001.png", "best/ckpt-3.index", *OTHERS]
    half = ["ckpt-3.index", "ckpt-6.data-00000-of-00001", "ckpt-6_temp/part-0", PART]
    half += [f"checkpoint.tmp{'0a' * 16}", ".new/config.json", ".new/frames/00000001.png"]
    half += [".best-part/ckpt-4.index", f"frames/{PART}"]
    put(tmp_path / "run", *whole, *half)
    put(tmp_path / "logs", EVENTS(1), f".new/{EVENTS(2)}")
    put(tmp_path / "samples", "reals.png", PART, ".new/reals.png", f".new/{PART}")
    recovery.settle(tmp_path / "run", tmp_path / "logs", tmp_path / "samples")
    assert names(tmp_path / "run") == set(whole)
    assert names(tmp_path / "logs") == {EVENTS(1)}
    assert names(tmp_path / "samples") == {"reals.png"}


def test_a_new_run_deletes_what_the_old_one_wrote_and_nothing_else(tmp_path):
    run, best = ["config.json", "ckpt-9.index", "critic_A.keras", "frames/00000009.png"], ".best/"
    own = (*run, "measures.json", "samples.png")
    put(tmp_path / "run", *run, *(f"best/{name}" for name in own), *OTHERS)
    put(tmp_path / "run/.ready", "config.json", "frames/00000001.png")
    put(tmp_path / "logs", EVENTS(1), "events.md", f".new/{EVENTS(2)}")
    put(tmp_path / "samples", "augmented.png", "mine.png", ".new/reals.png")
    places = (tmp_path / "run", tmp_path / "logs", tmp_path / "samples")
    recovery.settle(*places)
    assert names(places[0]) == {"config.json", "frames/00000001.png", *OTHERS}
    assert (places[0] / "config.json").read_text() == "config.json"
    assert names(places[1]) == {"events.md", EVENTS(2)}
    assert names(places[2]) == {"reals.png", "mine.png"}
    put(places[0], "best/ckpt-1.index", f"{best}ckpt-2.index", f"{best}frames/00000002.png")
    recovery.settle(*places)
    found = {"config.json", "frames/00000001.png", "best/ckpt-2.index", "best/frames/00000002.png"}
    assert names(places[0]) == {*found, *OTHERS}


LINKS = [".new", ".ready", ".moving", ".best", ".best-part", "best", "frames", "ckpt-5_temp"]


@pytest.mark.parametrize("link", [*LINKS, "logs/.new", "samples/.new"])
def test_a_link_in_a_run_is_refused(tmp_path, monkeypatch, link):
    """The archive of a stranger may have links to any folder."""
    monkeypatch.chdir(tmp_path)
    put(
        Path("victim"), "config.json", "ckpt-1.index", "frames/00000001.png", "reals.png", EVENTS(1)
    )
    before = names(Path("victim"))
    put(Path("c/r"), "config.json")
    path = Path(link) if "/" in link else Path("c/r", link)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(tmp_path / "victim")
    recovery.settle_runs("c", "l", "s")  # by test mode
    with (
        pytest.raises(console.Failed, match=f"^{path} is a link, and the program would write"),
        recovery.lock(Path("c/r"), Path("logs"), Path("samples")),
    ):
        pytest.fail("entered")
    recovery.settle(Path("c/r"), Path("logs"), Path("samples"))
    recovery.remove_run(Path("c/r"))
    assert names(Path("victim")) == before


def test_the_log_is_not_written_through_a_link(make_run, make_trainer):
    run = begin(make_run())
    log_loss(run, 1)
    run.save(1, make_trainer())
    victim = run.folder.parent / "victim"
    for name in ("metrics.bad.csv", "metrics.csv"):
        path = run.folder / name
        victim.write_text("step,loss\n1,2\n" * 2)
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
        if name == "metrics.csv":
            with pytest.raises(OSError, match=r"cannot write .*metrics.csv: it is a link"):
                log_loss(run, 2)
        else:
            (run.folder / "metrics.csv").write_text("step,loss\n1,x\n")
            make_run().restore(make_trainer())
        assert victim.read_text() == "step,loss\n1,2\n" * 2


def test_checkpoints_stay_without_an_index(tmp_path):
    put(tmp_path / "run", "ckpt-3.index")
    recovery.settle(tmp_path / "run", tmp_path / "logs", tmp_path / "samples")
    assert names(tmp_path / "run") == {"ckpt-3.index"}


@pytest.mark.parametrize("others", [("model.keras", "frames/1.png"), ("ckpt-3.index", ".git/x")])
def test_a_folder_that_is_no_run_is_refused(tmp_path, others):
    """Another program's files have names that runs have, too."""
    put(tmp_path / "bert", *others)
    places = (tmp_path / "bert", tmp_path / "logs", tmp_path / "samples")
    refused = pytest.raises(console.Failed, match="but is not the folder of a run: give another --")
    with refused, recovery.lock(*places):
        pytest.fail("entered")
    assert names(tmp_path / "bert") == set(others)
    put(tmp_path / "bert", "config.json")
    with recovery.lock(*places):
        pass


@pytest.mark.parametrize("done", range(11))
def test_the_events_and_pictures_of_a_new_run_replace_the_old_ones(tmp_path, monkeypatch, done):
    """Kill the recovery at each of its steps, and start it again."""
    put(tmp_path / "run/.ready", "config.json")
    put(tmp_path / "samples", "reals.png", "test.png", ".new/reals.png", "mine.png")
    put(tmp_path / "run", "generator.keras")
    put(tmp_path / "logs", EVENTS(1), f".new/{EVENTS(2)}", "mine.txt")
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
            recovery.settle(tmp_path / "run", tmp_path / "logs", tmp_path / "samples")
        except Killed:
            assert done < 11
    recovery.settle(tmp_path / "run", tmp_path / "logs", tmp_path / "samples")
    assert names(tmp_path / "run") == {"config.json"}
    assert names(tmp_path / "logs") == {EVENTS(2), "mine.txt"}
    assert names(tmp_path / "samples") == {"reals.png", "mine.png"}
    assert (tmp_path / "samples/reals.png").read_text() == ".new/reals.png"
    assert not (tmp_path / "samples/.new").exists()


def test_test_mode_moves_new_runs_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"dataset": "digits", "checkpoint_dir": "runs"}
    for name, half in (("a", ".ready"), ("b", ".moving"), ("c", ".ready")):
        put(tmp_path / "runs" / name / half, "generator.keras")
        text = resolve({**given, "seed": 7}).to_json() | {"data": {}}
        (tmp_path / "runs" / name / half / "config.json").write_text(json.dumps(text))
    with locks.lock(tmp_path / "runs/c/lock", pytest.fail):
        c, folder = build.find(given)
    assert c.seed == 7
    assert folder in (Path("runs/a"), Path("runs/b"))
    for name in "ab":
        assert names(tmp_path / "runs" / name) == {"generator.keras", "config.json"}
    assert (tmp_path / "runs/c/.ready/config.json").exists()


def test_events_after_the_restored_step_are_deleted(make_run):
    run = begin(make_run(), resume=True)
    for step in (1, 2, 3):
        log_loss(run, step)
    run.events.close()
    path = next(run.logs.glob("events*"))
    whole = path.read_bytes()
    for last, steps in ((9, [1, 2, 3]), (2, [1, 2]), (1, [1])):
        recovery.delete_after(run.write_dir, run.logs, run.samples, last)
        assert events(run.logs) == {"loss": steps}
    path.write_bytes(whole[:-5])  # cut short by a kill
    recovery.delete_after(run.write_dir, run.logs, run.samples, 9)
    assert events(run.logs) == {"loss": [1, 2]}
    assert whole.startswith(path.read_bytes())
    third = path.stat().st_size
    for wrong in (slice(third, third + 8), slice(third + 12, third + 13)):  # a length, a body
        body = bytearray(whole)
        body[wrong] = b"\xff" * (wrong.stop - wrong.start)
        path.write_bytes(body)
        recovery.delete_after(run.write_dir, run.logs, run.samples, 9)
        assert path.stat().st_size == third
        assert events(run.logs) == {"loss": [1, 2]}
    recovery.delete_after(run.write_dir, run.logs, run.samples, 0)
    assert not path.exists()


def test_events_of_a_new_run_are_hidden_until_it_is_saved(make_run, make_trainer, eager):
    old, trainer = begin(make_run()), make_trainer()
    log_loss(old, 5)
    old.save(5, trainer)
    assert events(old.logs)["loss"] == [5]
    new = begin(make_run())
    log_loss(new, 1)
    new.events.flush()
    assert sorted(events(old.logs)["loss"]) == [1, 5]
    assert {p.parent.name for p in old.logs.rglob("events*")} == {"r", ".new"}
    new.save(1, trainer)
    log_loss(new, 2)
    new.save(2, trainer)
    assert events(old.logs)["loss"] == [1, 2]
    assert not (old.logs / ".new").exists()
    new.restore(make_trainer())


def test_finish_draws_what_a_kill_left_undrawn(make_run, make_trainer, eager):
    run = begin(make_run())
    run.sample(0, 0, 0, *sheet())
    run.save(1, make_trainer())
    run.reals(np.zeros((4, 8, 8, 1), np.uint8))
    last = run.samples / "index.html"  # the last file that is drawn
    for half in (None, b"of an earlier drawing"):
        if half:
            last.write_bytes(half)
            os.utime(last, (1, 1))
        parts = [folder / PART for folder in (run.samples, run.newest_dir)]
        for part in parts:  # of a killed process
            part.touch()
        run.finish()
        assert not any(part.exists() for part in parts)
        drawn = last.stat().st_mtime_ns
        assert last.read_bytes().endswith(b"</html>\n")
        assert (run.samples / "real_vs_fake.png").read_bytes()[1:4] == b"PNG"
        run.finish()
        assert last.stat().st_mtime_ns == drawn
    new = begin(make_run())  # is stopped before its first save
    new.sample(0, 0, 0, *sheet(0.5))
    shown = [run.newest_dir / name for name in ("index.html", "training.gif")]
    own = [(run.samples / path.name).read_bytes() for path in shown]
    assert [path.read_bytes() == body for path, body in zip(shown, own)] == [False, False]
    run.finish()
    assert [path.read_bytes() for path in shown] == own
