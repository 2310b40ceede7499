"""Damaged files in a run's folder or a cache: one line, or the file is ignored."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import console
import main
import utils
from commands import build
from config.resolve import resolve
from config.saved import read_saved
from datasets import folders
from datasets.packed import ImageSpec, load
from runs.log import BAD, MetricsLog, read_log
from runs.plots import save_plots
from runs.run import Run
from runs.trained import find_run, load_generator
from tests.conftest import BAD_PICTURES, ROOT, TINY, damaged, run_main, same, values

pytestmark = pytest.mark.usefixtures("limited")


def numbered(found):
    return list(enumerate(found))


def one_line(error):
    text = str(error)
    assert text and "\n" not in text, text
    return text


# ---- the packed cache


def pack():
    return load("set", reader=folders.read_folder, data_dir="data", cache_dir="cache", size=(4, 4))


@pytest.fixture
def packed():
    """(array file, notes file) of a packed set of three images and one unreadable file."""
    Path("data/set").mkdir(parents=True)
    for i, name in enumerate("abc"):
        Image.new("RGB", (4, 4), (50 * i, 0, 9)).save(f"data/set/{name}.png")
    Path("data/set/d.png").write_text("no picture")
    pack()
    (array,), (notes,) = Path("cache").glob("*.npy"), Path("cache").glob("*.json")
    return array, notes


def check_packed():
    found = pack()
    assert found.images.shape == (3, 4, 4, 3) and found.images.dtype == np.uint8
    assert found.images[:, 0, 0].tolist() == [[0, 0, 9], [50, 0, 9], [100, 0, 9]]
    (skipped,) = found.skipped
    return skipped


def npy(array, **options):
    np.save("x.npy", array, **options)
    return Path("x.npy").read_bytes()


ARRAYS = {
    "floats": np.zeros((3, 4, 4, 3)),
    "another size": np.zeros((3, 5, 4, 3), np.uint8),
    "two channels": np.zeros((3, 4, 4, 2), np.uint8),
    "flat": np.zeros((3, 48), np.uint8),
    "no rank": np.zeros((), np.uint8),
    "more images": np.zeros((4, 4, 4, 3), np.uint8),
    "records": np.zeros((3, 4, 4, 3), [("a", "u1")]),
    "objects": np.full((3, 4, 4, 3), None),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_of_another_type_or_shape_is_packed_anew(packed, array):
    packed[0].write_bytes(npy(array))
    check_packed()


def test_an_npz_under_the_name_of_the_array_is_packed_anew(packed):
    np.savez("x.npz", *np.zeros((3, 4, 4, 4, 3), np.uint8))
    os.replace("x.npz", packed[0])
    check_packed()


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_array_header_is_packed_anew(packed, seed):
    body = packed[0].read_bytes()
    (broken,) = damaged(body[:80], seed, seed % 2, 1 - seed % 2)
    packed[0].write_bytes(broken if seed % 2 else broken + body[80:])
    check_packed()


NOTES = {
    "count": (10**400, 10**12, -1, None, "4", [4], True, 4.5),
    "skipped": ({"-9": "d"}, {"x": "d"}, {"3.0": "d"}, {"9" * 5000: "d"}, {}, None, 3, "d"),
    "signature": (None, 3, [], {}),
}


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, found in NOTES.items() for v in found], ids=lambda x: None
)
def test_wrong_notes_are_packed_anew(packed, name, value):
    fields = json.loads(packed[1].read_text())
    packed[1].write_text(json.dumps({**fields, name: value}))
    assert check_packed().startswith("d.png (")


@pytest.mark.parametrize("body", ["[" * 10**5, '{"a":' * 10**5, "NaN", "\ufeff{}", "9" * 5000])
def test_notes_that_are_no_json_dict_are_packed_anew(packed, body):
    packed[1].write_text(body)
    assert check_packed().startswith("d.png (")


@pytest.mark.parametrize("seed", range(20))
def test_damaged_notes(packed, seed):
    """A flipped bit in the name of a skipped file may go unnoticed."""
    (broken,) = damaged(packed[1].read_bytes(), seed, seed % 2, 1 - seed % 2)
    packed[1].write_bytes(broken)
    check_packed()


# ---- checkpoints


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(a folder with one saved run, its trainer)."""
    folder = tmp_path_factory.mktemp("saved")
    c = resolve(TINY)
    trainer = build.build_trainer(c, ImageSpec(8, 8, 1, 100, 10))
    run = Run("r", folder / "checkpoint", folder / "samples", folder / "logs")
    run.begin(c.to_json(), {"height": 8}, resume=False)
    run.log(1, 0, 0.5, {"loss": 1.0})
    run.save(1, trainer)
    return folder, trainer


@pytest.fixture
def run(saved, tmp_path):
    """A copy of the saved run, to damage."""
    shutil.copytree(saved[0] / "checkpoint", "checkpoint")
    return Run("r", *(tmp_path / name for name in ("checkpoint", "samples", "logs")))


def restore(run, trainer):
    """Return the message of a failed restore, or None if it restores exactly what was saved."""
    before = values(trainer.state)
    try:
        assert run.restore(trainer) == 0  # the trainer was not trained
    except console.Failed as error:
        for name, value in before.items():  # for the next test
            part, _, index = name.partition("/")
            target = trainer.state[part]
            (getattr(target, "variables", None) or [target])[int(index)].assign(value)
        return one_line(error)
    assert same(before, values(trainer.state)) == []
    return None


def test_a_whole_checkpoint_is_restored(saved, run):
    assert restore(run, saved[1]) is None


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("pattern", ["ckpt-1.index", "ckpt-1.data*"])
def test_a_damaged_checkpoint(saved, run, pattern, seed):
    (path,) = run.folder.glob(pattern)
    (broken,) = damaged(path.read_bytes(), seed, seed % 3 == 0, seed % 3 > 0)
    path.write_bytes(broken)
    line = restore(run, saved[1])
    assert line is None or (line.startswith("cannot restore") and "--resume False" in line)


INDEXES = {
    "nothing": b"",
    "garbage": b"\xff\xfe\x00garbage",
    "zeros": bytes(200),
    "text": b"hello there\n",
    "json": b'{"model_checkpoint_path": "ckpt-1"}',
    "another field": b'model_checkpoint_path: "ckpt-1"\npath: "x"\n',
    "no path": b'all_model_checkpoint_paths: "ckpt-1"\n',
    "cut": b'model_checkpoint_path: "ckpt-',
    "gone": b'model_checkpoint_path: "ckpt-9"\nall_model_checkpoint_paths: "ckpt-9"\n',
    "deep": b"a {" * 10_000,
    "up": b'model_checkpoint_path: "../other/ckpt-1"\n',
    "one line": b'model_checkpoint_path: "ckpt-1" all_model_checkpoint_paths: "../precious"\n',
    "escaped": b'model_checkpoint_path: "ckpt-1"\nall_model_checkpoint_paths: "\\056\\056/x"\n',
    "single quotes": b"model_checkpoint_path: 'ckpt-1'\nall_model_checkpoint_paths: '../x'\n",
}


@pytest.mark.parametrize("body", INDEXES.values(), ids=INDEXES)
def test_a_wrong_index_of_checkpoints(saved, run, body, capfd):
    (run.folder / "checkpoint").write_bytes(body)
    assert restore(run, saved[1]).startswith("cannot restore")
    assert capfd.readouterr().err == ""


def test_a_checkpoint_outside_the_folder_is_not_restored(saved, run, tmp_path):
    """TensorFlow would restore it, and delete it after some saves."""
    shutil.copytree(run.folder, tmp_path / "other")
    outside = str(tmp_path / "other" / "ckpt-1")
    body = f'model_checkpoint_path: "ckpt-1"\nall_model_checkpoint_paths: "{outside}"\n'
    (run.folder / "checkpoint").write_text(body)
    line = restore(run, saved[1])
    assert "unexpected line in its file `checkpoint`: 'all_model_checkpoint_paths: " in line


# ---- config.json

SETTINGS = {**resolve({}).to_json(), "data": {"height": 28}}
CONFIGS = numbered(damaged(json.dumps(SETTINGS).encode(), 5, cuts=10, flips=40))


@pytest.mark.parametrize("body", [b for _, b in CONFIGS], ids=[i for i, _ in CONFIGS])
def test_damaged_settings(body):
    Path("config.json").write_bytes(body)
    try:
        found = resolve({}, read_saved("config.json"))
    except console.WrongCall as error:
        one_line(error)
    else:  # the bit was in a number or a name
        resolve(found.to_json())


@pytest.mark.parametrize("data", [5, "x", [1], True, 0.5])
def test_settings_whose_data_is_no_dict(data):
    Path("config.json").write_text(json.dumps({**SETTINGS, "data": data}))
    with pytest.raises(console.WrongCall, match="data="):
        read_saved("config.json")


@pytest.mark.parametrize("body", ["", "[" * 10**5, "{}", "[]", '{"dataset": 3}', "\udcff"])
def test_a_run_with_unreadable_settings_is_named(body):
    Path("checkpoint/r").mkdir(parents=True)
    Path("checkpoint/r/generator.keras").touch()
    Path("checkpoint/r/config.json").write_text(body, errors="surrogateescape")
    with pytest.raises(console.Failed, match="no settings can be read in r"):
        find_run("checkpoint", "pics", {})
    assert "no settings can be read in r" in find_run("checkpoint", "mnist", {})[1]  # one ships


# ---- networks


def generator(units=64, z_dim=4, labels=0):
    inputs = [keras.Input((n,)) for n in (z_dim, labels) if n]
    x = keras.layers.Concatenate()(inputs) if labels else inputs[0]
    x = keras.layers.Dense(units)(x)
    return keras.Model(inputs, keras.layers.Reshape((8, units // 8, 1))(x))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "generator.keras"
    generator().save(path)
    return path


def refused(path="g.keras"):
    with pytest.raises(console.Failed) as caught:
        load_generator(path)
    return one_line(caught.value)


@pytest.mark.parametrize("labels", [0, 10])
def test_a_generator_is_loaded(labels):
    generator(labels=labels).save("g.keras")
    assert load_generator("g.keras").output_shape == (None, 8, 8, 1)


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_generator(whole, seed):
    (broken,) = damaged(whole.read_bytes(), seed, seed % 3 == 0, seed % 3 > 0)
    Path("g.keras").write_bytes(broken)
    try:  # the bit may be in a date, or in a name that is not read
        found = load_generator("g.keras").get_weights()
    except console.Failed as error:
        assert one_line(error).startswith("cannot load g.keras: ")
    else:
        for a, b in zip(found, keras.saving.load_model(whole).get_weights()):
            np.testing.assert_array_equal(a, b)


def edit(whole, change):
    """Write `whole` to g.keras, with a change to the config of its first dense layer."""
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile("g.keras", "w") as new:
        for name in old.namelist():
            body = old.read(name)
            if name == "config.json":
                fields = json.loads(body)
                layers = fields["config"]["layers"]
                change(next(x for x in layers if x["class_name"] == "Dense"))
                body = json.dumps(fields)
            new.writestr(name, body)


def custom(name, kind="Trap"):
    return {"module": name, "class_name": kind, "config": {}, "registered_name": kind}


TRAPS = {
    "a layer": lambda layer: layer.update(custom("trap_module")),
    "an initialiser": lambda x: x["config"].update(kernel_initializer=custom("trap_module")),
    "an activation": lambda x: x["config"].update(
        activation={**custom("trap_module", "function"), "config": "spring"}
    ),
    "of the system": lambda x: x["config"].update(
        activation={**custom("os", "function"), "config": "getcwd"}
    ),
    "a download": lambda layer: layer.update(
        {**custom("keras.utils", "get_file"), "config": {"fname": "x", "origin": "file:///x"}}
    ),
    "no layer": lambda layer: layer.clear(),
    "no units": lambda layer: layer["config"].pop("units"),
    "negative units": lambda layer: layer["config"].update(units=-4),
    "other units": lambda layer: layer["config"].update(units=65),
    "units of text": lambda layer: layer["config"].update(units="many"),
}


@pytest.mark.parametrize("change", TRAPS.values(), ids=TRAPS)
def test_custom_code_is_not_run(whole, change, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    Path("trap_module.py").write_text("import os\nos.mkdir('sprung')\nspring = Trap = print\n")
    edit(whole, lambda layer: None)
    load_generator("g.keras")
    edit(whole, change)
    assert refused().startswith("cannot load g.keras: ")
    assert not Path("sprung").exists()


def test_a_lambda_is_not_run():
    z = keras.Input((4,))
    trap = keras.layers.Lambda(lambda x: os.makedirs("sprung", exist_ok=True) or x)
    keras.Model(z, keras.layers.Reshape((2, 2, 1))(trap(z))).save("g.keras")
    os.rmdir("sprung")
    assert "Lambda" in refused()
    assert not Path("sprung").exists()


BOMBS = ("config.json", "model.weights.h5", "metadata.json", "assets/x")


@pytest.mark.parametrize("name", BOMBS)
def test_a_generator_that_unpacks_to_far_more(whole, name):
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile("g.keras", "w") as new:
        for other in set(old.namelist()) - {name}:
            new.writestr(other, old.read(other))
        new.writestr(name, bytes(50_000_000), zipfile.ZIP_DEFLATED)
    assert f"{name}: too many bytes for " in refused()


def test_files_that_are_no_zip():
    for body in (b"", b"PK\x03\x04", b"text", bytes(999), b"\x89HDF\r\n\x1a\n"):
        Path("g.keras").write_bytes(body)
        assert "not a zip file" in refused()
    Path("folder.keras").mkdir()
    refused("folder.keras")
    refused("absent.keras")


def test_an_older_format_is_not_opened():
    """Keras' safe mode need not be trusted with the Lambda layers of .h5 files."""
    generator().save("g.h5")
    assert "not a zip file" in refused("g.h5")


def others():
    images = keras.Input((8, 8, 1))
    yield keras.Model(images, keras.layers.Conv2D(1, 3)(images))  # images to images
    yield keras.Model(images, keras.layers.Dense(1)(keras.layers.Flatten()(images)))  # a critic
    z = keras.Input((4,))
    yield keras.Model(z, keras.layers.Dense(64)(z))  # no images
    yield keras.Model(z, keras.layers.Reshape((4, 8, 2))(keras.layers.Dense(64)(z)))  # two channels
    yield keras.Model(z, [keras.layers.Reshape((2, 2, 1))(z)] * 2)  # two outputs
    yield keras.Sequential([keras.layers.Dense(3)])  # never built


@pytest.mark.parametrize("number", range(6))
def test_a_network_that_is_no_generator(number):
    list(others())[number].save("g.keras")
    assert refused().startswith("g.keras is not a generator: its inputs are ")


def test_a_critic_under_the_name_of_the_generator_is_one_line(run, capsys):
    shutil.copy(run.folder / "critic.keras", run.folder / "generator.keras")
    status = main.main(["--dataset", "digits"])
    _, err = capsys.readouterr()
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith(
        "main.py: checkpoint/r/generator.keras is not a generator: its inputs are "
    )


def test_the_program_ends_with_a_line(run, tmp_path):
    (run.folder / "generator.keras").write_text("junk")
    done = run_main(tmp_path, "--dataset", "digits", status=1)
    line = "main.py: cannot load checkpoint/r/generator.keras: File is not a zip file\n"
    assert done.stderr == line


# ---- the log, the measures, the frames

HEAD = "step,epoch,seconds,loss\n"
GOOD = "1,0,0.5,3\n2,0,0.9,\n"
LOGS = {
    "nothing": (b"", 0),
    "zeros": (bytes(3000) + b"\n", 0),
    "garbage": (np.random.default_rng(0).bytes(3000), 0),
    "other columns": (b"a,b\n1,2\n", 0),
    "no steps": ("step,epoch\none,2\n-1,2\n1.5,2\n,2\n", 0),
    "words": (HEAD + GOOD + "3,0,1.2,low\n4,x,1.3,2\n", 2),
    "a huge step": (HEAD + GOOD + "9" * 5000 + ",0,1,2\n", 2),
    "other digits": (HEAD + GOOD + "\u00b2,0,1,2\n", 2),
    "a long field": (HEAD + GOOD + '"' + "x" * 200_000 + '",0,1,2\n', 2),
    "an open quote": (HEAD + GOOD + '"3,0,1.2,3\n4,0,1.3,2\n', 2),
    "bytes": ((HEAD + GOOD).encode() + b"3,0,\xff\xfe,1\n", 2),
    "semicolons": ((HEAD + GOOD).replace(",", ";"), 0),
    "no header": (GOOD, 0),
    "no seconds": ("step,loss\n1,2\n2,3\n", 2),
}


@pytest.mark.parametrize(("body", "rows"), LOGS.values(), ids=LOGS)
def test_a_log_of_garbage(body, rows, capsys):
    path = Path("metrics.csv")
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    log, before = MetricsLog(), path.read_bytes()
    log.read(path, 10)
    assert [row["step"] for row in log.rows] == ["1", "2"][:rows]
    assert path.is_file() == (rows > 0)
    bad = Path(BAD)
    assert bad.is_file() == (BAD in capsys.readouterr().out)
    if bad.is_file():
        assert bad.read_bytes() == before
    save_plots(Path(), log.rows)
    log.add(path, {"step": 3, "epoch": 0, "seconds": "1.5", "loss": "2"})
    assert [row["step"] for row in read_log(path)] == ["1", "2", "3"][-rows - 1 :]


def test_unreadable_rows_are_copied_to_another_file(capsys):
    torn = "4,0,1.3"  # by a kill
    Path("metrics.csv").write_text(HEAD + GOOD + "3,0,1.2,low\n" + torn)
    MetricsLog().read(Path("metrics.csv"), 10)
    assert "removed unreadable rows from metrics.csv" in capsys.readouterr().out
    Path(BAD).unlink()
    Path("metrics.csv").write_text(HEAD + GOOD + "3,0,1.2")
    MetricsLog().read(Path("metrics.csv"), 1)
    assert not Path(BAD).exists()


@pytest.mark.parametrize(
    "body", [LOGS[n][0] for n in ("garbage", "no steps", "no seconds", "words")], ids=range(4)
)
def test_a_run_is_restored_without_its_log(saved, run, body):
    (run.folder / "metrics.csv").write_bytes(body if isinstance(body, bytes) else body.encode())
    assert restore(run, saved[1]) is None


MEASURES = ["", "[1]", "3", "null", '"x"', "{", "[" * 10**5, '{"fid": "x"}', '{"fid": NaN}']
MEASURES += ['{"fid": null}', '{"fid": [1]}', '{"fid": Infinity}', '{"fid": %s}' % ("9" * 400)]


@pytest.mark.parametrize("body", MEASURES, ids=range(len(MEASURES)))
def test_unreadable_measures_are_ignored(run, body):
    (run.folder / "best").mkdir()
    (run.folder / "best" / "measures.json").write_text(body)
    assert run.best() == {}
    (run.folder / "best" / "measures.json").write_text('{"fid": 3.5, "samples": 100}')
    assert run.best() == {"fid": 3.5, "samples": 100}


@pytest.mark.parametrize("body", [b"", b"junk", "cut", "of colour", None])
def test_a_film_skips_broken_frames(run, body):
    frames = run.folder / "frames"
    for step in (1, 2, 3):
        utils.save_image(frames / f"{step:08d}.png", np.full((8, 8, 1), 50 * step, np.uint8))
    path = frames / "00000002.png"
    if body == "cut":
        body = path.read_bytes()[:45]
    if body == "of colour":
        utils.save_image(path, np.zeros((8, 8, 3), np.uint8))
    elif body is None:
        path.rename(frames / "2x.png")
    else:
        path.write_bytes(body)
    run.samples.mkdir(parents=True)
    (run.samples / "reals.png").write_bytes(b"junk")
    run.redraw()
    with Image.open(run.samples / "training.gif") as film:
        assert film.n_frames == 2


def test_no_film_without_frames(run):
    run.samples.mkdir(parents=True)
    for frame in (run.folder / "frames").glob("*"):
        frame.unlink()
    run.redraw()
    assert list(run.samples.iterdir()) == []


# ---- memory

GROWTH = """
import sys
from pathlib import Path

import console
from datasets import folders, known, packed

def peak():
    status = Path("/proc/self/status").read_text()  # rusage counts the parent's too
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000

def load(reader, name, **options):
    options = {"size": (8, 8), "workers": 4, "data_dir": ".", "cache_dir": "cache", **options}
    return packed.load(name, reader=reader, **options)

readers = {"folder": folders.read_folder, "mnist": known.read_mnist}
load(folders.read_folder, "warm")
before = peak()
for case in sys.argv[1:]:
    reader, name = case.split(":")
    try:
        load(readers[reader], name)
        print(name, "read")
    except console.Failed as error:
        print(name, error)
print(round(peak() - before))
"""


def test_memory_is_bounded():
    """Small files that unpack to much, or claim to hold much, take little memory."""
    for name in ("warm", "bombs", "large", "idx", "gz", "npz"):
        Path(name).mkdir()
    Image.new("RGB", (8, 8)).save("warm/a.png")
    for name in ("huge.png", "most.png", "expands.png", "huge.gif", "text_bomb.png"):
        Path("bombs", name).write_bytes(BAD_PICTURES[name])
    labels = bytes([0, 0, 8, 1, 0, 0, 0, 1, 7])
    for folder, suffix in (("idx", ""), ("gz", ".gz")):
        whole = b"\0\0\x08\x03" + np.array([2**31, 28, 28], ">u4").tobytes()
        if suffix:
            whole = b"\0\0\x08\x03" + np.array([191326, 28, 28], ">u4").tobytes()
            whole, labels = (gzip.compress(b, 1) for b in (whole + bytes(150 * 10**6), labels))
        Path(folder, f"train-images-idx3-ubyte{suffix}").write_bytes(whole)
        Path(folder, f"train-labels-idx1-ubyte{suffix}").write_bytes(labels)
    with zipfile.ZipFile("npz/mnist.npz", "w", zipfile.ZIP_DEFLATED) as parts:
        array = npy(np.zeros((191326, 28, 28), np.uint8))
        parts.writestr("x_train.npy", array)
        parts.writestr("y_train.npy", npy(np.zeros(191326, np.uint8)))
    deep = np.zeros((5000, 5000), np.uint16)
    deep[0, 0] = 9
    for i in range(4):  # 25 million pixels each: 50 MB, in threads of their own
        Image.fromarray(deep).save(f"large/{i}.png", compress_level=1)
    cases = ["folder:bombs", "mnist:idx", "mnist:gz", "mnist:npz", "folder:large"]
    args = [sys.executable, "-c", GROWTH, *cases]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        args, env=environment, capture_output=True, text=True, check=True, timeout=110
    )
    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert any(line.startswith("bombs none of 5 images can be read") for line in lines)
    for name in ("idx", "gz", "npz"):
        (line,) = [line for line in lines if line.startswith(name + " ")]
        assert "too many bytes for" in line, line
    assert "large read" in lines
    print(lines)
    assert int(lines[-1]) < 300, lines[-1]  # MB
