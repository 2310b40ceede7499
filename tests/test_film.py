"""The film of a training: which frames are kept, and how large it gets."""

import itertools

import numpy as np
import pytest
from PIL import Image

from runs import film as films
from runs import recovery


@pytest.fixture
def home(tmp_path):
    (tmp_path / "frames").mkdir()
    return tmp_path


def steps_kept(home, steps):
    """The steps of the frames, once each of `steps` has had one."""
    for step in steps:
        films.keep(home, step, np.zeros((4, 4, 1), np.uint8), 1)
    return [int(path.stem) for path in recovery.frames(home)]


def test_frames_are_few_and_span_the_run(home):
    steps = steps_kept(home, range(500))
    assert films.MAX_FRAMES / 2 <= len(steps) <= films.MAX_FRAMES
    assert (steps[0], steps[-1]) == (0, 499)


def test_large_frames_are_made_smaller(home):
    films.keep(home, 1, np.zeros((1024, 512, 3), np.uint8), 1)
    with Image.open(recovery.frames(home)[0]) as frame:
        assert frame.size == (256, 512)


def test_frames_that_are_broken_or_of_other_channels_are_left_out(home):
    for step, channels in enumerate((3, 1, 3, 3)):
        films.keep(home, step, np.full((4, 4, channels), step, np.uint8), 1)
    recovery.frames(home)[2].write_bytes(b"no picture")
    assert [(path.stem, image.max()) for path, image in films.frames(home)] == [
        ("00000000", 0),
        ("00000003", 3),
    ]


def test_an_animation_stays_under_its_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(films, "MAX_BYTES", 40_000)
    rng = np.random.default_rng(0)
    path = tmp_path / "training.gif"
    films.save(path, list(rng.integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)))
    assert 5_000 < path.stat().st_size < 40_000


def test_the_film_is_the_same_after_a_return(tmp_path, monkeypatch):
    monkeypatch.setattr(films, "MAX_FRAMES", 8)
    all_steps = range(0, 400, 4)
    homes = [tmp_path / name for name in "abcde"]
    for home in homes:
        (home / "frames").mkdir(parents=True)
    whole = steps_kept(homes[0], all_steps)
    assert len(whole) <= 8
    assert (whole[0], whole[-1]) == (0, 396)
    for home, (back, killed) in zip(homes[1:], ((8, 16), (20, 64), (100, 399), (200, 210))):
        steps_kept(home, range(0, killed, 4))
        recovery.forget(home, home, back)
        assert steps_kept(home, range(back + 4, 400, 4)) == whole


@pytest.mark.parametrize(
    ("every", "count", "kept"),
    [
        (200, 59, 59),
        (200, 61, 31),  # every second, and the newest among them
        (50, 59, 59),
        (3, 40, 40),
    ],
)
def test_the_film_is_even(every, count, kept):
    left = sorted(films.kept([every * i for i in range(count)], every))
    assert len(left) == kept
    assert len({b - a for a, b in itertools.pairwise(left)}) == 1
