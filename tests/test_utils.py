"""Pictures: cropping, loading, conversion, grids, image files, animations."""

import gc
import io
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageMode

import utils

ROOT = Path(__file__).parents[1]
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def blocks(rows, side=1):
    """An RGB image of the colours `rows`, each a square of `side` pixels."""
    return Image.fromarray(np.array(rows, np.uint8).repeat(side, 0).repeat(side, 1))


def reopened(image, kind, **options):
    """Write an image in a format, and return what Pillow reads back."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return Image.open(io.BytesIO(stream.getvalue()))


def pixels(image, channels=3, **options):
    """Load an image at its own size, and return its pixels as nested lists."""
    return utils.load_image(image, (image.height, image.width), channels, **options).tolist()


@pytest.mark.parametrize("module", ["utils", "datasets.packed", "datasets.known"])
def test_import_is_light(module):
    code = f"import sys, {module}; print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# ---- crop_box

BOXES = {
    "as it is": ((64, 64, (64, 64), None), (0, 0, 64, 64)),
    "wide": ((100, 50, (64, 64), None), (25, 0, 75, 50)),
    "tall": ((50, 100, (64, 64), None), (0, 25, 50, 75)),
    "wide target": ((90, 90, (10, 30), None), (0, 30, 90, 60)),
    "tall target": ((90, 90, (30, 10), None), (30, 0, 60, 90)),
    "odd": ((5, 4, (2, 2), None), (0.5, 0, 4.5, 4)),
    "odd target": ((10, 7, (3, 2), None), (8 / 3, 0, 22 / 3, 7)),
    "smaller than the target": ((8, 6, (48, 48), None), (1, 0, 7, 6)),
    "crop": ((178, 218, (64, 64), (108, 108)), (35, 55, 143, 163)),
    "crop of another shape": ((100, 100, (64, 64), (80, 40)), (30, 30, 70, 70)),
    "odd crop": ((10, 10, (5, 5), (5, 5)), (2.5, 2.5, 7.5, 7.5)),
    "crop as large": ((96, 96, (48, 48), (96, 96)), (0, 0, 96, 96)),
    "crop larger": ((60, 40, (32, 32), (256, 256)), (10, 0, 50, 40)),
    "crop wider only": ((60, 40, (32, 32), (20, 256)), (20, 10, 40, 30)),
}


@pytest.mark.parametrize("given, box", BOXES.values(), ids=BOXES)
def test_crop_box(given, box):
    assert utils.crop_box(*given) == pytest.approx(box, abs=1e-9)


def test_crop_box_is_centred_and_has_the_targets_aspect_ratio():
    for width, height, th, tw, ch, cw in np.random.default_rng(0).integers(1, 300, (200, 6)):
        left, top, right, bottom = utils.crop_box(width, height, (th, tw), (ch, cw))
        assert left > -1e-6 and top > -1e-6
        assert (left + right, top + bottom) == pytest.approx((width, height))
        assert (right - left) / (bottom - top) == pytest.approx(tw / th)
        fills = (right - left) / min(width, cw), (bottom - top) / min(height, ch)
        assert max(fills) == pytest.approx(1)


# ---- load_image

QUADRANTS = [[RED, GREEN], [BLUE, YELLOW]]


@pytest.mark.parametrize(
    "width, height, crop",
    [
        (30, 10, None),
        (10, 30, None),
        (31, 11, None),
        (11, 31, None),
        (5, 5, None),
        (31, 11, (5, 5)),
        (11, 31, (5, 5)),
        (30, 12, (6, 6)),
        (9, 9, (99, 99)),
    ],
)
def test_load_keeps_the_centre_pixel(width, height, crop):
    image = Image.new("RGB", (width, height))
    image.putpixel((width // 2, height // 2), WHITE)
    side = min(width, height, *crop or ())
    loaded = utils.load_image(image, (side, side), 3, crop)
    assert loaded.shape == (side, side, 3) and loaded.dtype == np.uint8
    assert np.argwhere(loaded.any(-1)).tolist() == [[side // 2] * 2]
    assert loaded.max() == 255


@pytest.mark.parametrize("pad", [(0, 0), (40, 0), (0, 40)], ids=["square", "wide", "tall"])
def test_load_keeps_the_quadrants(pad):
    whole = Image.new("RGB", (40 + pad[0], 40 + pad[1]))
    whole.paste(blocks(QUADRANTS, 20), (pad[0] // 2, pad[1] // 2))
    loaded = utils.load_image(whole, (8, 8), 3)
    corners = loaded[[[1, 1], [-2, -2]], [[1, -2], [1, -2]]]
    assert corners.tolist() == [list(map(list, row)) for row in QUADRANTS]


def test_load_crop_takes_the_exact_centre_pixels():
    array = noise(20, 30, 3)
    loaded = utils.load_image(Image.fromarray(array), (6, 8), 3, (6, 8))
    np.testing.assert_array_equal(loaded, array[7:13, 11:19])


def test_load_crop_then_resizes():
    image = Image.new("RGB", (30, 30), BLUE)
    image.paste(Image.new("RGB", (10, 10), RED), (10, 10))
    assert (utils.load_image(image, (5, 5), 3, (10, 10))[1:-1, 1:-1] == RED).all()
    assert (utils.load_image(image, (5, 5), 3)[0, 0] == BLUE).all()


def test_load_averages_when_it_shrinks():
    checker = np.indices((40, 40)).sum(0) % 2 * 255
    loaded = utils.load_image(Image.fromarray(checker.astype(np.uint8)), (4, 4), 1)
    np.testing.assert_allclose(loaded, 127.5, atol=1)


def test_load_enlarges():
    loaded = utils.load_image(blocks(QUADRANTS), (6, 6), 3)
    assert loaded.shape == (6, 6, 3)
    np.testing.assert_array_equal(loaded[0, 0], RED)
    np.testing.assert_array_equal(loaded[-1, -1], YELLOW)


def test_load_of_a_non_square_size():
    ramp = np.arange(60, dtype=np.uint8)[None].repeat(20, 0)
    loaded = utils.load_image(Image.fromarray(ramp), (20, 10), 1)
    assert loaded.shape == (20, 10, 1)
    assert loaded[0, :, 0].tolist() == list(range(25, 35))


def palette_image(transparent=False):
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    return reopened(image, "PNG", **({"transparency": 1} if transparent else {}))


def sixteen_bits(*values):
    return reopened(Image.fromarray(np.array([values], np.uint16)), "PNG")


def one_row(mode, *values):
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


GRAY_OF_RED, GRAY_OF_BLUE = 76, 29  # ITU-R 601: 0.299 and 0.114 of 255
MODES = {
    "gray": (lambda: one_row("L", 0, 7, 255), [0, 7, 255]),
    "colour": (lambda: one_row("RGB", RED, BLUE), [GRAY_OF_RED, GRAY_OF_BLUE], [RED, BLUE]),
    "bits": (lambda: one_row("1", 0, 255), [0, 255]),
    "palette": (palette_image, [GRAY_OF_RED, GRAY_OF_BLUE], [RED, BLUE]),
    "palette, transparent": (
        lambda: palette_image(True),
        [GRAY_OF_RED, 255],
        [RED, WHITE],
    ),
    "gray, one transparent": (
        lambda: reopened(one_row("L", 5, 9), "PNG", transparency=9),
        [5, 255],
    ),
    "RGBA": (
        lambda: one_row("RGBA", (*RED, 255), (*RED, 0), (0, 0, 0, 51)),
        [GRAY_OF_RED, 255, 204],
        [RED, WHITE, (204, 204, 204)],
    ),
    "premultiplied": (
        lambda: one_row("RGBA", (*RED, 255), (0, 0, 0, 51)).convert("RGBa"),
        [GRAY_OF_RED, 204],
        [RED, (204, 204, 204)],
    ),
    "LA": (lambda: one_row("LA", (40, 255), (40, 0), (0, 51)), [40, 255, 204]),
    "CMYK": (
        lambda: one_row("CMYK", (0, 0, 0, 0), (0, 0, 0, 255), (0, 255, 255, 0)),
        [255, 0, GRAY_OF_RED],
        [WHITE, BLACK, RED],
    ),
    "16 bits": (lambda: sixteen_bits(0, 257, 33020, 65535), [0, 1, 128, 255]),
    "16 bits holding 8": (lambda: sixteen_bits(0, 100, 200), [0, 100, 200]),
    "16 bits holding 12": (lambda: sixteen_bits(0, 273, 3900), [0, 17, 243]),  # / 4095 * 255
    "32 bits holding 8": (lambda: one_row("I", 0, 200, 255), [0, 200, 255]),
    "32 bits holding 9": (lambda: one_row("I", 0, 256, 511), [0, 128, 255]),
    "32 bits holding 20": (lambda: one_row("I", 0, 65535, 10**6), [0, 16, 243]),
    "32 bits below 0": (lambda: one_row("I", -255, 0, 255), [0, 128, 255]),
    "floats": (lambda: one_row("F", -50.0, 0.0, 205.0), [0, 50, 255]),
    "floats up to 1": (lambda: one_row("F", 0.25, 0.5, float("nan")), [64, 128, 0]),
}


@pytest.mark.parametrize(
    "make, gray, colour", [(*row, None)[:3] for row in MODES.values()], ids=MODES
)
def test_load_of_every_mode(make, gray, colour):
    colour = colour or [(v, v, v) for v in gray]
    assert pixels(make(), 1) == [[[v] for v in gray]]
    assert pixels(make(), 3) == [list(map(list, colour))]


UPRIGHT = [[RED, GREEN, BLUE], [YELLOW, BLACK, WHITE]]
TURNS = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_load_turns_upright(orientation, tmp_path):
    stored, exif = blocks(UPRIGHT), Image.Exif()
    if orientation > 1:
        stored = stored.transpose(TURNS[orientation])
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    loaded = utils.load_image(tmp_path / "a.png", (2, 3), 3)
    assert loaded.tolist() == [list(map(list, row)) for row in UPRIGHT]


def test_load_takes_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), c) for c in (RED, BLUE)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (utils.load_image(tmp_path / "a.gif", (4, 4), 3) == RED).all()


def smooth_jpeg(path, width=640, height=480):
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([x * 255 / width, y * 255 / height, 128 + 0 * x], -1)
    Image.fromarray(rgb.astype(np.uint8)).save(path, quality=95)
    return path


def test_a_large_jpeg_is_decoded_for_the_size_it_has_upright(tmp_path, monkeypatch):
    """A wide file that stands upright by EXIF would else be decoded too small, and enlarged."""
    exif, seen, to_mode = Image.Exif(), [], utils.to_mode
    exif[0x0112] = 6
    Image.fromarray(noise(500, 2000, 3)).save(tmp_path / "a.jpg", exif=exif)
    monkeypatch.setattr(utils, "to_mode", lambda i, c: seen.append(i.size) or to_mode(i, c))
    utils.load_image(tmp_path / "a.jpg", (32, 128), 3)
    utils.load_image(tmp_path / "a.jpg", (128, 32), 3)
    assert seen == [(2000, 500), (500, 125)]


def test_load_decodes_large_jpegs_small(tmp_path, monkeypatch):
    path, seen = smooth_jpeg(tmp_path / "a.jpg"), []
    to_mode = utils.to_mode
    monkeypatch.setattr(utils, "to_mode", lambda i, c: seen.append(i.size) or to_mode(i, c))
    utils.load_image(path, (48, 48), 3)
    utils.load_image(path, (48, 48), 3, (400, 400))
    assert seen == [(160, 120), (640, 480)]  # the box to crop is in whole pixels


def test_a_jpeg_decoded_small_is_close_to_one_decoded_whole(tmp_path):
    path = smooth_jpeg(tmp_path / "a.jpg")
    small = utils.load_image(path, (48, 48), 3).astype(int)
    whole = utils.load_image(Image.open(path), (48, 48), 3)
    np.testing.assert_allclose(small, whole, atol=3)


@pytest.mark.parametrize("body", [b"", b"text", None], ids=["empty", "text", "cut"])
def test_load_raises_on_an_unreadable_file(tmp_path, body):
    path = tmp_path / "a.png"
    Image.fromarray(noise(40, 40, 3)).save(path)
    path.write_bytes(path.read_bytes()[:2000] if body is None else body)
    with pytest.raises((OSError, SyntaxError)):
        utils.load_image(path, (8, 8), 3)


@pytest.mark.parametrize("size", [(24, 80), (60, 20)], ids=["wide", "tall"])
def test_load_decodes_at_twice_the_size_or_more(tmp_path, monkeypatch, size):
    """640x480 at a quarter: an eighth would be 80x60, less than twice the size."""
    path, seen = smooth_jpeg(tmp_path / "a.jpg"), []
    to_mode = utils.to_mode
    monkeypatch.setattr(utils, "to_mode", lambda i, c: seen.append(i.size) or to_mode(i, c))
    utils.load_image(path, size, 3)
    assert seen[0] == (160, 120)


def test_large_pictures_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    held, to_mode, path = [], utils.to_mode, tmp_path / "a.png"

    def watched(image, channels):
        held.append(utils._LARGE_LOCK.locked())
        return to_mode(image, channels)

    Image.fromarray(noise(12, 20, 3)).save(path)
    call = (path, (4, 6), 1, (9, 15))
    want = utils.load_image(*call)
    monkeypatch.setattr(utils, "to_mode", watched)
    for most in (240, 239):
        monkeypatch.setattr(utils, "LARGE", most)
        np.testing.assert_array_equal(utils.load_image(*call), want)
    assert held == [False, True]


def test_load_crops_an_image_of_the_size_wanted():
    image = Image.new("L", (8, 8))
    image.paste(200, (2, 2, 6, 6))
    assert (utils.load_image(image, (8, 8), 1, (4, 4))[1:-1, 1:-1] == 200).all()


def test_load_resizes_bilinearly():
    """The new pixels' centres are at 1/4, 3/4, 5/4, 7/4; the old ones' are at 1/2 and 3/2."""
    loaded = utils.load_image(one_row("L", 0, 255), (2, 4), 1)
    assert loaded[0, :, 0].tolist() == [0, 64, 191, 255]


def test_all_rows_of_sixteen_bits_become_eight():
    stored = np.arange(200, dtype=np.uint16)[:, None] * 257
    image = reopened(Image.fromarray(stored), "PNG")
    assert utils.load_image(image, (200, 1), 1).ravel().tolist() == list(range(200))
    assert utils.to_8_bits(np.float32([[0.5], [3]]), (0, 2)).tolist() == [[64], [255]]


@pytest.mark.parametrize(
    ("blocks", "found"),
    [
        ([np.uint16([0, 255])], (0, 255)),
        ([np.uint16([3]), np.uint16([256])], (0, 511)),
        ([np.uint16([4095])], (0, 4095)),
        ([np.uint16([4096])], (0, 8191)),
        ([np.uint16([65535])], (0, 65535)),
        ([np.uint16([0, 1])], (0, 1)),
        ([np.int64([0, 31])], (0, 31)),
        ([np.int64([0, 32])], (0, 255)),
        ([np.uint16([0, 0])], (0, 255)),
        ([np.int8([-128, 127])], (-128, 127)),
        ([np.int32([-7, 0])], (-7, 0)),
        ([np.int32([-7, -3])], (-7, 0)),
        ([np.uint64([2**63])], (0, 2**64 - 1)),
        ([np.float32([0, 0.5])], (0, 1)),
        ([np.float32([-1, 0.5]), np.float32([np.nan, np.inf])], (-1, 0.5)),
        ([np.float32([2, 2])], (2, 3)),
        ([np.float32([np.nan])], (0, 1)),
        ([], (0, 255)),
    ],
)
def test_find_range(blocks, found):
    assert utils.find_range(blocks) == found


def test_formats_that_start_another_program_are_not_opened():
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "EPS")
    assert stream.getvalue().startswith(b"%!PS")
    with pytest.raises(OSError, match="cannot identify"):
        utils.open_image(stream)


def test_gray_modes_are_all_gray_modes_of_pillow():
    for mode in {*Image.MODES, *utils.GRAY_MODES}:
        assert (mode in utils.GRAY_MODES) == (ImageMode.getmode(mode).basemode == "L"), mode


# ---- to_float, to_uint8, to_pillow and grids


@pytest.mark.parametrize(
    "value, byte", [(-1, {0}), (1, {255}), (0, {127, 128}), (-7, {0}), (7, {255}), (0.5, {191})]
)
def test_to_uint8_of_constant_images(value, byte):
    images = utils.to_uint8(np.full((2, 3, 3, 1), value, np.float32))
    assert images.dtype == np.uint8 and images.shape == (2, 3, 3, 1)
    assert len(np.unique(images)) == 1 and images[0, 0, 0, 0] in byte


def test_to_float_maps_the_range():
    found = utils.to_float(np.array([0, 51, 204, 255], np.uint8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [-1, -0.6, 0.6, 1], rtol=1e-6)


def test_to_float_of_a_tensor_is_a_tensor_with_the_same_bits():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    found = utils.to_float(tf.constant(every))
    assert isinstance(found, tf.Tensor) and found.dtype == tf.float32
    np.testing.assert_array_equal(found.numpy(), utils.to_float(every))


def test_to_uint8_inverts_to_float():
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(utils.to_uint8(utils.to_float(every)), every)


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB")])
def test_to_pillow(channels, mode):
    image = noise(5, 1, channels)
    found = utils.to_pillow(image)
    assert (found.mode, found.size) == (mode, (1, 5))
    np.testing.assert_array_equal(np.asarray(found).reshape(image.shape), image)


@pytest.mark.parametrize("classes, columns", [(0, None), (1, None), (2, 2), (16, 16), (17, None)])
def test_class_columns(classes, columns):
    assert utils.class_columns(classes) == columns


def test_grid_is_row_major():
    cells = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    assert utils.make_grid(cells, 3)[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_grid_keeps_each_image_whole():
    images = noise(5, 4, 6, 3)
    grid = utils.make_grid(images, 2)
    for i, image in enumerate(images):
        row, column = divmod(i, 2)
        part = grid[4 * row : 4 * row + 4, 6 * column : 6 * column + 6]
        np.testing.assert_array_equal(part, image)


@pytest.mark.parametrize(
    "shape, columns, size",
    [
        ((64, 28, 28, 1), None, (224, 224, 1)),
        ((64, 48, 48, 3), None, (384, 384, 3)),
        ((1, 8, 8, 1), None, (8, 8, 1)),
        ((2, 8, 8, 1), None, (8, 16, 1)),
        ((10, 8, 8, 3), None, (24, 32, 3)),
        ((100, 8, 6, 3), 10, (80, 60, 3)),
        ((3, 8, 6, 3), 5, (8, 30, 3)),
    ],
)
def test_grid_size(shape, columns, size):
    assert utils.make_grid(np.zeros(shape, np.uint8), columns).shape == size


def test_grid_is_black_where_images_are_missing():
    grid = utils.make_grid(np.full((5, 2, 2, 1), 255, np.uint8))  # 2 rows of 3
    assert (grid[2:, 4:] == 0).all()
    assert grid.dtype == np.uint8 and (grid == 255).sum() == 5 * 4


# ---- image files


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB")])
def test_save_image(tmp_path, channels, mode):
    image = noise(5, 7, channels)
    path = utils.save_image(tmp_path / "b" / "a.png", image)
    assert path == tmp_path / "b" / "a.png" and os.listdir(path.parent) == ["a.png"]
    with Image.open(path) as file:
        assert (file.format, file.mode) == ("PNG", mode)
        np.testing.assert_array_equal(np.asarray(file).reshape(image.shape), image)


@pytest.mark.parametrize("channels", [1, 3])
def test_read_image(tmp_path, channels):
    image = noise(5, 7, channels)
    np.testing.assert_array_equal(
        utils.read_image(utils.save_image(tmp_path / "a.png", image)), image
    )


# ---- animations


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_an_animation_that_cannot_be_written_is_one_error(tmp_path, capsys, suffix):
    """Nothing is printed, also when the garbage is collected, and no part of the file stays."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
    try:
        with pytest.raises(OSError, match=f"^cannot write .*/a.{suffix}: File too large"):
            utils.save_animation(tmp_path / f"a.{suffix}", noise(2, 40, 40, 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    gc.collect()
    assert capsys.readouterr().err == ""
    assert os.listdir(tmp_path) == []


def read_animation(path):
    """Return (frames as RGB arrays, their milliseconds, number of rounds; 0 means for ever)."""
    frames, times = [], []
    with Image.open(path) as file:
        for i in range(getattr(file, "n_frames", 1)):
            file.seek(i)
            frames.append(np.asarray(file.convert("RGB")).astype(int))
            times.append(file.info.get("duration", 0))
        return frames, times, file.info.get("loop")


def flat_frames(count, channels, side=16):
    """Frames of one value each; every frame differs from its neighbours."""
    values = np.linspace(0, 255, count).astype(np.uint8) if count > 1 else np.array([90], np.uint8)
    return np.broadcast_to(values[:, None, None, None], (count, side, side + 4, channels)).copy()


@pytest.mark.parametrize("suffix", ["gif", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_animation_frames(tmp_path, suffix, channels, count):
    frames = flat_frames(count, channels)
    path = utils.save_animation(tmp_path / f"a.{suffix}", frames)
    shown, _, loop = read_animation(path)
    assert path == tmp_path / f"a.{suffix}" and os.listdir(tmp_path) == [f"a.{suffix}"]
    assert [f.shape for f in shown] == [(16, 20, 3)] * count
    for frame, image in zip(shown, frames):
        np.testing.assert_allclose(frame, np.broadcast_to(image, frame.shape), atol=3)
    assert loop == 0 or count == 1


@pytest.mark.parametrize("side", [2, 3])
def test_animation_of_frames_as_narrow_as_channels(tmp_path, side):
    frames = list(noise(3, 8, side, 1))
    shown, _, _ = read_animation(utils.save_animation(tmp_path / "a.gif", frames))
    assert [f.shape for f in shown] == [(8, side, 3)] * 3


@pytest.mark.parametrize(
    "suffix, channels, slack",
    [("gif", 1, 0), ("gif", 3, 6), ("webp", 1, 2), ("webp", 3, 4)],
)
def test_animation_is_near_its_frames(tmp_path, suffix, channels, slack):
    y, x = np.mgrid[:64, :64] * 4
    frames = np.stack([np.stack(f[:channels], -1) for f in ((y, x, 0 * x), (x, y, x))])
    path = utils.save_animation(tmp_path / f"a.{suffix}", frames.astype(np.uint8))
    errors = [np.abs(f - image).mean() for f, image in zip(read_animation(path)[0], frames)]
    assert len(errors) == 2 and max(errors) <= slack


@pytest.mark.parametrize("suffix", ["gif", "webp"])
@pytest.mark.parametrize(
    "count, options, times",
    [
        (3, {}, [100, 100, 1100]),
        (4, {"seconds": 2.0}, [500, 500, 500, 1500]),
        (4, {"seconds": 2.0, "hold": 0}, [500] * 4),
        (2, {"hold": 3.0}, [100, 3100]),
        (2, {"seconds": 0.01, "hold": 0}, [20, 20]),
    ],
)
def test_animation_times(tmp_path, suffix, count, options, times):
    path = utils.save_animation(tmp_path / f"a.{suffix}", flat_frames(count, 1), **options)
    assert read_animation(path)[1:] == (times, 0)


@pytest.mark.parametrize("count, seconds, total", [(64, 2, 2), (30, 4, 4), (7, 1, 1), (150, 1, 3)])
def test_animation_lasts_as_long_as_asked(tmp_path, count, seconds, total):
    path = utils.save_animation(tmp_path / "a.gif", flat_frames(count, 1, 2), seconds, hold=0)
    times = read_animation(path)[1]
    assert (len(times), sum(times)) == (count, 1000 * total)
    assert min(times) >= 20  # a browser shows what is shorter for 100 ms
    assert max(times) - min(times) <= 10


# ---- enlarge and side_by_side


def test_two_images_side_by_side():
    left, right = np.zeros((2, 3, 1), np.uint8), np.full((4, 1, 1), 7, np.uint8)
    both = utils.side_by_side(left, right, gap=2)
    assert both.shape == (4, 6, 1)
    assert both[..., 0].tolist()[1] == [0, 0, 0, 255, 255, 7]
    assert both[..., 0].tolist()[3] == [255] * 5 + [7]


def test_enlarge_repeats_pixels():
    small = np.arange(6).reshape(1, 2, 3, 1)
    large = utils.enlarge(small, (9, 5, 6, 1))  # row i of 5 shows row 2i/5
    assert large.shape == (1, 5, 6, 1)
    rows = [[0, 0, 1, 1, 2, 2]] * 3 + [[3, 3, 4, 4, 5, 5]] * 2
    assert large[0, ..., 0].tolist() == rows
    assert utils.enlarge(small[0], (2, 3, 1)).tolist() == small[0].tolist()


def test_the_taller_of_two_images_gives_the_height():
    both = utils.side_by_side(np.zeros((5, 3, 1), np.uint8), np.full((2, 1, 1), 7, np.uint8))
    assert both.shape == (5, 3 + 8 + 1, 1)
    assert both[1, :, 0].tolist() == [0] * 3 + [255] * 8 + [7]
    assert both[4, :, 0].tolist() == [0] * 3 + [255] * 9


def test_texts_in_a_png(tmp_path):
    image = np.full((2, 2, 1), 7, np.uint8)
    path = utils.save_image(tmp_path / "a.png", image, {"step": "12"})
    assert utils.read_text(path) == {"step": "12"}
    np.testing.assert_array_equal(utils.read_image(path), image)
    assert utils.read_text(utils.save_image(tmp_path / "b.png", image)) == {}
    (tmp_path / "c.png").write_bytes(b"no picture")
    assert utils.read_text(tmp_path / "c.png") == utils.read_text(tmp_path / "absent.png") == {}
