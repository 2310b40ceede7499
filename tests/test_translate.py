"""CycleGAN on the command line: training, resuming, and translating images of any size."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import console
from commands import dry_run
from datasets import folders
from generation import translate
from layers import stock
from tests.conftest import checkpoint, log_rows, make_domains, same


def negative():
    """A generator that inverts images, and needs reflection padding and sides divisible by 4."""
    x = keras.Input((None, None, 3))
    y = keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    y = keras.layers.AveragePooling2D(4)(-y[:, 1:-1, 1:-1])  # 4 must divide the sides
    y = keras.layers.UpSampling2D(4)(y)
    return keras.Model(x, -x + 0 * y)


SIZES = [(1, 1), (1, 50), (3, 7), (4, 4), (16, 16), (17, 33), (30, 5), (64, 65)]


@pytest.mark.parametrize("size", SIZES)
def test_images_of_any_size_keep_size_and_position(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    np.testing.assert_array_equal(translate.translate_image(negative(), image), 255 - image)


def test_all_sides_are_padded_by_reflection():
    seen = []

    def generator(x):
        seen.append(x)
        return x

    image = np.arange(5 * 18, dtype=np.uint8).reshape(5, 18, 1)
    np.testing.assert_array_equal(translate.translate_image(generator, image), image)
    padded = np.round((seen[0] + 1) * 127.5).astype(np.uint8)
    assert padded.shape == (1, 16, 20, 1)
    np.testing.assert_array_equal(padded[0, 5:10, 1:19], image)
    np.testing.assert_array_equal(padded[0, 5:10, 0], image[:, 0])
    np.testing.assert_array_equal(padded[0, 4, 1:19], image[0])
    np.testing.assert_array_equal(padded[0, 0, 1:19], image[4])


def save(path, size=(9, 6), mode="RGB"):
    """Save a random image in the format of the name."""
    shape = size[::-1] + ((len(mode),) if len(mode) > 1 else ())
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def run(tmp_path):
    """A function that translates an input into the folder `out`; returns names → sizes."""
    folder = tmp_path / "run"
    folder.mkdir()
    for direction in translate.FOLDERS:
        negative().save(folder / f"generator_{direction}.keras")

    def translate_path(path, pattern="*", **more):
        given = {"dataset": "x", "data_dir": tmp_path, "sample_dir": tmp_path / "s"}
        given |= {"input": str(path), "output": str(tmp_path / "out"), "translate": "A2B"}
        paths = list(translate.pictures(folder, **{**given, **more}, input_fname_pattern=pattern))
        assert all(path.is_file() for path in paths)
        return {str(p.relative_to(tmp_path / "out")): Image.open(p).size for p in paths}

    return translate_path


def test_names_sizes_and_formats_are_kept(run, tmp_path):
    home = tmp_path / "in"
    for name, size in (("a.jpg", (9, 6)), ("deep/er/b.png", (5, 31)), ("c.WEBP", (8, 8))):
        save(home / name, size)
    save(home / "d.gif", (7, 7), "L")
    long = ["n" * (255 - len(suffix)) + suffix for suffix in (".gif", ".png")]
    for name, width in zip(long, (4, 5)):
        save(tmp_path / name[-3:] / name, (width, 9))
        assert run(tmp_path / name[-3:]) == {name[:-4] + ".png": (width, 9)}
        shutil.rmtree(tmp_path / "out")
    save(home / "e.bmp", (3, 3))
    save(home / "f.png", (10, 4), "RGBA")
    wanted = {"a.jpg": (9, 6), "deep/er/b.png": (5, 31), "c.WEBP": (8, 8), "d.gif.png": (7, 7)}
    assert run(home) == {**wanted, "e.bmp": (3, 3), "f.png": (10, 4)}
    for name in ("deep/er/b.png", "c.WEBP", "e.bmp"):
        before, after = (np.array(Image.open(p / name)) for p in (home, tmp_path / "out"))
        if name != "c.WEBP":  # its first copy is a lossy one
            np.testing.assert_array_equal(after, 255 - before)
        assert Image.open(tmp_path / "out" / name).format == Image.open(home / name).format
    assert run(home / "a.jpg") == {"a.jpg": (9, 6)}
    assert run(home, "*.bmp") == {"e.bmp": (3, 3)}


def test_translations_are_no_data_and_overwrite_no_others(run, tmp_path):
    """Into a new folder, and into one that has other files."""

    def read():
        return folders.read_folder(tmp_path / "set").names

    save(tmp_path / "set/a.png")
    save(tmp_path / "set/b.png")
    (tmp_path / "set/new/deep").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "set/new/deep")
    for _ in range(2):
        run(tmp_path / "set/a.png")
        assert read() == ["a.png", "b.png"]
    assert folders.read_folder(tmp_path / "set/new/deep").names == ["a.png"]
    (tmp_path / "out").unlink()
    (tmp_path / "out").mkdir()
    save(tmp_path / "out/mine.png")
    for _ in range(2):
        run(tmp_path / "set/b.png")
        assert folders.read_folder(tmp_path / "out").names == ["mine.png"]
    save(tmp_path / "out/a.png")
    with pytest.raises(console.Failed, match=r"out/a.png is there, and not a translation"):
        run(tmp_path / "set/a.png")
    with pytest.raises(console.Failed, match=r"out/mine.png is there"):
        run(save(tmp_path / "other/mine.png"))


def test_what_changes_in_an_input_is_told(run, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    Image.new("RGBA", (16, 16), (9, 9, 9, 0)).save(tmp_path / "in/a.png")
    Image.fromarray(np.full((16, 16), 819, np.uint16)).save(tmp_path / "in/b.png")
    (tmp_path / "in/c.txt").write_text("text")
    assert len(run(tmp_path / "in", background="#0000ff")) == 2
    values = [np.asarray(Image.open(tmp_path / "out" / name))[8, 8] for name in ("a.png", "b.png")]
    assert values[0].tolist() == [255, 255, 0]
    assert values[1].tolist() == [51] * 3  # 819 of 1023 is 204
    out = capsys.readouterr().out.splitlines()
    assert "16-bit pictures: each has its own range of values" in out
    assert any(line.startswith("#0000ff fills the transparent pixels of 1 picture") for line in out)
    run(tmp_path / "in", value_ranges=([0, 4095], None))
    assert np.asarray(Image.open(tmp_path / "out/b.png"))[8, 8].tolist() == [204] * 3  # 819 is 51
    assert "16-bit pictures: values 0 to 4095 become 0 to 255" in capsys.readouterr().out


def test_translations_are_not_written_through_a_link(run, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/fakeB").symlink_to(tmp_path)
    save(tmp_path / "x/testA/a.png")
    save(tmp_path / "x/testB/a.png")
    with pytest.raises(console.Failed, match=r"fakeB is a link: remove it"):
        run("", translate=None, output=None)


def test_images_that_cannot_be_translated_are_named(run, tmp_path, monkeypatch, capsys):
    save(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"no image")
    save(tmp_path / "in/c.png", (40, 30))
    monkeypatch.setattr(translate, "MAX_PIXELS", 1000)
    save(tmp_path / "in/d.png", (50, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # from where Pillow would print a warning
    assert run(tmp_path / "in") == {"a.png": (9, 6)}
    out = capsys.readouterr().out
    assert "skipped 3 of 4 images: b.png (" in out
    assert "c.png (40x30 are more than 1000 pixels), d.png (Image size (2500 pixels) exc" in out
    for path, says in (
        (tmp_path / "in/b.png", "none of 1 images can be translated: b.png"),
        (tmp_path / "absent", "no image or folder"),
    ):
        with pytest.raises(console.Failed, match=says):
            run(path)


def test_the_output_may_not_overwrite_the_input(run, tmp_path):
    save(tmp_path / "out/a.png")
    save(tmp_path / "out/more/a.png")
    for path in (tmp_path / "out", tmp_path / "out/a.png", tmp_path / "out/more", tmp_path):
        with pytest.raises(console.Failed, match="is where the images are"):
            run(path)


# ---- the command line ------------------------------------------------------------------------


SMALL = {"g_width": 2, "d_width": 2, "n_residual_blocks": 1, "output_height": 24, "batch_size": 2}
SMALL |= {"pool_size": 3, "epoch": 2, "decay_epoch": 0, "log_every": 1, "sample_every": 2}
SMALL |= {"lambda_identity": 1, "ema": 0.9, "arch": "cyclegan", "dataset": "pics"}
WORDS = [word for name, value in SMALL.items() for word in (f"--{name}", value)]


def whole_and_parts(cli, tmp_path):
    """Two epochs of two steps, the second at half the rates; stopped after three, and on."""
    make_domains(tmp_path / "data" / "pics", (5, 4, 3, 2), (30, 26))
    assert cli(*WORDS, "--train", "--name", "whole")[0] == 0
    assert cli(*WORDS, "--train", "--name", "parts", "--max_steps", 3)[0] == 0
    status, out, _ = cli("--name", "parts", "--train", "--dataset", "pics")
    assert status == 0
    assert "resumed checkpoint/parts at step 3" in out
    assert "done at step 4 of 4" in out
    assert "checkpoint/parts/generator_A2B.keras" in out
    whole, parts = checkpoint("checkpoint/whole", 4), checkpoint("checkpoint/parts", 4)
    assert len(whole) > 100
    assert same(whole, parts) == []
    pools = [value for name, value in whole.items() if name.startswith("pool_")]
    assert [x.shape for x in pools] == [(3, 24, 24, 3)] * 2
    assert all(np.ptp(x) > 0.1 for x in pools)
    rows = log_rows("checkpoint/parts")
    assert rows == log_rows("checkpoint/whole")
    assert [float(r["learning_rate"]) for r in rows] == pytest.approx([2e-4] * 2 + [1e-4] * 2)
    columns = {"adversarial_A2B", "cycle_A", "identity_B", "critic_loss_A", "score_gap_B"}
    assert columns <= rows[0].keys()


@pytest.mark.slow
def test_a_compiled_run_resumed_is_the_unbroken_one(cli, tmp_path):
    whole_and_parts(cli, tmp_path)


def test_a_run_resumed_is_the_unbroken_one(cli, tmp_path, monkeypatch, eager):
    """And what it leaves behind, and what can be done with it."""
    whole_and_parts(cli, tmp_path)
    monkeypatch.setattr(dry_run, "MAX_SECONDS", 0)
    status, _, err = cli("--name", "parts", "--dataset", "pics", "--train", "--pool_size", 4)
    assert (status, err.count("\n")) == (2, 1)
    assert "pool_size=3, not 4" in err
    with Image.open("samples/parts/train_02_0000.png") as sheet:
        assert sheet.size == (6 * 24, 2 * 24)  # of B there are two test images
    with Image.open("samples/training.gif") as film:
        assert film.n_frames == 4  # of steps 0, 2, 4, and 3 where it was stopped
    check_test_mode(cli)
    check_exports(tmp_path)
    check_other_tasks(cli)


def check_test_mode(cli):
    save(Path("data/pics/testA/more/odd.png"), (37, 29))
    status, out, _ = cli("--dataset", "pics", "--sample_dir", "made")
    assert status == 0
    top = Path("made/parts")
    made = {str(p.relative_to(top)): Image.open(p).size for p in top.rglob("*.png")}
    sizes = {f"fakeB/{i}.png": (26, 30) for i in range(3)} | {"fakeB/more/odd.png": (37, 29)}
    assert made == sizes | {f"fakeA/{i}.png": (26, 30) for i in range(2)}
    assert all(f"{top}/{name}" in out.splitlines() for name in made)
    words = ("--translate", "B2A", "--input", "data/pics/testA/more/odd.png", "--output", "there")
    assert cli("--dataset", "pics", *words)[0] == 0
    back = np.array(Image.open("there/odd.png"))
    assert back.shape == (29, 37, 3)
    assert not np.array_equal(back, np.array(Image.open(top / "fakeB/more/odd.png")))
    status, _, err = cli("--dataset", "pics", *words[:3], "nowhere")
    assert (status, err) == (1, "main.py: no image or folder nowhere\n")
    status, _, err = cli("--dataset", "pics", "--seeds", "0-3")
    assert (status, err.count("\n")) == (2, 1)
    assert "--seeds cannot be used with --arch=cyclegan" in err


def check_exports(tmp_path):
    """Both generators have no layers of the project, and take other sizes."""
    for way in ("A2B", "B2A"):
        network = keras.saving.load_model(tmp_path / f"checkpoint/parts/generator_{way}.keras")
        assert {type(x).__module__.split(".")[0] for x in stock.layers_of(network)} == {"keras"}
        assert network(np.zeros((1, 20, 44, 3), np.float32)).shape == (1, 20, 44, 3)


def check_other_tasks(cli):
    status, out, _ = cli(*WORDS, "--train", "--dry_run")
    assert status == 0
    assert "images 24x24x3, no classes" in out
    assert "24x24 in batches of 2: generator " in out
    words = ("--name", "next", "--train", "--max_steps", 1, "--init_from", "parts")
    assert cli(*WORDS, *words, "--learning_rate", 0)[0] == 0
    first, later = (checkpoint(f"checkpoint/{n}", s) for n, s in (("parts", 4), ("next", 1)))
    names = [n for n in first if n.startswith("average_A2B/") and "kernel" in n]
    for name in names:
        np.testing.assert_allclose(later[name], first[name], atol=1e-6)


def test_a_missing_folder_ends_a_run_in_one_line(cli, tmp_path):
    make_domains(tmp_path / "data" / "pics", (2, 2, 1, 1), (30, 26))
    (tmp_path / "data/pics/trainB").rename(tmp_path / "data/pics/other")
    status, _, err = cli(*WORDS, "--train")
    assert (status, err.count("\n")) == (1, 1)
    assert "no folder trainB with images (.jpg" in err and "in data/pics\n" in err
    status, _, err = cli("--arch", "cyclegan", "--dataset", "mnist", "--train")
    assert (status, err.count("\n")) == (1, 1)
    assert "no folder data/mnist: " in err


def test_domains_without_test_images(cli, tmp_path, eager):
    """In a zip file. Training images are shown and measured, and not translated in test mode."""
    make_domains(tmp_path / "pics", (2, 3, 2, 1), (30, 26))
    shutil.rmtree(tmp_path / "pics/testB")
    whole = shutil.make_archive(tmp_path / "pics", "zip", tmp_path, "pics")
    words = ("--dataset", "pics.zip", "--max_steps", 1, "--train", "--eval_every", 1)
    status, out, _ = cli(*WORDS, *words, "--best_by", "cycle")
    assert status == 0
    assert "no testB: the sheets show training images" in out.splitlines()
    gap = "there is no testB: images of trainB are measured, which runs of this data set are "
    assert f"note: {gap}trained on" in out.splitlines()
    (drawn,) = Path("samples").glob("pics_*")
    check_measures(cli, Path("checkpoint") / drawn.name, f"{gap}trained on")
    with Image.open(drawn / "train_01_0000.png") as sheet:
        assert sheet.size == (6 * 24, 2 * 24)
    status, _, err = cli("--dataset", "pics.zip")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("main.py: no test images in pics.zip: the folder testB is missing or ")
    assert "--translate A2B (or B2A) and --input PATH" in err
    save(tmp_path / "pics/testB/odd.png", (37, 29))
    shutil.make_archive(whole.removesuffix(".zip"), "zip", tmp_path, "pics")
    status, out, _ = cli("--dataset", "pics.zip", "--sample_dir", "made")
    assert status == 0
    top = Path("made") / drawn.name
    made = {str(p.relative_to(top)): Image.open(p).size for p in top.rglob("*.png")}
    assert made == {"fakeB/0.png": (26, 30), "fakeB/1.png": (26, 30), "fakeA/odd.png": (37, 29)}


def check_measures(cli, folder, gap):
    """A training's measures are those of `--evaluate`; the mean of both directions decides."""
    (row,) = log_rows(folder)
    logged = {n.removeprefix("eval/"): float(v) for n, v in row.items() if n.startswith("eval/")}
    directions = [f"{m}_random-cnn{d}" for m in ("fid", "kid") for d in ("", "_A2B", "_B2A")]
    assert logged.keys() == {"samples", "cycle", "cycle_A", "cycle_B", *directions}
    assert logged["cycle"] == pytest.approx((logged["cycle_A"] + logged["cycle_B"]) / 2)
    assert (folder / "best/generator_B2A.keras").is_file()
    for words in ((), ("--checkpoint_dir", folder, "--name", "best")):
        status, out, _ = cli("--dataset", "pics.zip", "--evaluate", "--sample_dir", "s", *words)
        lines = out.splitlines()
        assert status == 0 and gap in lines
        line = "2 images of testA, translated to B, beside 3 images of trainB, and the other way"
        assert f"{line} round" in lines
        title = folder.name if not words else f"{folder.name}_best"
        assert lines[-1] == f"s/{title}/measures.json"
        found = json.loads(Path(lines[-1]).read_text())
        assert found == pytest.approx(logged, rel=1e-4, abs=1e-6)
        assert f"{'cycle_A':32} {found['cycle_A']:.6g}" in lines
    assert "cycle 0." in cli("--list")[1]
