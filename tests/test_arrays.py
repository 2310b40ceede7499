"""Pictures in .npy and .npz files."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import console
import main
import utils
from commands import devices
from config.resolve import resolve
from datasets import folders, packed

pytestmark = pytest.mark.usefixtures("limited")

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
LABELS = np.array([1, 0, 1, 0, 1])


def load(name="set.npy", size=(8, 8), **given):
    options = {"reader": folders.read_folder, "data_dir": "data", "cache_dir": "cache", **given}
    return packed.load(str(name), size=size, workers=2, **options)


def put(array, name="set.npy"):
    np.save(name, array)
    return load(name)


def test_bytes_are_taken_as_they_are(capsys):
    for array, channels in ((COLOUR, 3), (COLOUR[..., :1], 1), (COLOUR[..., 0], 1)):
        data = put(array)
        assert isinstance(data.images, np.memmap)
        np.testing.assert_array_equal(data.images, array.reshape(5, 8, 8, channels))
        assert data.spec == packed.ImageSpec(8, 8, channels, 5, 0)
    assert capsys.readouterr().out == "" and os.listdir() == ["set.npy"]


def test_other_sizes_are_packed_as_pictures_are():
    data = put(COLOUR) and load(size=(4, 6), crop=(6, 6))
    expected = [utils.load_image(Image.fromarray(image), (4, 6), 3, (6, 6)) for image in COLOUR]
    np.testing.assert_array_equal(data.images, expected)


def test_the_fingerprint_is_that_of_the_pictures():
    """A copy in another place, or of another time, is the same data set."""
    first = put(COLOUR).spec.fingerprint
    os.utime("set.npy", (1, 1))
    assert load().spec.fingerprint == put(COLOUR, "copy.npy").spec.fingerprint == first
    for other in (255 - COLOUR, COLOUR[:4], COLOUR[..., :1]):
        assert put(other, "other.npy").spec.fingerprint != first


@pytest.mark.parametrize("background", ["white", "#000000"])
def test_alpha_is_composed(background, capsys):
    array = np.concatenate([COLOUR, np.full((5, 8, 8, 1), 0, np.uint8)], -1)
    array[0, ..., 3] = 255
    np.save("set.npy", array)
    data = load(background=background)
    np.testing.assert_array_equal(data.images[0], COLOUR[0])
    assert (data.images[1:] == (255 if background == "white" else 0)).all()
    assert f"{background} fills the transparent pixels of 4 pictures" in capsys.readouterr().out


def test_a_change_of_the_file_is_seen():
    assert put(COLOUR) and load(size=(4, 4)).images.mean() > 0
    np.save("set.npy", np.zeros_like(COLOUR))
    os.utime("set.npy", (1, 1))
    assert load(size=(4, 4)).images.max() == 0


VALUES = {  # what is stored, and what it becomes
    "12 bits": (np.uint16([0, 273, 4095]), [0, 17, 255], "16-bit pictures: values 0 to 4095"),
    "16 bits": (np.uint16([0, 257, 65535]), [0, 1, 255], "16-bit pictures: values 0 to 65535"),
    "big-endian": (np.array([0, 17, 255], ">u2"), [0, 17, 255], "16-bit pictures: values 0 to 255"),
    "signed": (np.int32([-255, 0, 255]), [0, 128, 255], "32-bit pictures: values -255 to 255"),
    "floats": (np.float32([0, 0.2, 1]), [0, 51, 255], "32-bit pictures: values 0 to 1"),
    "from -1": (np.float64([-1, 0.2, 1]), [0, 153, 255], "64-bit pictures: values -1 to 1"),
    "halves": (np.float16([0, 0.5, 0.25]), [0, 128, 64], "16-bit pictures: values 0 to 1"),
    "bools": (np.array([False, True, True]), [0, 255, 255], "8-bit pictures: values 0 to 1"),
}


@pytest.mark.parametrize(("stored", "bytes_", "says"), VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("channels", [1, 3])
def test_one_range_for_all(stored, bytes_, says, channels, capsys):
    data = put(np.tile(stored[:, None, None, None], (1, 8, 8, channels)))
    assert data.images[:, 0, 0, -1].tolist() == bytes_ and data.spec.channels == channels
    assert data.images.dtype == np.uint8 and data.images.std((1, 2, 3)).max() == 0
    value_range = [float(word) for word in says.split("values ")[1].split(" to ")]
    assert data.spec.value_range == value_range
    line = f"{says} become 0 to 255"
    assert line in capsys.readouterr().out.splitlines()
    load()  # from the cache
    assert capsys.readouterr().out.splitlines() == [line]


# ---- .npz files


@pytest.mark.parametrize("name", ["images", "x", "x_train", "arr_0", "mine"])
@pytest.mark.parametrize("labels", ["labels", "y", "y_train"])
def test_names_of_arrays(name, labels):
    np.savez_compressed("set.npz", other=np.arange(3), **{name: COLOUR, labels: LABELS})
    data = load("set.npz", conditional=True)
    np.testing.assert_array_equal(data.images, COLOUR)
    assert data.labels.tolist() == LABELS.tolist() and data.spec.classes == 2
    assert load("set.npz").spec.classes == 0


def test_mnists_own_file():
    """Its labels are a column here; a file of this form is Keras' mnist.npz."""
    arrays = {"x_train": COLOUR[..., 0], "y_train": LABELS[:, None], "x_test": COLOUR[:2, ..., 0]}
    np.savez("set.npz", **arrays)
    data = load("set.npz", conditional=True)
    assert data.images.shape == (5, 8, 8, 1) and data.labels.tolist() == LABELS.tolist()


@pytest.fixture
def train(monkeypatch, capfd):
    """A function of flags that reads the data of a training: its one line; "read" if it could."""

    def stop(*_):
        raise console.Failed("read")

    monkeypatch.setattr(devices, "import_tensorflow", stop)

    def run(*flags):
        assert main.main(["--train", "--output_height", "8", *flags]) == 1
        err = capfd.readouterr().err
        assert err.count("\n") == 1 and err.startswith("main.py: "), err
        return err.removeprefix("main.py: ").rstrip()

    return run


def test_a_file_anywhere(train):
    Path("data").mkdir()
    np.save("data/near.npy", COLOUR)
    np.savez("far.npz", COLOUR)
    os.rename("far.npz", "Far.NPZ")
    for name in ("near.npy", "./Far.NPZ", str(Path("Far.NPZ").resolve())):
        assert train("--dataset", name) == "read"
    assert train("--dataset", "none.npz") == "no file data/none.npz"
    assert resolve({"dataset": "a/Far.NPZ"}).run_name == "Far_64_64_64"
    assert resolve({"dataset": "far.npy"}).run_name == "far_64_64_64"


class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


OBJECTS = np.array([Trap()] * 5, object)
REFUSED = {
    "a pickle": ({"images": OBJECTS}, "Object arrays cannot be loaded when allow_pickle=False"),
    "text": ({"images": np.full((5, 8, 8), "a")}, "images are of <U1, not numbers"),
    "complex": ({"images": np.zeros((5, 8, 8), complex)}, "images are of complex128, not numbers"),
    "one picture": ({"images": COLOUR[0]}, "images are [8, 8, 3], not [N, H, W], or [N, H"),
    "channels first": ({"images": COLOUR.transpose(0, 3, 1, 2)}, "images are [5, 3, 8, 8], not"),
    "two channels": ({"images": COLOUR[..., :2]}, "images are [5, 8, 8, 2], not"),
    "none": ({"images": COLOUR[:0]}, "it holds no images"),
    "not finite": ({"images": [[[[0.5]]], [[[np.nan]]]], "labels": [0, 1]}, "images have NaN"),
    "no pixels": ({"images": np.zeros((10**9, 0, 9), np.uint8)}, "it holds no images"),
    "two": (
        {"a": COLOUR, "b": COLOUR},
        "it has the arrays a, b: name the array of images 'images'",
    ),
    "a bomb": ({"images": np.zeros((3000, 64, 64), np.uint8)}, "images.npy: too many bytes for "),
    "alpha": ({"x": -np.ones((5, 8, 8, 4)), "y": LABELS}, "with an alpha channel, no value may be"),
    "no labels": ({"x": COLOUR}, "it has no array labels or y or y_train: leave --cond"),
    "half": ({"x": COLOUR, "y": LABELS / 2}, "labels are float64 [5], not whole numbers [5]"),
    "few": ({"x": COLOUR, "y": LABELS[:4]}, "labels are int64 [4], not whole numbers [5]"),
    "from 1": ({"x": COLOUR, "y": LABELS + 1}, "labels must be 0 to 1, with none left out"),
    "a gap": ({"x": COLOUR, "y": 2 * LABELS}, "labels must be 0 to 1, with none left out"),
    "pickled labels": ({"x": COLOUR, "y": OBJECTS}, "Object arrays cannot be loaded when"),
}


@pytest.mark.parametrize(("arrays", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(arrays, says, train):
    np.savez_compressed("set.npz", **arrays)
    line = train("--dataset", "set.npz", "--conditional")
    assert line.startswith(f"cannot read set.npz: {says}")
    assert not Path("sprung").exists()


@pytest.mark.parametrize("name", ["set.npy", "set.npz"])
def test_damaged_files(name, train):
    np.save("set.npy", COLOUR)
    np.savez("set.npz", images=COLOUR)
    whole = Path(name).read_bytes()
    for body in (b"", b"text", whole[:60], whole[:-500], whole[:5] + b"\xff" * 90 + whole[95:]):
        Path(name).write_bytes(body)
        assert train("--dataset", name).startswith(f"cannot read {name}: ")
    np.save("set.npy", OBJECTS)
    assert "Python objects in dtype" in train("--dataset", "set.npy")
    np.save("set.npy", COLOUR)
    assert "--conditional" in train("--dataset", "set.npy", "--conditional")
