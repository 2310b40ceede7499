"""The plots of metrics.csv, and their smooth curves."""

import numpy as np
import pytest
from PIL import Image

from runs.log import INDEX, MAX_COLUMNS, plotted
from runs.plots import about, log_threshold, save_plots, series, smooth


def test_a_series_skips_blank_cells():
    rows = [{"step": "1", "a": "0"}, {"step": "3", "a": ""}, {"step": "5"}, {"step": 7, "a": "2.5"}]
    steps, values = series(rows, "a")
    assert (steps.tolist(), values.tolist()) == ([1, 7], [0, 2.5])
    assert (steps.dtype.kind, values.dtype) == ("i", np.float64)
    assert [len(part) for part in series(rows, "b")] == [0, 0]


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
def test_there_is_a_panel_for_each_column(tmp_path, rows, names):
    rows = [{"step": str(i), "epoch": "0", **r} for i, r in enumerate(rows)]
    assert save_plots(tmp_path, rows) == [tmp_path / name for name in names]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    heights = []
    for name in names:
        with Image.open(tmp_path / name) as image:
            assert image.format == "PNG" and np.ptp(np.asarray(image)) > 100
            heights.append(image.height)
    columns = {name for r in rows for name in r if name not in INDEX}
    assert sum(heights) == 220 * len(columns) + 60 * len(names)  # pixels


def test_a_plot_shows_its_column(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn = []
    marks = []

    def plot(_, x, y, marker="", **__):
        drawn.append((list(x), list(y)))
        marks.append(marker)

    monkeypatch.setattr(Axes, "plot", plot)
    rows = [{"step": "0", "loss": "0"}, {"step": "5", "loss": "3", "eval/fid": "9"}]
    save_plots(tmp_path, [*rows, {"step": "7", "loss": "6"}])
    assert drawn == [
        ([0, 5, 7], [0, 3, 6]),
        ([0, 5, 7], [1.5, 3, 4.5]),  # smoothed
        ([5], [9]),  # a measure is not
    ]
    save_plots(tmp_path, rows[:1])
    assert marks == ["", "", ".", "", "."]  # a single point is seen


def test_smooth_by_hand():
    """The mean of three values, and of two at the ends."""
    np.testing.assert_allclose(smooth(np.array([3.0] * 7)), [3.0] * 7)
    np.testing.assert_allclose(smooth(np.array([0.0, 3.0, 6.0])), [1.5, 3.0, 4.5])
    found = smooth(np.array([0.0, 3.0, 6.0, 0.0, 9.0]))
    np.testing.assert_allclose(found, [1.5, 3, 3, 5, 4.5])
    assert smooth(np.array([4.0])).tolist() == [4]
    assert smooth(np.array([])).tolist() == []


def test_smooth_over_a_fraction_of_all():
    values = np.random.default_rng(0).normal(size=40)
    found = smooth(values, fraction=0.25)  # 5 on each side
    expected = [values[max(0, i - 5) : i + 6].mean() for i in range(40)]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(smooth(np.full(500, 3.0)), 3)
    spike = smooth(np.eye(400)[200])  # 2 % of 400 is 4 on each side
    np.testing.assert_allclose(
        spike[[195, 196, 200, 204, 205]], [0, 1 / 9, 1 / 9, 1 / 9, 0], atol=1e-12
    )


def test_a_foreign_log_is_plotted_as_far_as_possible(tmp_path):
    """Thousands of columns make a picture that is too tall, and 1e308 overflows."""
    values = {f"c{i}": str(i) for i in range(3000)}
    rows = [{"step": str(i), "a": "1e308", "b": "-inf", **values} for i in range(3)]
    assert len(plotted(rows)) == MAX_COLUMNS
    assert [len(part) for part in series(rows, "a") + series(rows, "b")] == [0, 0, 0, 0]
    save_plots(tmp_path, [{"step": row["step"], "a": row["a"], "b": "nan"} for row in rows])
    assert (tmp_path / "losses.png").exists()


@pytest.mark.parametrize("name", ["critic_loss", "wasserstein", "penalty", "cycle_A", "eval/fid_x"])
def test_columns_are_explained(name):
    assert about(name) and about("") == about("no_such") == ""
    assert about("eval/kid_deviation_x") != about("eval/kid_x")


def test_a_start_that_dwarfs_the_rest_has_a_logarithmic_axis():
    falling = np.concatenate([[5000.0, 800.0], np.linspace(9, 1, 40)])
    assert 4 < log_threshold(falling) < 6
    assert log_threshold(-falling) == log_threshold(falling)
    for flat in (np.linspace(100, 1, 42), np.zeros(42), falling[:19]):
        assert log_threshold(flat) is None
