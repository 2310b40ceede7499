"""metrics.csv, read and written, and its plots."""

import numpy as np
import pytest
from PIL import Image

from runs import log as run_log


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


def filled(path, *rows):
    """A log with these rows, each added to the file."""
    log = run_log.Log()
    for row in rows:
        log.add(path, row)
    return log


def row(step, **columns):
    return {"step": step, "epoch": 0, **columns}


def test_rows_are_added_to_the_file(path):
    log = filled(path, row(1, loss="0.5"))
    assert path.read_text() == "step,epoch,loss\n1,0,0.5\n"
    node = path.stat().st_ino
    log.add(path, row(2, loss="0.25"))
    assert path.read_text() == "step,epoch,loss\n1,0,0.5\n2,0,0.25\n"
    assert path.stat().st_ino == node  # the same file, not one written anew
    assert run_log.read_log(path) == [
        {"step": "1", "epoch": "0", "loss": "0.5"},
        {"step": "2", "epoch": "0", "loss": "0.25"},
    ]


def test_later_columns_are_blank_before(path):
    log = filled(path, row(1, loss="a"), row(2, loss="b", **{"eval/fid": "c"}), row(3, loss="d"))
    assert path.read_text() == "step,epoch,loss,eval/fid\n1,0,a,\n2,0,b,c\n3,0,d,\n"
    log.add(path, {"step": 4, "eval/fid": "e"})
    assert path.read_text().endswith("\n3,0,d,\n4,,,e\n")


def test_a_file_that_is_gone_is_written_whole(path):
    log = filled(path, row(1, loss="a"))
    path.unlink()
    log.add(path, row(2, loss="b"))
    assert path.read_text() == "step,epoch,loss\n1,0,a\n2,0,b\n"


def test_a_log_is_read_up_to_a_step(path):
    filled(path, *(row(step, loss=str(step)) for step in (1, 2, 3, 10)))
    log = run_log.Log()
    log.read(path, 3)
    assert [r["step"] for r in log.rows] == ["1", "2", "3"]
    assert path.read_text() == "step,epoch,loss\n1,0,1\n2,0,2\n3,0,3\n"
    log.add(path, row(4, loss="x", gap="y"))
    assert path.read_text().splitlines() == [
        "step,epoch,loss,gap",
        *("1,0,1,", "2,0,2,", "3,0,3,"),
        "4,0,x,y",
    ]


def test_a_log_with_nothing_left_has_no_file(path):
    filled(path, row(5, loss="a"))
    log = run_log.Log()
    log.read(path, 4)
    assert log.rows == [] and not path.exists()
    log.read(path, 9)  # none is none
    assert log.rows == [] and not path.exists()
    log.add(path, row(6, gap="b"))
    assert path.read_text() == "step,epoch,gap\n6,0,b\n"


@pytest.mark.parametrize("torn", ["2", "2,0", "2,0,", "2,0,0.2", "2,0,0.25,1", "2,0,0.25,"])
def test_a_torn_last_row_is_dropped(path, torn):
    """Also in the middle of its last number, which would be another one."""
    filled(path, row(1, loss="0.5", gap="7"))
    path.write_text(path.read_text() + torn)
    assert [r["step"] for r in run_log.read_log(path)] == ["1"]
    log = run_log.Log()
    log.read(path, 9)
    log.add(path, row(2, loss="0.25", gap="12"))
    assert path.read_text() == "step,epoch,loss,gap\n1,0,0.5,7\n2,0,0.25,12\n"


@pytest.mark.parametrize("odd", ["2,0,0.2", "2,0,0.25,12,3"])
def test_rows_of_another_length_are_dropped(path, odd):
    path.write_text(f"step,epoch,loss,gap\n{odd}\n3,0,1,2\n")
    assert [r["step"] for r in run_log.read_log(path)] == ["3"]


def test_no_file_has_no_rows(path):
    assert run_log.read_log(path) == []
    path.write_text("step,epoch,loss\n")
    assert run_log.read_log(path) == []


def test_a_series_leaves_out_what_is_blank():
    rows = [{"step": "1", "a": "0"}, {"step": "3", "a": ""}, {"step": "5"}, {"step": 7, "a": "2.5"}]
    steps, values = run_log.series(rows, "a")
    assert (steps.tolist(), values.tolist()) == ([1, 7], [0, 2.5])
    assert (steps.dtype.kind, values.dtype) == ("i", np.float64)
    assert [len(part) for part in run_log.series(rows, "b")] == [0, 0]


LOSS, FID = {"loss": "1"}, {"eval/fid_a": "2"}


@pytest.mark.parametrize(
    "rows, names",
    [
        ([LOSS], ["losses.png"]),
        ([FID], ["measures.png"]),
        ([LOSS, LOSS | FID | {"eval/kid_a": ""}], ["losses.png", "measures.png"]),
        ([{"seconds": "1"}], []),
        ([], []),
    ],
)
def test_plots_are_of_the_columns_there_are(tmp_path, rows, names):
    rows = [{"step": str(i), "epoch": "0", **r} for i, r in enumerate(rows)]
    assert run_log.plot_log(tmp_path, rows) == [tmp_path / name for name in names]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    heights = []
    for name in names:
        with Image.open(tmp_path / name) as image:
            assert image.format == "PNG" and np.ptp(np.asarray(image)) > 100
            heights.append(image.height)
    columns = {name for r in rows for name in r if name not in run_log.INDEX}
    assert sum(heights) == 200 * len(columns)  # a panel each


def test_a_plot_shows_its_column(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn = []
    monkeypatch.setattr(Axes, "plot", lambda self, x, y, **_: drawn.append((list(x), list(y))))
    rows = [{"step": "0", "loss": "0"}, {"step": "5", "loss": "3", "eval/fid": "9"}]
    run_log.plot_log(tmp_path, [*rows, {"step": "7", "loss": "6"}])
    assert drawn == [
        ([0, 5, 7], [0, 3, 6]),
        ([0, 5, 7], [1.5, 3, 4.5]),  # smoothed
        ([5], [9]),  # a measure is not
    ]


def test_smooth_by_hand():
    """The mean of three, of two at the ends."""
    found = run_log.smooth(np.array([0.0, 3.0, 6.0, 0.0, 9.0]))
    np.testing.assert_allclose(found, [1.5, 3, 3, 5, 4.5])
    assert run_log.smooth(np.array([4.0])).tolist() == [4]
    assert run_log.smooth(np.array([])).tolist() == []


def test_smooth_over_a_share_of_all():
    values = np.random.default_rng(0).normal(size=40)
    found = run_log.smooth(values, share=0.25)  # 5 on each side
    expected = [values[max(0, i - 5) : i + 6].mean() for i in range(40)]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(run_log.smooth(np.full(500, 3.0)), 3)
    spike = run_log.smooth(np.eye(400)[200])  # 2 % of 400 is 4 on each side
    np.testing.assert_allclose(
        spike[[195, 196, 200, 204, 205]], [0, 1 / 9, 1 / 9, 1 / 9, 0], atol=1e-12
    )
