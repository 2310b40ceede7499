"""Projection: closed forms of linear generators, and the pictures and files of test mode."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import console
import utils
from commands import generate
from evaluation import extractors
from generation import Failed, load, sample
from generation.photos import read_photos
from runs import plots
from steering import latents, pictures, projection
from tests.conftest import ROOT
from training import average, randomness

DRAWS = {1.0: randomness.uniform_latents, None: randomness.normal_latents}


def linear(columns, patterns=()):
    """A generator of 4x4 images: latents [N, 3] times `columns` [3, 16], plus that of the class."""
    z = keras.Input((3,))
    inputs, x = [z], keras.layers.Dense(16, use_bias=False, name="latents")(z)
    if len(patterns):
        y = keras.Input((len(patterns),))
        inputs.append(y)
        x += keras.layers.Dense(16, use_bias=False, name="labels")(y)
    network = keras.Model(inputs, keras.layers.Reshape((4, 4, 1))(x))
    network.get_layer("latents").set_weights([columns])
    if len(patterns):
        network.get_layer("labels").set_weights([patterns])
    return network


def sampler(network, folder=".", bound=1.0, label=None, seed=0):
    return sample.Sampler(
        network,
        DRAWS[bound],
        average.draw,
        sweep=(-1.0, 1.0),
        folder=folder,
        count=4,
        seed=seed,
        label=label,
        bound=bound,
    )


@pytest.fixture(scope="module")
def columns():
    """Three orthogonal directions [3, 16] of different lengths."""
    rows = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 3)))[0].T
    return (rows * [[0.4], [0.6], [0.8]]).astype(np.float32)


@pytest.fixture(scope="module")
def targets(columns):
    """Images that no latent of `columns` has: with noise, and of values beyond 1."""
    z = np.float32([[1.8, -0.5, 0.2], [-0.3, -1.7, 0.6], [0.5, 0.2, -0.9]])
    noise = np.random.default_rng(1).uniform(-0.1, 0.1, (3, 16))
    return utils.to_uint8(z @ columns + noise).reshape(3, 4, 4, 1)


def least_squares(columns, targets):
    return np.linalg.lstsq(columns.T, utils.to_float(targets).reshape(-1, 16).T)[0].T


@pytest.mark.parametrize("bound", [1.0, None])
def test_the_latents_of_a_linear_generator_are_the_least_squares(columns, targets, bound):
    """Its columns are orthogonal, so uniform latents are the least squares, clipped to ±1."""
    s, calls = sampler(linear(columns), bound=bound), []
    found = projection.project(
        s, targets, steps=120, restarts=2, progress=lambda *call: calls.append(call)
    )
    best = least_squares(columns, targets)
    expected = best if bound is None else np.clip(best, -1, 1)
    assert np.abs(best).max() > 1.5 and np.linalg.norm(best, axis=1).max() < 3
    np.testing.assert_allclose(found.latents, expected, atol=2e-3)
    assert found.labels is None and found.latents.dtype == np.float32
    np.testing.assert_array_equal(found.images, s.images(found.latents))
    np.testing.assert_allclose(found.psnr, projection.psnr(found.images, targets))
    np.testing.assert_array_equal(found.path[-1], found.latents)
    assert len(found.path) == projection.FRAMES and found.path.shape[1:] == (3, 3)
    low = np.count_nonzero(found.psnr < projection.ENOUGH)  # they are searched twice
    again = [(360 + low * n, 360 + low * 120) for n in range(1, 121)] if low else []
    assert calls == [(3 * n, 360) for n in range(1, 121)] + again


def test_far_images_are_searched_once_more(columns, monkeypatch):
    """From other latents; the nearer result is kept, with its search."""
    pools = np.float32([[[0.9, -0.9, 0.5]], [[-0.7, 0.8, -0.9]]])
    monkeypatch.setattr(projection, "draw", lambda sampler, attempt: pools[attempt])
    s, calls = sampler(linear(columns)), []
    images = s.images(np.concatenate([*pools, np.float32([[0.3, -0.5, -0.5]])]))
    found = projection.project(s, images, steps=1, progress=lambda *call: calls.append(call))
    assert calls == [(3, 3), (5, 5)]
    monkeypatch.setattr(projection, "ATTEMPTS", 1)
    single = []
    for pool in pools:
        monkeypatch.setattr(projection, "draw", lambda *_, pool=pool: pool)
        single.append(projection.project(s, images, steps=1))
    kept = [0, 1, int(np.argmax([one.psnr[2] for one in single]))]
    assert found.psnr[:2].min() > projection.ENOUGH > found.psnr[2]
    for i, one in enumerate(kept):
        assert single[one].psnr[i] > single[1 - one].psnr[i]
        np.testing.assert_allclose(found.path[:, i], single[one].path[:, i], atol=1e-6)
    np.testing.assert_array_equal(found.images, s.images(found.latents))


def test_latents_stay_plausible():
    z = np.float32([[3, 4], [0.3, 0.4]])
    np.testing.assert_allclose(projection.plausible(z, 1.0), [[1, 1], [0.3, 0.4]])
    length = 2**0.5 + projection.MARGIN
    expected = [[0.6 * length, 0.8 * length], [0.3, 0.4]]
    np.testing.assert_allclose(projection.plausible(z, None), expected, rtol=1e-6)
    drawn = np.array(randomness.normal_latents(np.int32([0, 1]), (1000, 128)))
    kept = projection.plausible(drawn, None) == drawn
    assert 0.99 < kept.all(1).mean() < 1


def test_the_signal_to_noise_ratio():
    a = np.full((3, 4, 4, 1), 100, np.uint8)
    b = a + np.uint8([[[[0]]], [[[1]]], [[[155]]]])
    np.testing.assert_allclose(
        projection.psnr(a, b), [np.inf, 20 * np.log10(255), 20 * np.log10(255 / 155)]
    )


def test_labels_are_found_or_given(columns, monkeypatch):
    """More classes than are tried, and more photos than a block has."""
    monkeypatch.setattr(projection, "CLASSES", 3)
    monkeypatch.setattr(projection, "ROWS", 16)
    patterns = np.random.default_rng(2).uniform(-0.4, 0.4, (5, 16)).astype(np.float32)
    s = sampler(linear(0.3 * columns, patterns))
    z, labels = s.z(latents.Purpose.SHEET, count=4), np.array([4, 0, 3, 1])
    images = s.images(z, labels)
    found = projection.project(s, images, steps=80, restarts=2)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.latents, z, atol=0.05)  # pixels have 256 levels
    assert found.psnr.min() > 45
    given = np.array([1, 1, 3, 3])
    other = projection.project(s, images, labels=given, steps=80, restarts=2)
    np.testing.assert_array_equal(other.labels, given)
    assert (other.psnr > 45).tolist() == [False, False, True, False]
    again = projection.project(s, images, labels=given, steps=80, restarts=2)
    assert again.latents.tobytes() == other.latents.tobytes()
    seeded = projection.project(sampler(s.generator, seed=1), images[:1], steps=1, restarts=1)
    assert (seeded.path[0] != found.path[0, :1]).any()


@pytest.mark.parametrize("shape", [(28, 28, 3), (12, 10, 1)])
def test_features_have_gradients(shape):
    """They are those that images are measured by, also of another size and other channels."""
    import tensorflow as tf

    extractor = extractors.random_cnn((28, 28, 1))
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    x = tf.constant(utils.to_float(images))
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = extractor.of(x)
        total = tf.reduce_sum(found[0])
    np.testing.assert_allclose(found, extractor(images)[0], rtol=1e-5, atol=1e-5)
    gradient = tape.gradient(total, x).numpy()
    move = gradient / np.linalg.norm(gradient) / 100
    change = extractor.of(x + move).numpy()[0] - extractor.of(x - move).numpy()[0]
    np.testing.assert_allclose(change.sum() / 2, (gradient * move).sum(), rtol=0.02)
    assert not gradient[1].any()


def test_features_and_pixels_count_by_their_variance(columns, targets):
    """A feature that is a pixel draws the latents to that pixel's own value, by its weight."""
    s = sampler(linear(columns), bound=None)
    search = projection._Search(s, lambda x: 3 * x[:, 0, :1, 0], 2, 1)
    pixels, features = (np.asarray(term) for term in search.make(*search.inputs(search.pool, None)))
    np.testing.assert_array_equal(features, 3 * pixels[:, :1])
    first = pixels[: search.chunk]
    scales = first.var(0).mean(), 9 * first.var(0)[0] / projection.WEIGHT
    np.testing.assert_allclose(search.scales, scales, rtol=1e-4)
    aim = search.terms(utils.to_float(targets[:1]))
    found = search.distances([np.asarray(term) for term in aim], search.pool[:9], np.zeros(9, int))
    errors = np.square(pixels[:9] - utils.to_float(targets[:1]).reshape(1, 16))
    expected = errors.mean(1) / scales[0] + 9 * errors[:, 0] / scales[1]
    np.testing.assert_allclose(found[0], expected, rtol=1e-3)
    repeated = [np.repeat(term, 9, 0) for term in aim]
    np.testing.assert_allclose(
        search.descent_of(search.pool[:9], np.zeros(9, int), repeated)[0], expected, rtol=1e-3
    )


def read(path):
    return utils.read_image(Path(path))


def test_photos_are_above_their_projections(tmp_path, columns, monkeypatch):
    """Ten photos are two pairs of rows; the rest of the second is white. The film ends with it."""
    monkeypatch.setattr(pictures, "PHOTOS", 10)
    s = sampler(linear(columns), tmp_path)
    photos = s.images(s.z(latents.Purpose.SHEET, count=11))
    found = projection.project(s, photos, steps=2, restarts=1)
    assert len(found.path) == 3
    sheet, film = pictures.write_projection(s, photos, found)
    assert (sheet.name, film.name) == ("projection.png", "projection.gif")
    grid = read(sheet)[..., 0]
    assert len(grid) == 2 * (plots.HEAD + 128)
    cells = [grid[y + plots.HEAD : y + plots.HEAD + 128, -512:] for y in (0, len(grid) // 2)]
    cells = np.stack(cells)[:, 8::16, 8::16].reshape(2, 2, 4, 8, 4).swapaxes(2, 3)
    for row, images in enumerate((photos, found.images)):
        shown = cells[:, row].reshape(16, 4, 4)
        np.testing.assert_array_equal(shown[:10], images[:10, ..., 0])
        assert (shown[10:] == 255).all()
    with Image.open(film) as opened:
        assert opened.n_frames == 3 and opened.size == (512, 256)
        opened.seek(2)
        last = np.asarray(opened.convert("L"))[8::16, 8::16].reshape(2, 2, 4, 8, 4)
    np.testing.assert_array_equal(last.swapaxes(2, 3), cells)


@pytest.fixture
def brief(monkeypatch):
    """Searches of four updates from eight latents."""
    monkeypatch.setattr(projection, "STEPS", 4)
    monkeypatch.setattr(projection, "POOL", 8)
    monkeypatch.setattr(projection, "RESTARTS", 1)


def test_the_latents_of_photos_are_drawn_again(cli, brief):
    """With their labels, and as in Python. Photos have any size, colours and kind of file."""
    Path("photos/more").mkdir(parents=True)
    g = load("mnist")
    digits = g.sample(3, label=7, seed=5)
    wide = Image.new("RGB", (38, 28))
    wide.paste(Image.fromarray(digits[0, ..., 0]).convert("RGB"), (5, 0))  # the centre
    wide.save("photos/1.png")
    Image.fromarray(digits[1, ..., 0]).save("photos/more/2.webp", lossless=True)
    Path("photos/3.png").write_bytes(b"x" * 99)
    words = ("--dataset", "mnist", "--batch_size", 2, "--seed", 4)
    status, out, err = cli(*words, "--project", "photos", "--truncation", 0.7)
    assert (status, err) == (0, ""), err
    folder = Path("samples/mnist_64_28_28")
    lines = out.splitlines()
    for name in ("latent.npy", "latent_labels.npy", "projection.png", "projection.gif", "test.png"):
        assert str(folder / name) in lines and (folder / name).is_file()
    assert "note: --truncation does not change the projections" in lines
    assert "the centre crop cuts away 13 % of a picture on average" in out
    assert "skipped 1 of 3 photos: 3.png (" in out
    z, labels = np.load(folder / "latent.npy"), np.load(folder / "latent_labels.npy")
    steps = {"steps": 4, "restarts": 1}
    found = g.project(digits[:2], seed=4, **steps)
    np.testing.assert_array_equal(found.latents, z)
    np.testing.assert_array_equal(found.labels, labels)
    for name, value, label in zip(("1.png", "more/2.webp"), found.psnr, labels):
        assert f"{name}: PSNR {value:.1f} dB, class {label}" in lines
    status, out, _ = cli(*words, "--latents", folder / "latent.npy", "--interpolate", 1)
    assert f"the labels of these latents are those in {folder / 'latent_labels.npy'}" in out
    for i, image in enumerate(found.images):
        np.testing.assert_array_equal(read(folder / f"latent_{i:04d}.png"), image)
    with Image.open(folder / "interpolation.gif") as film:
        np.testing.assert_array_equal(np.asarray(film.convert("L")), found.images[0, ..., 0])
    # A label of the call holds for the search, and for the drawing.
    assert cli(*words, "--project", "photos/1.png", "--label", 3)[0] == 0
    assert np.load(folder / "latent_labels.npy").tolist() == [3]
    np.testing.assert_array_equal(
        np.load(folder / "latent.npy"), g.project(digits[:1], 3, seed=4, **steps).latents
    )
    np.save("z.npy", z)
    np.save("z_labels.npy", [3, 11])
    status, _, err = cli(*words, "--latents", "z.npy")
    assert status == 1 and "z_labels.npy must have a class from 0 to 9 for each of the 2" in err
    status, out, _ = cli(*words, "--latents", "z.npy", "--label", 7)
    assert status == 0 and "labels" not in out


def test_photos_that_cannot_be_read(cli, brief):
    words = ("--dataset", "faces", "--arch", "pggan", "--project")
    Path("photos").mkdir()
    Path("photo.png").write_bytes(b"\x89PNG")
    for name, line in (
        ("photo.png", "none of 1 photos can be read: photo.png ("),
        ("none.png", "no image or folder none.png"),
        ("photos", "no images (.jpg .png"),
    ):
        status, _, err = cli(*words, name)
        assert status == 1 and err.count("\n") == 1 and line in err, err
    assert not Path("samples/faces_16_32_32_pggan/latent.npy").exists()
    Image.new("L", (9, 70), 40).save("photo.png")  # a gray photo for a generator of colours
    status, out, err = cli(*words, "photo.png", "--move", "1=1")
    assert (status, err) == (0, ""), err
    assert "note: --move does not change the projections" in out
    assert not Path("samples/faces_16_32_32_pggan/latent_labels.npy").exists()
    z = np.load("samples/faces_16_32_32_pggan/latent.npy")
    photo = np.full((1, 32, 32, 3), 40, np.uint8)
    found = load("faces_16_32_32_pggan").project(photo, steps=4, restarts=1)
    np.testing.assert_array_equal(z, found.latents)


def test_what_is_told_of_photos(tmp_path, monkeypatch):
    """Each deep photo has its own range of values. Too many pixels are refused, as on the page."""
    for i, level in enumerate((900, 3000)):
        image = np.full((4, 4), level, np.uint16)
        image[0] = 0
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    line = "16-bit pictures: values 0 to 1023 become 0 to 255"
    assert read_photos(tmp_path / "0.png", (4, 4, 1))[2] == [line]
    assert read_photos(tmp_path, (4, 4, 1))[2] == [
        "16-bit pictures: each has its own range of values"
    ]
    line = "16-bit pictures: values 0 to 4095 become 0 to 255"
    assert read_photos(tmp_path, (4, 4, 1), value_range=[0, 4095])[2] == [line]
    Image.new("L", (12, 12)).save(tmp_path / "2.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    names, _, lines = read_photos(tmp_path, (4, 4, 1))
    assert names == ["0.png", "1.png"]
    assert "skipped 1 of 3 photos: 2.png (Image size (144 pixels) exceeds limit of 100" in lines[-1]


def test_many_photos_are_one_line():
    """Also if some come back without any error."""
    psnr = np.array([20.0, 25.25, *[np.inf] * 10])
    empty = np.zeros((12, 0))
    found = projection.Projection(empty, None, empty, psnr, empty)
    assert [*generate._found_lines(["a"] * 12, found, ())] == [
        "12 photos: PSNR 20.0 to inf dB, median inf dB"
    ]


def test_wrong_arguments():
    g = load(ROOT / "pretrained/mnist_64_28_28")
    images = g.sample(1)
    for wrong in (images[0], images[:0], images / 255, images.repeat(3, -1), [1]):
        with pytest.raises(Failed, match=r"^images must be uint8 \[N, 28, 28, 1\], N at least 1"):
            g.project(wrong)
    for name, value in (("steps", 0), ("restarts", 0), ("restarts", 513), ("seed", -1)):
        with pytest.raises(Failed, match=f"^{name}={value} must be a whole number from"):
            g.project(images, **{name: value})
    with pytest.raises(Failed, match=r"^label=10: this generator has the classes 0, 1"):
        g.project(images, label=10)


def test_labels_that_do_not_belong_to_the_latents(tmp_path):
    path = tmp_path / "z.npy"
    assert latents.read_labels(path, 2, 5) is None
    latents.write_latents(path, np.zeros((2, 3), np.float32), np.array([4, 0]))
    np.testing.assert_array_equal(latents.read_labels(path, 2, 5), [4, 0])
    assert latents.read_labels(path, 2, 0) is None
    for count, classes in ((3, 5), (2, 4)):
        with pytest.raises(console.Failed, match=r"z_labels.npy must have a class from 0 to "):
            latents.read_labels(path, count, classes)
    beside = tmp_path / "z_labels.npy"
    for wrong in ([-1, 0], [0.0, 1.0], [[0, 1]], ["a", "b"]):
        np.save(beside, wrong)
        with pytest.raises(console.Failed, match=r"z_labels.npy must have a class from 0 to 4"):
            latents.read_labels(path, 2, 5)
    beside.write_bytes(b"x")
    with pytest.raises(console.Failed, match=r"^cannot read .*z_labels.npy: "):
        latents.read_labels(path, 2, 5)
