"""metrics.csv: rows are added, read and cut."""

import pytest

from runs.log import MetricsLog, read_log


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


def filled(path, *rows):
    """Add each row to a file; return the log."""
    log = MetricsLog()
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
    assert path.stat().st_ino == node  # appended, not rewritten
    assert read_log(path) == [
        {"step": "1", "epoch": "0", "loss": "0.5"},
        {"step": "2", "epoch": "0", "loss": "0.25"},
    ]


def test_a_new_column_is_blank_in_earlier_rows(path):
    log = filled(path, row(1, loss="a"), row(2, loss="b", **{"eval/fid": "c"}), row(3, loss="d"))
    assert path.read_text() == "step,epoch,loss,eval/fid\n1,0,a,\n2,0,b,c\n3,0,d,\n"
    log.add(path, {"step": 4, "eval/fid": "e"})
    assert path.read_text().endswith("\n3,0,d,\n4,,,e\n")


def test_a_deleted_file_is_rewritten_with_all_rows(path):
    log = filled(path, row(1, loss="a"))
    path.unlink()
    log.add(path, row(2, loss="b"))
    assert path.read_text() == "step,epoch,loss\n1,0,a\n2,0,b\n"


def test_a_log_is_read_up_to_a_step(path):
    filled(path, *(row(step, loss=str(step)) for step in (1, 2, 3, 10)))
    log = MetricsLog()
    log.read(path, 3)
    assert [r["step"] for r in log.rows] == ["1", "2", "3"]
    assert path.read_text() == "step,epoch,loss\n1,0,1\n2,0,2\n3,0,3\n"
    log.add(path, row(4, loss="x", gap="y"))
    assert path.read_text().splitlines() == [
        "step,epoch,loss,gap",
        *("1,0,1,", "2,0,2,", "3,0,3,"),
        "4,0,x,y",
    ]


def test_a_log_without_rows_has_no_file(path):
    filled(path, row(5, loss="a"))
    log = MetricsLog()
    log.read(path, 4)
    assert log.rows == [] and not path.exists()
    log.read(path, 9)  # no file
    assert log.rows == [] and not path.exists()
    log.add(path, row(6, gap="b"))
    assert path.read_text() == "step,epoch,gap\n6,0,b\n"


@pytest.mark.parametrize("torn", ["2", "2,0", "2,0,", "2,0,0.2", "2,0,0.25,1", "2,0,0.25,"])
def test_a_torn_last_row_is_dropped(path, torn):
    """Also if it is torn inside the last number, which could still be read."""
    filled(path, row(1, loss="0.5", gap="7"))
    path.write_text(path.read_text() + torn)
    assert [r["step"] for r in read_log(path)] == ["1"]
    log = MetricsLog()
    log.read(path, 9)
    log.add(path, row(2, loss="0.25", gap="12"))
    assert path.read_text() == "step,epoch,loss,gap\n1,0,0.5,7\n2,0,0.25,12\n"


@pytest.mark.parametrize("odd", ["2,0,0.2", "2,0,0.25,12,3"])
def test_rows_of_another_length_are_dropped(path, odd):
    path.write_text(f"step,epoch,loss,gap\n{odd}\n3,0,1,2\n")
    assert [r["step"] for r in read_log(path)] == ["3"]


def test_no_file_has_no_rows(path):
    assert read_log(path) == []
    path.write_text("step,epoch,loss\n")
    assert read_log(path) == []
