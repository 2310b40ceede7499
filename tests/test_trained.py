"""Find a run, and load its networks."""

import json
import os
from pathlib import Path

import keras
import pytest

import console
from runs import trained
from runs.trained import check_data, find_run, load_network, other_source, read_config
from tests.conftest import ROOT


def put_run(top, name, **saved):
    folder = top / name
    folder.mkdir(parents=True)
    (folder / "generator.keras").write_text("")
    (folder / "config.json").write_text(json.dumps({"dataset": "d", **saved}))
    return folder


def test_find_run_takes_the_newest_and_names_the_others(tmp_path):
    a, b = put_run(tmp_path, "a", mode="gp"), put_run(tmp_path, "b", mode="div")
    put_run(tmp_path, "c", dataset="other")
    (tmp_path / "unfinished").mkdir()
    for folder, time in ((a, 2e9), (b, 1e9)):
        os.utime(folder / "generator.keras", (time, time))
    assert find_run(tmp_path, "d", {}) == (a, " (the newest; other runs: b)")
    assert find_run(tmp_path, "d", {"mode": "div"}) == (b, "")
    put_run(tmp_path, "e\nf", mode="sub")
    os.utime(tmp_path / "e\nf" / "generator.keras", (0, 0))
    assert find_run(tmp_path, "d", {})[1] == " (the newest; other runs: b, e\\nf)"
    assert find_run(tmp_path, "d", {"name": "c"})[0].name == "c"


@pytest.fixture
def pretrained(tmp_path, monkeypatch):
    """The folder of the runs that ship, for a test."""
    monkeypatch.setattr(trained, "PRETRAINED", tmp_path / "pretrained")
    return tmp_path / "pretrained"


def test_a_run_that_ships_is_found_where_there_is_no_run_of_the_users(tmp_path, pretrained):
    ships, own = put_run(pretrained, "s", mode="gp"), tmp_path / "own"
    for wanted in ({}, {"mode": "gp"}, {"name": "s"}):
        remark = f", which ships with the project: you have none of your own in {own}"
        assert find_run(own, "d", wanted) == (ships, remark)
    other = put_run(own, "o", mode="div")
    put_run(own, "broken").joinpath("config.json").write_text("{")
    folder, remark = find_run(own, "d", {"mode": "gp"})
    assert folder == ships
    assert f"none of your own in {own} fits (there are o) (no settings can be read in b" in remark
    assert find_run(own, "d", {}) == (other, "")
    with pytest.raises(console.Failed, match=r"there are o\).*, and none ships \(there are s\)"):
        find_run(own, "d", {"mode": "r1"})
    with pytest.raises(console.Failed, match="no trained generator of e") as error:
        find_run(own, "e", {})
    assert "none ships" not in str(error.value)


def test_the_dates_of_a_clone_do_not_select_among_runs_that_ship(tmp_path, pretrained):
    ships = [put_run(pretrained, name) for name in ("a_16", "a_64")]
    for date in (1e9, 3e9):
        os.utime(ships[1] / "generator.keras", (date, date))
        assert find_run(tmp_path / "own", "d", {})[0] == ships[1]
    both = [put_run(pretrained, f"b_{n}", dataset="b", output_height=n) for n in (48, 64)]
    assert find_run(tmp_path / "own", "b", {}, height=48)[0] == both[0]
    assert find_run(tmp_path / "own", "b", {"output_height": 64}, height=48)[0] == both[1]
    put_run(pretrained, "b_32", dataset="b", output_height=32, batch_size=16)
    assert find_run(tmp_path / "own", "b", {"batch_size": 16}, height=48)[0] == both[0]


def test_runs_that_ship_are_found_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert trained.shipped_dir() == Path("pretrained")
    names = {path.name for path in trained.shipped_dir().glob("*/")}
    assert "mnist_64_28_28" in names
    monkeypatch.chdir(tmp_path)
    assert trained.shipped_dir() == ROOT / "pretrained"
    folder, _ = find_run("checkpoint", "mnist", {})
    assert folder == ROOT / "pretrained/mnist_64_28_28"
    assert trained.ships(folder / "x") and trained.ships(ROOT / "docs/../pretrained")
    assert not trained.ships(tmp_path / "pretrained") and not trained.ships(ROOT)


def test_find_run_prefers_the_batch_size_asked_for(tmp_path):
    a, b = put_run(tmp_path, "a", batch_size=64), put_run(tmp_path, "b", batch_size=32)
    for size, expected in ((64, a), (32, b)):
        assert find_run(tmp_path, "d", {"batch_size": size})[0] == expected
    assert find_run(tmp_path, "d", {"batch_size": 5})[0] in (a, b)


def test_find_run_compares_the_last_parts_of_data_sets_paths(tmp_path):
    a = put_run(tmp_path, "a", dataset="pictures/d")
    assert find_run(tmp_path, "d", {})[0] == a
    assert find_run(tmp_path, "elsewhere/d/", {})[0] == a
    assert find_run(tmp_path, "elsewhere/d.zip", {})[0] == a
    b = put_run(tmp_path, "b", dataset="pictures/e.ZIP")
    for name in ("e", "e.zip", "elsewhere/e.Zip"):
        assert find_run(tmp_path, name, {})[0] == b


def test_find_run_prefers_runs_of_the_data_set_itself(tmp_path):
    """To those of another folder of this name. Older runs know only what was given."""
    a, b, c = (
        put_run(tmp_path, name, dataset=dataset, **more)
        for name, dataset, more in (
            ("a", "far/a/d", {"data": {"source": "far/a/d"}}),
            ("b", "d", {"data": {"source": "/elsewhere/data/d"}}),
            ("c", "old/d", {}),
        )
    )
    for folder, time in ((a, 1e9), (b, 2e9), (c, 3e9)):
        (folder / "checkpoint").write_text("")
        os.utime(folder / "generator.keras", (time, time))
    for dataset, source, found in (
        *(("far/a/d", "far/a/d", a), ("./far/a/d/", "far/a/d", a), ("d", "/elsewhere/data/d", b)),
        *(("old/d", "old/d", c), ("./old/d/", "old/d", c), ("new/d", "new/d", c)),
    ):
        folder, remark = find_run(tmp_path, dataset, {}, source=source)
        assert (folder, remark.count(",")) == (found, 1)
    places = [other_source(read_config(folder), "new/d", "new/d") for folder in (a, b, c)]
    assert places == ["far/a/d", "/elsewhere/data/d", "old/d"]
    assert (
        other_source({"dataset": "x", "data": {"source": "mnist"}}, "mnist", "data/mnist") is None
    )


SPEC = {"height": 8, "width": 8, "channels": 3, "count": 300, "classes": 3}
SPEC |= {"class_names": ("1", "2", "10"), "source": "data/d", "fingerprint": "f"}
OLD = {name: SPEC[name] for name in ("height", "width", "channels", "count", "classes")}


@pytest.mark.parametrize(
    ("was", "line"),
    [
        ({**SPEC, "class_names": ["1", "2", "10"]}, None),
        ({**SPEC, "source": "elsewhere"}, None),  # moved
        ({**SPEC, "fingerprint": "g"}, "the data set has changed: other files, still 300 images"),
        ({**SPEC, "fingerprint": "g", "count": 280}, "the data set has changed: 280 -> 300 images"),
        ({**OLD, "class_names": ["1", "2", "10"]}, None),
    ],
)
def test_data_that_a_run_goes_on_with(was, line):
    was |= {"class_names": list(was["class_names"])}
    assert check_data("r", was, SPEC) == line


NAMES = ["1", "2", "10"]


@pytest.mark.parametrize(
    ("was", "says"),
    [
        (
            {**SPEC, "source": "b/d", "fingerprint": "g"},
            "run r was trained on b/d, not on data/d: give another --name (with --init_from r, ",
        ),
        ({**SPEC, "class_names": ["1", "2", "cat"]}, "other classes: cat missing, 10 new; restore"),
        ({**SPEC, "class_names": ["1", "2"], "classes": 2}, "other classes: 10 new; restore"),
        ({**SPEC, "class_names": [*NAMES, "11"], "classes": 4}, "other classes: 11 missing; "),
        ({**SPEC, "class_names": ["1", "10", "2"]}, "other classes: their order differs; "),
        (OLD, "in the order 1, 10, 2, and the order is now 1, 2, 10: give another --name"),
        ({**OLD, "classes": 2}, "with classes 2, and these have 3"),
    ],
)
def test_data_that_are_refused(was, says):
    if "class_names" in was:
        was |= {"class_names": list(was["class_names"])}
    with pytest.raises(console.Failed) as error:
        check_data("r", was, SPEC)
    line = str(error.value)
    assert says in line and "--name" in line and "--resume False" in line and "\n" not in line


def test_an_older_run_goes_on_if_its_classes_keep_their_numbers():
    spec = {**SPEC, "class_names": ("ant", "bee", "cat")}
    assert check_data("r", OLD, spec) is None


def test_a_file_that_is_no_network_is_refused_in_one_line(tmp_path):
    path = tmp_path / "generator.keras"
    path.write_text("no zip")
    with pytest.raises(console.Failed, match="cannot load") as error:
        load_network(path)
    assert "\n" not in str(error.value)


def test_a_lambda_is_refused(tmp_path):
    x = keras.Input((2,))
    path = tmp_path / "generator.keras"
    keras.Model(x, keras.layers.Lambda(lambda t: t * 2)(x)).save(path)
    with pytest.raises(console.Failed, match="cannot load"):
        load_network(path)


def test_the_message_of_find_run_lists_the_flags_and_the_runs(tmp_path):
    put_run(tmp_path, "a", g_width=[32])
    with pytest.raises(console.Failed) as error:
        find_run(tmp_path, "d", {"g_width": (64, 32)})
    for part in ("--g_width 64,32", str(tmp_path), "there are a", "--dataset d", "--train True"):
        assert part in str(error.value)
    with pytest.raises(console.Failed, match="no trained generator of other"):
        find_run(tmp_path, "other", {})


def test_settings_that_are_newer_than_a_run_are_completed(tmp_path):
    old, new = put_run(tmp_path, "old", mode="r1"), put_run(tmp_path, "new", penalty="gp")

    def complete(saved):
        saved.setdefault("penalty", "r1")

    assert find_run(tmp_path, "d", {"penalty": "r1"}, complete) == (old, "")
    assert find_run(tmp_path, "d", {"penalty": "gp"}, complete) == (new, "")


def test_generators_are_files_of_known_names(tmp_path):
    """A link to nothing must not end the search for a run."""
    for name in ("generator_B2A.keras", "generator_A2B.keras", "generator_x.keras"):
        (tmp_path / name).touch()
    (tmp_path / "generator.keras").symlink_to("gone")
    names = [path.name for path in trained.generators(tmp_path)]
    assert names == ["generator_A2B.keras", "generator_B2A.keras"]
