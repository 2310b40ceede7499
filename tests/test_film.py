"""The film of a training: which frames stay, and how large it gets."""

import itertools

import numpy as np
import pytest
from PIL import Image

from runs import film, recovery


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "frames").mkdir()
    return tmp_path


def add_frames(folder, steps):
    """Add a frame for each step; return the steps whose frames are there then."""
    for step in steps:
        film.add_frame(folder, step, np.zeros((4, 4, 1), np.uint8), 1)
    return [int(path.stem) for path in film.frame_paths(folder)]


def test_frames_are_few_and_span_the_run(folder):
    steps = add_frames(folder, range(500))
    assert film.MAX_FRAMES / 2 <= len(steps) <= film.MAX_FRAMES
    assert (steps[0], steps[-1]) == (0, 499)


def test_large_frames_are_made_smaller(folder):
    film.add_frame(folder, 1, np.zeros((1024, 512, 3), np.uint8), 1)
    with Image.open(film.frame_paths(folder)[0]) as frame:
        assert frame.size == (256, 512)


def test_frames_that_are_broken_or_of_other_channels_are_left_out(folder):
    for step, channels in enumerate((3, 1, 3, 3)):
        film.add_frame(folder, step, np.full((4, 4, channels), step, np.uint8), 1)
    film.frame_paths(folder)[2].write_bytes(b"no picture")
    assert [(path.stem, image.max()) for path, image in film.load_frames(folder)] == [
        ("00000000", 0),
        ("00000003", 3),
    ]


def test_an_animation_stays_under_its_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(film, "MAX_BYTES", 40_000)
    rng = np.random.default_rng(0)
    path = tmp_path / "training.gif"
    film.save_animation(path, list(rng.integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)))
    assert 5_000 < path.stat().st_size < 40_000


def test_a_run_that_returns_to_a_checkpoint_has_the_same_film(tmp_path, monkeypatch):
    monkeypatch.setattr(film, "MAX_FRAMES", 8)
    all_steps = range(0, 400, 4)
    folders = [tmp_path / name for name in "abcde"]
    for folder in folders:
        (folder / "frames").mkdir(parents=True)
    whole = add_frames(folders[0], all_steps)
    assert len(whole) <= 8
    assert (whole[0], whole[-1]) == (0, 396)
    for folder, (back, killed) in zip(folders[1:], ((8, 16), (20, 64), (100, 399), (200, 210))):
        add_frames(folder, range(0, killed, 4))
        recovery.delete_after(folder, folder, folder, back)
        assert add_frames(folder, range(back + 4, 400, 4)) == whole


@pytest.mark.parametrize(
    ("every", "count", "expected"),
    [
        (200, 59, 59),
        (200, 61, 31),  # every second one, the newest among them
        (50, 59, 59),
        (3, 40, 40),
    ],
)
def test_the_frames_are_evenly_spaced(every, count, expected):
    left = sorted(film.select_steps([every * i for i in range(count)], every))
    assert len(left) == expected
    assert len({b - a for a, b in itertools.pairwise(left)}) == 1


@pytest.mark.parametrize("every", [200, 50, 6, 7])
def test_frames_by_time_displace_none_by_updates(every):
    """They come at any step. A film of the regular frames alone has no other regular frames."""
    rng = np.random.default_rng(0)
    for last in (3, 40, 300):
        regular = [every * i for i in range(last)]
        odd = rng.choice(every * last, last, replace=False).tolist()
        steps = sorted({*regular, *odd})
        selected = film.select_steps(steps, every)
        assert film.select_steps(regular, every) - {regular[-1]} <= selected
        assert len(selected) <= film.MAX_FRAMES
        assert max(selected) == steps[-1]
