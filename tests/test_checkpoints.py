"""How long the best checkpoint has been the best."""

import json

import pytest

from runs import checkpoints

SETTINGS = {"best_by": "fid", "extractor": "a", "eval_samples": 100}
BEST = {"step": 4, "samples": 100, "fid_a": 2.0, "kid_a": 0.1, "kid_deviation_a": 0.1, "swd": 5.0}


def plateau(folder, steps, best=BEST, settings=SETTINGS, blank=()):
    """The plateau after evaluations at these steps, of which some have failed."""
    (folder / "measures.json").write_text(json.dumps(best))
    (folder / "config.json").write_text(json.dumps(SETTINGS))
    rows = [{"step": "3", "loss": "1.0"}]
    rows += [{"step": str(n), "eval/fid_a": "" if n in blank else "3.0"} for n in steps]
    return checkpoints.find_plateau(folder, rows, settings)


def test_a_plateau_begins_at_the_best_checkpoint(tmp_path):
    found = plateau(tmp_path, (2, 4, 5, 7, 10))
    assert found == checkpoints.Plateau("fid_a", 4, 0.6)
    text = "fid_a has not improved since update 4, for 60 % of the updates so far"
    assert str(found) == text and found.note.startswith(f"{text}. The folder best in")
    # 3 of 7 updates, and then a third of them, less an update
    assert plateau(tmp_path, (4, 5, 6, 7)).share == pytest.approx(3 / 7)
    assert plateau(tmp_path, (20, 26, 28, 30), {**BEST, "step": 20}).note
    assert plateau(tmp_path, (20, 26, 28, 29), {**BEST, "step": 20}).note == ""


@pytest.mark.parametrize(
    "given",
    [
        {"steps": (4, 5, 6)},  # two evaluations
        {"steps": (4, 5, 6, 7), "blank": (6,)},  # one has failed
        {"best": {}},
        {"best": {"fid_a": 2.0}},
        {"best": {"step": 4, "kid_a": 2.0}},
        {"best": {**BEST, "step": 12}},  # in a run that went back
        {"settings": {**SETTINGS, "best_by": "kid"}},
        {"settings": {**SETTINGS, "extractor": "b"}},
        {"settings": {}},
    ],
)
def test_what_is_no_plateau(tmp_path, given):
    assert plateau(tmp_path, (4, 5, 6, 7, 8)) is not None
    assert plateau(tmp_path, **{"steps": (4, 5, 6, 7, 8), **given}) is None


def test_the_name_of_the_deciding_measure():
    names = dict.fromkeys(("fid_x", "kid_deviation_x", "kid_x", "swd_16", "swd"), 1.0)
    found = [checkpoints.deciding(names, by) for by in ("fid", "kid", "swd", "x")]
    assert found == ["fid_x", "kid_x", "swd", None]
