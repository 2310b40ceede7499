"""What is given to trackers, with packages that only record it, and with the real ones offline."""

import ast
import importlib.util
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import utils
from runs import recovery
from runs.tracking import mlflow_run, wandb_run
from runs.tracking.trackers import Trackers, numbers, read
from tests.conftest import ROOT
from tests.test_design import imports

# Packages of the same names, which append what they are given to `called`.
WANDB = """
import types
called, fails = [], []
def note(*words):
    if words[0] in fails: raise OSError("no network\\nat all")
    called.append(words)
class Run:
    offline, dir = True, "logs/files"
    config = types.SimpleNamespace(update=lambda settings, **_: note("config", dict(settings)))
    def __init__(self, id): self.id = id
    def define_metric(self, name, step_metric): note("axis", name, step_metric)
    def log(self, row): note("log", dict(row))
    def log_artifact(self, artifact): note("artifact", artifact)
    def finish(self, exit_code): note("finish", exit_code)
class Artifact(list):
    def __init__(self, name, kind): pass
    add_file = list.append
def init(**kwargs):
    note("init", kwargs)
    return Run(kwargs["id"] or f"id{len(called)}")
Image, Settings = str, dict
"""
MLFLOW = """
import types
called = []
class Metric(tuple):
    def __new__(cls, *words): return super().__new__(cls, words)
entities = types.SimpleNamespace(Metric=Metric)
class MlflowClient:
    params = {}
    def __init__(self, tracking_uri): self.uri = tracking_uri
    def get_experiment_by_name(self, name): return None
    def create_experiment(self, name, artifact_location): return "1"
    def create_run(self, experiment, run_name):
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=f"run{len(called)}"))
    def get_run(self, id):
        return types.SimpleNamespace(data=types.SimpleNamespace(params=self.params))
    def log_param(self, id, key, value): self.params[key] = value
    def __getattr__(self, name): return lambda *words, **more: called.append((name, *words, more))
"""
SETTINGS = {"seed": 3, "augment": ("none",), "data": {"height": 8}}


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """The recording packages, imported as the real ones are: name → module."""
    for name, text in {"wandb": WANDB, "mlflow": MLFLOW}.items():
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text(text)
        for other in [n for n in sys.modules if n.partition(".")[0] == name]:
            monkeypatch.delitem(sys.modules, other)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    for name in ("WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield sys.modules.get
    for name in ("wandb", "mlflow"):
        sys.modules.pop(name, None)


TINY = "--dataset digits --arch mlp --mode gan --g_width 4 --d_width 4 --z_dim 4 --batch_size 4"
TINY = (*TINY.split(), "--output_height", 8, "--train", "--log_every", 1, "--save_every", 2)


def test_a_training_is_tracked_and_continued(cli, fakes, tmp_path, eager):
    """Also what both have in the end: each step once, and the newest sheets, settings and page."""
    words = (*TINY, "--name", "r", "--sample_every", 2)
    status, out, _ = cli(*words, "--max_steps", 2, "--track", "wandb,mlflow")
    assert status == 0 and "tracked by wandb: logs\ntracked by mlflow: sqlite:////" in out
    known = read(tmp_path / "checkpoint" / "r")
    assert {name: row["sent"] for name, row in known.items()} == {"wandb": 2, "mlflow": 2}
    assert cli(*words, "--max_steps", 3)[0] == 0  # without them
    assert cli(*words, "--max_steps", 4, "--beta1", 0.25, "--track", "wandb,mlflow")[0] == 0
    wandb, mlflow = fakes("wandb").called, fakes("mlflow").called
    starts = [words[1] for words in wandb if words[0] == "init"]
    assert [start["id"] for start in starts] == [None, known["wandb"]["id"]]
    assert {start["project"] for start in starts} == {"gan"}
    logged = [words[1] for words in wandb if words[0] == "log"]
    assert [row["step"] for row in logged if "critic_loss" in row] == [1, 2, 3, 4]
    sheets = [(row["step"], row["samples"]) for row in logged if "samples" in row]
    assert [step for step, _ in sheets] == [0, 2, 4]
    assert all((tmp_path / path).is_file() for _, path in sheets)
    assert [words[1]["seed"] for words in wandb if words[0] == "config"] == [0, 0]
    assert [words[1] for words in wandb if words[0] == "artifact"] == [["samples/r/index.html"]] * 2
    metrics = [m for name, *_, more in mlflow if name == "log_batch" for m in more["metrics"]]
    assert [m[3] for m in metrics if m[0] == "critic_loss"] == [1, 2, 3, 4]
    assert {words[1] for words in mlflow} == {known["mlflow"]["id"]}
    assert [words[2:4] for words in mlflow if words[0] == "set_tag"] == [("beta1", "0.25")]
    artifacts = [words[3] for words in mlflow if words[0] == "log_artifact"]
    assert artifacts == ["samples/00000000", "samples/00000002", "page", "samples/00000004", "page"]
    assert [words[2] for words in mlflow if words[0] == "set_terminated"] == ["FINISHED"] * 2


def test_a_failing_tracker_does_not_cost_the_training(cli, fakes, tmp_path, eager):
    importlib.import_module("wandb").fails.append("log")
    status, out, err = cli(*TINY, "--name", "r", "--max_steps", 2, "--track", "wandb,mlflow")
    note = "note: wandb failed, and training goes on without it: no network\n"
    assert (status, out.count(note), err) == (0, 1, "")
    assert {n: row["sent"] for n, row in read(tmp_path / "checkpoint/r").items()} == {
        "wandb": -1,
        "mlflow": 2,
    }


def test_a_package_that_is_not_there_is_one_line(cli, fakes, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status, out, err = cli(*TINY, "--max_steps", 1, "--track", "wandb")
    assert (status, out) == (1, "")
    assert err == "main.py: --track wandb needs wandb: pip install -r requirements-track.txt\n"
    assert not (tmp_path / "checkpoint").exists()


def test_nothing_is_imported_unless_asked(cli, fakes):
    assert cli(*TINY, "--max_steps", 0, "--dry_run")[0] == 0
    assert not fakes("wandb") and not fakes("mlflow")
    users = {
        path.name: {"wandb", "mlflow"} & imports(ast.parse(path.read_text()))
        for path in (ROOT / "runs").rglob("*.py")
    }
    assert {n: names for n, names in users.items() if names} == {
        "wandb_run.py": {"wandb"},
        "mlflow_run.py": {"mlflow"},
    }


class Tracker(SimpleNamespace):
    """A tracker that keeps what it gets, and fails where it is told to."""

    place, fails = "here", ()

    def __init__(self, name, place, settings, identity):
        super().__init__(identity=identity or "new", got=[])
        made.append(self)

    def __getattr__(self, name):
        def report(*words):
            if name in Tracker.fails:
                raise ValueError(name)
            self.got.append((name, *words))

        return report


made = []


def begun(folder, *names):
    """Trackers of a run in a folder, and the lines that they print."""
    lines = []
    trackers = Trackers(dict.fromkeys(names, Tracker), lines.append)
    trackers.begin("r", folder, SETTINGS, folder)
    trackers.begin("r", folder, SETTINGS, folder)  # after --on_nan rollback
    return trackers, lines


def rows(*steps):
    return [{"step": str(step), "loss": "0.5", "empty": ""} for step in steps]


def test_rows_are_sent_once(tmp_path):
    made.clear()
    trackers, lines = begun(tmp_path, "a")
    assert lines == ["tracked by a: here"]
    trackers.sheet(0, "x.png")
    assert made[0].got == []
    trackers.send(tmp_path, rows(1, 2), tmp_path)
    first, second = numbers(rows(1)[0]), numbers(rows(2)[0])
    assert first == {"step": 1, "loss": 0.5}
    assert made[0].got == [("rows", [first, second]), ("sheet", 0, tmp_path / "x.png")]
    again, _ = begun(tmp_path, "a", "b")
    again.send(tmp_path, rows(1, 2, 3), tmp_path)
    assert [tracker.identity for tracker in made] == ["new"] * 3
    assert [row["step"] for row in made[1].got[0][1]] == [3]
    assert [row["step"] for row in made[2].got[0][1]] == [1, 2, 3]  # the history
    again.sheet(4, "undone.png")
    again.begin("r", tmp_path, SETTINGS, tmp_path)  # after --on_nan rollback
    again.send(tmp_path, rows(1, 2, 3), tmp_path)
    assert ("sheet", 4, tmp_path / "undone.png") not in made[1].got
    again.end(tmp_path / "page", True)
    assert made[1].got[-1] == ("end", None, True)
    trackers.end(tmp_path, False)
    trackers.end(tmp_path, False)
    assert [words[0] for words in made[0].got].count("end") == 1


@pytest.mark.parametrize("fails", [("sheet",), ("sheet", "end")])
def test_one_that_failed_is_closed_in_the_end(tmp_path, monkeypatch, fails):
    """Else MLflow shows a training that goes on for ever."""
    made.clear()
    monkeypatch.setattr(Tracker, "fails", fails)
    trackers, lines = begun(tmp_path, "a")
    trackers.sheet(0, "x.png")
    trackers.send(tmp_path, rows(1), tmp_path)
    trackers.send(tmp_path, rows(2), tmp_path)
    (tmp_path / "page").touch()
    trackers.end(tmp_path / "page", False)
    assert lines[1:] == ["note: a failed, and training goes on without it: sheet"]
    closed = [] if "end" in fails else [("end", None, False)]
    assert [words for words in made[0].got if words[0] != "rows"] == closed
    trackers.end(tmp_path / "page", False)
    assert len(made[0].got) == 1 + len(closed)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": {"id": "x"}}', "\xff"])
def test_a_broken_file_is_as_none(tmp_path, text):
    (tmp_path / recovery.TRACKING).write_bytes(text.encode("latin-1"))
    assert read(tmp_path) == {}
    assert recovery.RUN_FILES.fullmatch(recovery.TRACKING)  # a new run deletes it


def test_one_that_fails_to_open_does_not_matter(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError

    lines = []
    trackers = Trackers({"a": fail}, lines.append)
    trackers.begin("r", tmp_path, {}, tmp_path)
    trackers.send(tmp_path, rows(1), tmp_path)
    trackers.end(tmp_path, False)
    assert lines == ["note: a failed, and training goes on without it: RuntimeError"]
    assert not (tmp_path / recovery.TRACKING).exists()


# ---- the real packages, offline ------------------------------------------------------------------


def real(name):
    """The real package; skips the test if it is not installed."""
    return pytest.importorskip(name, reason="pip install -r requirements-track.txt")


@pytest.fixture
def page(tmp_path):
    """A sheet and a page, as (path, path)."""
    utils.save_image(tmp_path / "sheet.png", np.full((4, 4, 3), 7, np.uint8))
    (tmp_path / "index.html").write_text("the page")
    return tmp_path / "sheet.png", tmp_path / "index.html"


def fill(tracker, page, *steps):
    """Give a tracker rows, a sheet and the page."""
    tracker.rows([numbers(row) for row in rows(*steps)])
    tracker.sheet(steps[-1], page[0])
    tracker.end(page[1], False)


def test_mlflows_file_is_read_back(tmp_path, monkeypatch, page):
    mlflow = real("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first = mlflow_run.MlflowRun("r", tmp_path / "logs", SETTINGS, None)
    fill(first, page, 1, 2)
    again = mlflow_run.MlflowRun("r", tmp_path / "logs", SETTINGS, first.identity)
    fill(again, page, 3)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'logs' / 'mlflow.db'}")
    found = client.get_run(first.identity)
    assert (found.info.run_name, found.info.status) == ("r", "FINISHED")
    assert found.data.params["augment"] == "('none',)"
    history = client.get_metric_history(first.identity, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    files = {p.name: p for p in (tmp_path / "logs" / "mlartifacts").rglob("*") if p.is_file()}
    assert files["index.html"].read_text() == "the page"
    assert files["sheet.png"].read_bytes() == page[0].read_bytes()


def records(path):
    """The records in a file of wandb: LevelDB's format of logs, after a head of 7 bytes."""
    body, position, found = path.read_bytes(), 7, [b""]
    while position + 7 <= len(body):
        if (left := 32768 - position % 32768) < 7:  # the rest of a block is empty
            position += left
            continue
        size, kind = int.from_bytes(body[position + 4 : position + 6], "little"), body[position + 6]
        found[-1] += body[position + 7 : position + 7 + size]
        position += 7 + size
        found += [b""] if kind in (1, 4) else []  # a whole record, or the end of one
    return found[:-1]


def test_wandbs_folder_is_read_back(tmp_path, monkeypatch, page):
    real("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    first = wandb_run.WandbRun("r", tmp_path / "logs", SETTINGS, None)
    fill(first, page, 1, 2)
    again = wandb_run.WandbRun("r", tmp_path / "logs", SETTINGS, first.identity)
    fill(again, page, 3)
    (old, new) = sorted((tmp_path / "logs" / "wandb").glob("offline-run-*"))
    assert old.name.endswith(first.identity) and new.name.endswith(again.identity)
    assert first.identity == again.identity
    steps, artifacts, config = [], [], {}
    for folder in (old, new):
        for body in records(next(folder.glob("*.wandb"))):
            record = Record.FromString(body)
            config |= {u.key: json.loads(u.value_json) for u in record.config.update if u.key}
            items = {"/".join(i.nested_key) or i.key: i.value_json for i in record.history.item}
            steps += [int(items["step"])] if "loss" in items else []
            artifacts += [e.path for e in record.request.log_artifact.artifact.manifest.contents]
            artifacts += [e.path for e in record.artifact.manifest.contents]
    assert steps == [1, 2, 3]
    assert config["seed"] == 3
    assert artifacts == ["index.html"] * 2
    sheets = [p.read_bytes() for p in sorted((tmp_path / "logs").rglob("media/images/*.png"))]
    assert sheets == [page[0].read_bytes()] * 2
