"""Pictures of test mode, from a generator that paints its first two latents."""

from pathlib import Path

import imageio.v3 as iio
import keras
import numpy as np
import pytest
from PIL import Image

import console
import utils
from generation import sample, video
from runs import plots, recovery
from steering import latents, sweeps
from training import average, randomness


def painter(classes=0, channels=1):
    """Left half: latent 0; right half: latent 1; with labels, the bottom row is the class."""
    z = keras.Input((3,))
    inputs, rows = [z], keras.layers.RepeatVector(4)(z[:, :2])
    image = keras.layers.Reshape((4, 2, 1))(rows)
    if classes:
        y = keras.Input((classes,))
        inputs.append(y)
        number = keras.ops.sum(y * np.arange(classes) / classes, axis=-1, keepdims=True)
        band = keras.layers.Reshape((1, 2, 1))(keras.layers.RepeatVector(2)(number))
        image = keras.layers.Concatenate(axis=1)([image[:, :3], band])
    if channels > 1:
        image = keras.layers.Concatenate()([image] * channels)
    return keras.Model(inputs, image)


def sampler(folder, classes=0, channels=1, count=16, seed=0, label=None):
    return sample.Sampler(
        painter(classes, channels),
        randomness.uniform_latents,
        average.draw,
        sweep=(-1.0, 1.0),
        folder=folder,
        count=count,
        seed=seed,
        label=label,
        bound=1.0,
    )


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def frames(path):
    with Image.open(path) as film:
        found = []
        for i in range(film.n_frames):
            film.seek(i)
            found.append((np.asarray(film.convert("L")), film.info["duration"]))
    return found


@pytest.mark.parametrize(("classes", "channels"), [(0, 1), (0, 3), (5, 1)])
def test_every_option_writes_what_it_returns(tmp_path, classes, channels):
    expected = {None: 1, 0: 1, 1: 1 + 3, 2: 1 + 3, 3: 1 + 3, 4: 1 + 4, 5: 1 + 1 + 3}
    for option, count in expected.items():
        paths = list(sampler(tmp_path / str(option), classes, channels).all(option, 2))
        assert len(paths) == count + 2
        assert sorted(paths) == sorted((tmp_path / str(option)).iterdir())


def test_sheet_without_classes_is_square(tmp_path):
    assert read(*sampler(tmp_path).sheet()).shape == (16, 8)


def test_sheet_has_a_column_for_each_class(tmp_path):
    image = read(*sampler(tmp_path, classes=5, count=16).sheet())
    assert image.shape == (4 * 4, 5 * 2)  # 20 of them: the last row is filled up
    expected = utils.to_uint8(np.repeat(np.arange(5) / 5, 2).astype(np.float32))
    for row in range(4):
        np.testing.assert_array_equal(image[4 * row + 3], expected)


def test_sweep_runs_over_the_whole_range_of_one_latent(tmp_path):
    s = sampler(tmp_path)
    images = sweeps.sweep(s, 0)
    left = utils.to_uint8(np.linspace(-1, 1, 16))
    np.testing.assert_array_equal(images[:, 0, 0, 0], left)
    assert len(set(images[:, 0, 1, 0].tolist())) > 8  # the others are random


def test_draws_vary_one_latent_of_one_image(tmp_path):
    s = sampler(tmp_path, classes=5)
    paths = {p.name: p for p in sweeps.draws(s)}
    film = frames(paths["test_gif_0.gif"])
    assert len({int(f[0, 1]) for f, _ in film}) == 1
    assert len({int(f[0, 0]) for f, _ in film}) == 16
    assert len({int(f[3, 0]) for f, _ in film}) == 1  # and one label


def test_films_last_two_seconds_and_the_merged_one_eight(tmp_path):
    paths = {p.name: p for p in sweeps.merged(sampler(tmp_path))}
    seconds = sum(d for _, d in frames(paths["test_gif_1.gif"])[:-1])
    assert seconds == pytest.approx(2000 * 15 / 16, rel=0.1)
    merged = frames(paths["test_gif_merged.gif"])
    assert merged[0][0].shape == (4, 2 * 10)
    assert sum(d for _, d in merged) == pytest.approx(8000, rel=0.1)


def test_separate_images_do_not_depend_on_the_count(tmp_path):
    few = sampler(tmp_path / "a").separate(3)
    many = sampler(tmp_path / "b").separate(70)
    assert [p.name for p in few] == ["test_00000.png", "test_00001.png", "test_00002.png"]
    for a, b in zip(few, many):
        np.testing.assert_array_equal(read(a), read(b))
    assert len({read(p).tobytes() for p in many}) > 60


def test_same_seed_same_pictures(tmp_path):
    sheets = [read(*sampler(tmp_path, seed=s).sheet()) for s in (0, 0, 1)]
    np.testing.assert_array_equal(sheets[0], sheets[1])
    assert np.any(sheets[0] != sheets[2])


def test_option_0_draws_new_latents_every_time(tmp_path):
    s = sampler(tmp_path)
    (first,) = s.fresh_sheet()
    a = read(first)
    assert first.name.startswith("test_20")
    assert np.any(a != read(*s.sheet("other.png", s.z(99))))
    (second,) = s.fresh_sheet()
    assert np.any(a != read(second)) or first != second


def test_the_default_is_a_sheet(tmp_path):
    assert [p.name for p in sampler(tmp_path).all()] == ["test.png"]


def test_moves_show_one_image_and_the_latents_that_change_it_most(tmp_path, monkeypatch):
    """Latent 1 is painted at full contrast, latent 0 at half of it, and latent 2 not at all."""
    s = sampler(tmp_path, classes=5)
    full = s.draw
    s.draw = lambda generator, z, hot: full(generator, z * np.float32([0.5, 1, 1]), hot)
    pixels = 3 / 8 * 255  # of each half, above the row of the class
    found = sweeps.effects(s, s.z(latents.Purpose.MOVE, count=1))
    np.testing.assert_allclose(found, [pixels / 2, pixels, 0], rtol=0.01)
    monkeypatch.setattr(sweeps, "BLOCK", 2)
    np.testing.assert_array_equal(found, sweeps.effects(s, s.z(latents.Purpose.MOVE, count=1)))
    sheet, *films = sweeps.moves(s)
    assert [p.name for p in films] == [f"test_move_0{i}.gif" for i in (1, 2, 3)]
    image = read(sheet)[plots.HEAD :]  # below the numbers of the latents
    cell = (4 * 32, 2 * 32)  # 4x2 pixels become 128x64
    assert image.shape == (9 * cell[0], 3 * cell[1])
    columns = image.reshape(9, cell[0], 3, cell[1])[:, 0, :, :: cell[1] // 2]  # [9, 3, 2]
    np.testing.assert_array_equal(columns[:, 0, 1], utils.to_uint8(np.linspace(-1, 1, 9)))
    np.testing.assert_array_equal(columns[:, 1, 0], utils.to_uint8(np.linspace(-1, 1, 9) / 2))
    still = [columns[:, 0, 0], columns[:, 1, 1], columns[:, 2, 0], columns[:, 2, 1]]
    assert [len(set(c.tolist())) for c in still] == [1, 1, 1, 1]
    film = [f for f, _ in frames(films[0])]
    assert film[0].shape == (4 * 128, 2 * 128)
    np.testing.assert_array_equal(film, film[::-1])  # there and back


def test_a_seeds_image_does_not_depend_on_the_others(tmp_path):
    a = sampler(tmp_path / "a", classes=5, seed=1).of_seeds((3, 11))
    b = sampler(tmp_path / "b", classes=5, seed=1, count=4).of_seeds((11,))
    assert [p.name for p in a] == ["seed_0003.png", "seed_0011.png"]
    np.testing.assert_array_equal(read(a[1]), read(b[0]))
    assert np.any(read(a[0]) != read(a[1]))


def test_one_label(tmp_path):
    image = read(*sampler(tmp_path, classes=5, label="3").sheet())
    assert image.shape == (16, 8)
    assert set(image[3::4].ravel().tolist()) == {int(utils.to_uint8(np.float32(3 / 5)))}


@pytest.mark.parametrize("classes", [0, 3])
def test_a_label_that_the_generator_lacks(tmp_path, classes):
    for label in ("3", "-1", "cat", "9" * 30, "²"):
        with pytest.raises(console.Failed, match=f"--label={label}: this generator has"):
            sampler(tmp_path, classes=classes, label=label)


def test_a_label_is_a_name_or_else_a_number():
    names = ("1", "2", "10", "cat")
    found = [sample.class_number(label, 4, names) for label in ("1", "2", "10", "cat", "3", None)]
    assert found == [0, 1, 2, 3, 3, None]
    assert sample.class_number("2", 3, ()) == 2
    for label, hint in (("4", ""), ("Cat", " (did you mean cat?)"), ("0x2", "")):
        with pytest.raises(console.Failed) as error:
            sample.class_number(label, 4, names)
        assert str(error.value) == (
            f"--label={label}: this generator has the classes 1, 2, 10, cat{hint}"
        )


def test_a_sheet_has_the_names_of_its_classes(tmp_path):
    """They stand above columns of 16 pixels and more, and are cut off at the column's width."""
    s = sampler(tmp_path, classes=5)
    s.class_names = tuple("abcde")
    plain = read(*s.sheet())
    assert plain.shape == (16, 10)  # narrower
    grid = np.full((32, 80, 3), 7, np.uint8)
    named = plots.add_names(grid, ["cat", "", "W" * 99, "a\nb", "\udc80"])
    assert named.shape == (32 + plots.HEAD, 80, 3) and named.dtype == np.uint8
    np.testing.assert_array_equal(named[plots.HEAD :], grid)
    dark = [(named[: plots.HEAD, 16 * i : 16 * i + 16] < 128).any() for i in range(5)]
    assert dark == [True, False, True, True, True]
    assert (named[: plots.HEAD, [0, 15, 16, 31, 32, 47, 48]] == 255).all()
    assert plots.add_names(grid, ()) is grid
    drawn = [plots.add_names(grid[:, :32], [name])[: plots.HEAD].tobytes() for name in "äöß"]
    assert len({*drawn}) == 3  # and not a box for each
    assert plots.add_names(grid[:, :79], list("abcde")).shape == (32, 79, 3)


def test_interpolation_passes_through_the_seeds_and_comes_back(tmp_path):
    s = sampler(tmp_path)
    stops = [read(p).astype(int) for p in s.of_seeds((1, 2, 3))]
    paths = s.interpolation(6, (1, 2, 3))
    assert [p.suffix for p in paths[:2]] == [".gif", ".webp"]
    film = [f.astype(int) for f, _ in frames(paths[0])]
    assert len(film) == 18
    for i, stop in enumerate(stops):
        assert np.abs(film[6 * i] - stop).max() <= 1
    jumps = [np.abs(a - b).max() for a, b in zip(film, film[1:] + film[:1])]
    assert max(jumps) < 100
    assert read_size(s.interpolation(2)[0]) == (4 * 2, 4 * 4)


def read_size(path):
    with Image.open(path) as film:
        assert film.n_frames == 16
        return film.size


def test_an_interpolation_of_labelled_seeds_passes_through_their_images(tmp_path):
    s = sampler(tmp_path, classes=5)
    stops = [read(p).astype(int) for p in s.of_seeds((1, 3))]
    film = [f.astype(int) for f, _ in frames(s.interpolation(5, (1, 3))[0])]
    assert len(film) == 10
    for i, stop in enumerate(stops):
        assert np.abs(film[5 * i] - stop).max() <= 1


def test_a_fresh_sheet_leaves_the_seeds_images_alone(tmp_path):
    s = sampler(tmp_path)
    before = read(*s.of_seeds((4,)))
    s.fresh_sheet()
    np.testing.assert_array_equal(before, read(*s.of_seeds((4,))))


def test_mix_shows_the_images_between_rows_and_columns(tmp_path):
    """With labels also those in every class. A seed may be in the rows and in the columns."""
    s = sampler(tmp_path, classes=5)
    grids = {p.name: read(p).astype(int) for p in s.mix((1, 3), (3, 2, 4))}
    assert list(grids) == ["mix.png", "mix_classes.png"]
    cells = grids["mix.png"].reshape(3, 4, 4, 2).swapaxes(1, 2)  # [row, column, H, W]
    assert (cells[0, 0] == 255).all()
    alone = {n: read(p) for n, p in zip((1, 2, 3, 4), s.of_seeds((1, 2, 3, 4)))}
    found = [cells[1, 0], cells[2, 0], cells[0, 1], cells[0, 2], cells[0, 3], cells[2, 1]]
    for cell, seed in zip(found, (1, 3, 3, 2, 4, 3)):
        np.testing.assert_array_equal(cell, alone[seed])
    one, four = (s._seeded([seed])[0] for seed in (1, 4))
    middle = latents.slerp(one, four, 0.5)
    np.testing.assert_array_equal(cells[1, 3][0], utils.to_uint8(middle[:2]))
    assert set(cells[1, 3][3].tolist()) == {int(utils.to_uint8(np.float32((1 + 4) / 2 / 5)))}
    classes = grids["mix_classes.png"].reshape(5, 4, 5, 2).swapaxes(1, 2)
    for row, seed in enumerate((1, 3, 3, 2, 4)):
        np.testing.assert_array_equal(classes[row, :, :3], np.stack([alone[seed][:3]] * 5))
    bands = utils.to_uint8(np.arange(5, dtype=np.float32) / 5)[None, :, None]
    np.testing.assert_array_equal(classes[:, :, 3], np.broadcast_to(bands, (5, 5, 2)))
    for name, other in (("a", {}), ("b", {"classes": 17}), ("c", {"classes": 5, "label": "3"})):
        assert [p.name for p in sampler(tmp_path / name, **other).mix((1,), (2,))] == ["mix.png"]


def test_latents_of_a_file_are_used_as_those_of_seeds(tmp_path):
    s = sampler(tmp_path, label=None)
    np.save(tmp_path / "z.npy", s._seeded((3, 11)))
    z = latents.read_latents(tmp_path / "z.npy", 3)
    paths = list(s.all(z=z, steps=4))
    names = ["test.png", "latent_0000.png", "latent_0001.png", "interpolation.gif"]
    assert [p.name for p in paths[:4]] == names
    for path, seeded in zip(paths[1:], s.of_seeds((3, 11))):
        np.testing.assert_array_equal(read(path), read(seeded))
    film = [f for f, _ in frames(paths[3])]
    seeded = [f for f, _ in frames(s.interpolation(4, (3, 11))[0])]
    assert len(film) == 8
    np.testing.assert_array_equal(film, seeded)
    for array in (np.arange(3), np.arange(3.0)[None], np.arange(3, dtype=">f8")):
        np.save(tmp_path / "z.npy", array)
        found = latents.read_latents(tmp_path / "z.npy", 3)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, [[0, 1, 2]])


def test_a_file_without_latents_of_the_generator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(latents, "MAX_LATENTS", 4)
    np.savez("arrays.npz", a=np.zeros((2, 3)))
    Path("text.npy").write_text("1 2 3")
    Path("empty.npy").write_bytes(b"")
    np.save("whole.npy", np.zeros((2, 3)))
    Path("cut.npy").write_bytes(Path("whole.npy").read_bytes()[:-8])
    np.save("pickle.npy", np.array([[1, 2, "x"]], object))
    for name, array in (
        ("nan", [[0, np.nan, 1]]),
        ("large", [[0, 1e300, 1]]),
        ("complex", [[1j, 0, 0]]),
        ("text", [["1", "2", "3"]]),
        ("none", np.zeros((0, 3))),
        ("many", np.zeros((5, 3))),
        ("other", np.zeros((2, 4))),
        ("single", np.zeros(4)),
        ("number", 1.0),
        ("images", np.zeros((2, 3, 1))),
    ):
        np.save(f"{name}_.npy", array)
    paths = [*map(str, Path().glob("*.np*")), "absent.npy", "."]
    paths.remove("whole.npy")
    assert len(paths) == 17
    for path in paths:
        with pytest.raises(console.Failed, match=f"--latents={path}") as error:
            latents.read_latents(path, 3)
        assert len(str(error.value).splitlines()) == 1 and str(error.value)[-1] != " "


def test_slerp():
    a, b = np.array([[3.0, 0.0]]), np.array([[0.0, 1.0]])
    np.testing.assert_allclose(latents.slerp(a, b, 0), a, atol=1e-12)
    np.testing.assert_allclose(latents.slerp(a, b, 1), b, atol=1e-12)
    np.testing.assert_allclose(latents.slerp(a, b, 0.5), [[2**0.5, 2**0.5]])  # length 2, at 45°
    np.testing.assert_allclose(latents.slerp(a, 2 * a, 0.5), [[4.5, 0.0]])
    pairs = np.concatenate([a, a, 0 * a]), np.concatenate([2 * a, b, a])  # each by itself
    expected = [[4.5, 0.0], [2**0.5, 2**0.5], [1.5, 0.0]]
    np.testing.assert_allclose(latents.slerp(*pairs, 0.5), expected)


@pytest.mark.parametrize("here", [True, False])
def test_a_video_if_av_is_installed(tmp_path, monkeypatch, here):
    written = []
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: {"av": here or None}[name])
    monkeypatch.setattr(iio, "imwrite", lambda p, f, **k: (p.touch(), written.append((f, k))))
    path = video.save_video(tmp_path / "a.mp4", [np.full((5, 4, 1), 7, np.uint8)] * 3, 12)
    assert path == (tmp_path / "a.mp4" if here else None)
    assert len(written) == here
    for frames, options in written:
        assert frames.shape == (3, 6, 4, 3)
        assert (frames == 7).all()  # an edge repeated
        assert options == {"plugin": "pyav", "codec": "libx264", "fps": 12}


def test_a_row_and_a_film_for_each_direction(tmp_path):
    """Direction 2 moves latent 1, on the right; direction 1 moves latent 2, which is not seen."""
    s = sampler(tmp_path, classes=5)
    vectors = np.float32([[0, 0, 1], [0, 1, 0]])
    paths = list(s.all(directions=(vectors, {2: "smile"})))
    assert [p.name for p in paths] == ["test.png", "directions.png"] + [
        f"direction_0{n}.gif" for n in (1, 2)
    ]
    sheet = read(paths[1])
    width = sheet.shape[1] - 9 * 64  # of the names of the rows
    assert sheet.shape[0] == plots.HEAD + 2 * 128 and 20 < width < 60
    heads = sheet[plots.HEAD :, :width].reshape(2, 128, width) < 128
    assert heads[1].sum() > 2 * heads[0].sum() > 0  # "2 smile", "1"
    cells = sheet[plots.HEAD :, width:].reshape(2, 128, 9, 64)[:, 0, :, ::32]  # [2, 9, 2]
    base = s.z(latents.Purpose.DIRECTION, count=16)
    moved = np.clip(base[0, 1] + np.linspace(-2, 2, 9, dtype=np.float32), -1, 1)
    np.testing.assert_array_equal(cells[1, :, 1], utils.to_uint8(moved))
    for still in (cells[0, :, 0], cells[0, :, 1], cells[1, :, 0]):
        assert len(set(still.tolist())) == 1
    film = [f for f, _ in frames(paths[3])]
    assert film[0].shape == (4 * 96, 4 * 48)  # 16 images of 4x2, enlarged by 24
    np.testing.assert_array_equal(film, film[::-1])
    labels = film[0].reshape(4, 4, -1, 4, 48)[:, 3, 0, :, 0]  # the bottom rows
    np.testing.assert_array_equal(
        labels.ravel(), utils.to_uint8(np.arange(16, dtype=np.float32) % 5 / 5)
    )
    for path in paths[1:]:
        assert recovery.PICTURES.fullmatch(path.name)
    assert not recovery.PICTURES.fullmatch("directions.txt")  # it has a user's names


def test_a_shift_moves_all_latents_within_their_bound(tmp_path):
    s = sampler(tmp_path)
    z = s.z(latents.Purpose.SHEET)
    plain = s.images(z)
    s.shift = np.float32([0.5, 0, 9])
    moved = s.images(z)
    np.testing.assert_array_equal(moved[:, 0, 0, 0], utils.to_uint8(np.clip(z[:, 0] + 0.5, -1, 1)))
    np.testing.assert_array_equal(moved[:, 0, 1], plain[:, 0, 1])
    s.bound, z[:, 0] = None, -3
    assert set(s.images(z)[:, 0, 0, 0].tolist()) == {0}
