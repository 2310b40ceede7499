"""Finding a run, and loading its networks."""

import json
import os

import keras
import pytest

import console
from runs import trained


def shipped(tmp_path, name, **saved):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "generator.keras").write_text("")
    (folder / "config.json").write_text(json.dumps({"dataset": "d", **saved}))
    return folder


def test_find_run_takes_the_newest_and_names_the_others(tmp_path):
    a, b = shipped(tmp_path, "a", mode="gp"), shipped(tmp_path, "b", mode="div")
    shipped(tmp_path, "c", dataset="other")
    (tmp_path / "unfinished").mkdir()
    for folder, time in ((a, 2e9), (b, 1e9)):
        (folder / "checkpoint").write_text("")
        os.utime(folder / "generator.keras", (time, time))
    assert trained.find_run(tmp_path, "d", {}) == (a, ["b"])
    assert trained.find_run(tmp_path, "d", {"mode": "div"}) == (b, [])
    assert trained.find_run(tmp_path, "d", {"name": "c"})[0].name == "c"


def test_find_run_takes_a_run_before_what_came_with_the_project(tmp_path):
    a, b, c = (shipped(tmp_path, name) for name in "abc")
    (a / "checkpoint").write_text("")
    for folder, time in ((a, 1e9), (b, 3e9), (c, 2e9)):
        os.utime(folder / "generator.keras", (time, time))
    assert trained.find_run(tmp_path, "d", {}) == (a, ["c", "b"])


def test_find_run_prefers_the_batch_size_asked_for(tmp_path):
    a, b = shipped(tmp_path, "a", batch_size=64), shipped(tmp_path, "b", batch_size=32)
    for size, expected in ((64, (a, ["b"])), (32, (b, ["a"]))):
        assert trained.find_run(tmp_path, "d", {"batch_size": size}) == expected
    assert trained.find_run(tmp_path, "d", {"batch_size": 5})[0] in (a, b)


def test_find_run_knows_a_data_set_by_the_last_part_of_its_path(tmp_path):
    a = shipped(tmp_path, "a", dataset="pictures/d")
    assert trained.find_run(tmp_path, "d", {})[0] == a
    assert trained.find_run(tmp_path, "elsewhere/d/", {})[0] == a
    assert trained.find_run(tmp_path, "elsewhere/d.zip", {})[0] == a
    b = shipped(tmp_path, "b", dataset="pictures/e.ZIP")
    for name in ("e", "e.zip", "elsewhere/e.Zip"):
        assert trained.find_run(tmp_path, name, {})[0] == b


def test_what_is_not_a_network_is_one_line(tmp_path):
    path = tmp_path / "generator.keras"
    path.write_text("no zip")
    with pytest.raises(console.Failed, match="cannot load") as error:
        trained.load_network(path)
    assert "\n" not in str(error.value)


def test_a_lambda_is_refused(tmp_path):
    x = keras.Input((2,))
    path = tmp_path / "generator.keras"
    keras.Model(x, keras.layers.Lambda(lambda t: t * 2)(x)).save(path)
    with pytest.raises(console.Failed, match="cannot load"):
        trained.load_network(path)


def test_find_run_says_what_it_looked_for(tmp_path):
    shipped(tmp_path, "a", g_width=[32])
    with pytest.raises(console.Failed) as error:
        trained.find_run(tmp_path, "d", {"g_width": (64, 32)})
    for part in ("--g_width 64,32", str(tmp_path), "there are a", "--dataset d", "--train True"):
        assert part in str(error.value)
    with pytest.raises(console.Failed, match="no trained generator of other"):
        trained.find_run(tmp_path, "other", {})
