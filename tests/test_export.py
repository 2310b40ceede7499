"""Exports: the files written, the check of each, and what a failed export leaves behind."""

import ast
import html
import importlib.util
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import console
import files
from commands import build
from commands.export import latents_code
from config import rows, tables
from config.resolve import resolve
from datasets.packed import ImageSpec
from generation import export, model_card
from layers.stock import stock
from tests.conftest import ROOT, TINY

RNG = "rng.standard_normal({shape})"
LOG = "step,seconds,loss,eval/fid_x\n4,1,2,3.25\n6,2,2,\n"
KERAS = export.Format(".keras", export.write_keras, export.KERAS)


def settings(c, **data):
    data = {"height": 8, "width": 8, "channels": 1, "count": 100, "classes": 0, **data}
    return {**c.to_json(), "data": data}


def put_run(name="digits_4_8_8", classes=10, **given):
    """Write a run's folder as training does, with initial weights; return the generator."""
    c = resolve({**TINY, "conditional": classes > 0, **given})
    spec = ImageSpec(8, 8, 1, 100, classes)
    generator = stock(build.build_networks(c, spec)[0])
    folder = Path("checkpoint", name)
    folder.mkdir(parents=True)
    generator.save(folder / "generator.keras")
    names = [f"class {i}" for i in range(classes)]
    text = json.dumps(settings(c, classes=classes, class_names=names))
    (folder / "config.json").write_text(text)
    return generator


def put_images_run(*names, listed=False):
    """Write a run of generators that return their input, images of any size; return its folder."""
    x = keras.Input((None, None, 3))
    network = keras.Model([x] if listed else x, keras.layers.Activation("linear")(x))
    folder = Path("checkpoint/pair")
    folder.mkdir(parents=True)
    for name in names:
        network.save(folder / f"{name}.keras")
    text = json.dumps(settings(resolve(TINY), height=6, width=5))
    (folder / "config.json").write_text(text)
    return folder


def quick(code, writer=lambda network, path: path.write_text("new")):
    """A format that is checked without TensorFlow: `code` makes `images` with NumPy."""
    return {"quick": export.Format(".quick", writer, code)}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that exports a run into `out` in formats of the test's own."""
    monkeypatch.chdir(tmp_path)

    def run(folder, formats, others=None):
        return export.write(folder, Path("out"), formats, others=others or {}, latents=RNG)

    return run


def test_every_format_makes_the_same_images_as_the_generator(cli):
    generator = put_run()
    run = Path("checkpoint/digits_4_8_8")
    (run / "metrics.csv").write_text(LOG)
    (run / "checkpoint").write_text('model_checkpoint_path: "ckpt-7"\n')
    status, out, err = cli("--dataset", "digits", "--export", "keras,savedmodel,onnx")
    assert (status, err) == (0, ""), err
    paths = [f"export/digits_4_8_8/generator.{s}" for s in ("keras", "onnx", "savedmodel")]
    assert out.splitlines()[-4:] == [*paths, "export/digits_4_8_8/README.md"]
    rng = np.random.default_rng(5)
    z, labels = rng.normal(size=(3, 4)).astype("float32"), np.eye(10, dtype="float32")[[1, 7, 7]]
    expected = np.asarray(generator([z, labels], training=False))
    assert np.abs(expected).max() > 1e-3
    text = Path("export/digits_4_8_8/README.md").read_text()
    codes = re.findall(r"```python\n(.*?)```", text, re.S)[1:]
    assert len(codes) == 3
    for code in codes:
        space = {"np": np, "z": z, "labels": labels}
        exec(code.replace("('generator", "('export/digits_4_8_8/generator"), space)
        np.testing.assert_allclose(space["images"], expected, atol=1e-6)
    assert "the 100 images of 10 classes of `digits`, after 7 updates" in text
    assert "- classes by column: 0 is `class 0`, 1 is `class 1`, 2 " in text
    assert "| `fid_x` | 3.25 |" in text and "After 4 updates." in text
    assert "| `z_dim` | `4` |" in text
    assert len(list(Path("export").iterdir())) == 1


def test_inputs_are_made_by_the_cards_code(write):
    generator = put_run(z_distribution="normal")
    code = model_card.input_code(generator, RNG, (8, 8, 1))
    assert code == {
        "z": 'z = rng.standard_normal((16, 4)).astype("float32")',
        "labels": 'labels = np.eye(10)[np.arange(16) % 10].astype("float32")',
    }
    assert "np.arange(4)" in model_card.input_code(generator, RNG, (512, 512, 3))["labels"]
    for row in tables.LATENTS.values():
        rng = np.random.default_rng(0)
        made = eval(row.numpy.format(shape=(500, 100)), {"rng": rng})
        ours = np.asarray(rows.import_object(row.function)([0, 1], (500, 100)))
        assert made.shape == ours.shape
        assert made.std() == pytest.approx(ours.std(), rel=0.02)
        assert abs(made).max() <= 1 or abs(ours).max() > 2
    for name, row in tables.LATENTS.items():
        code = model_card.input_code(generator, latents_code(name, 0.5), (8, 8, 1))["z"]
        space = {"np": np, "rng": np.random.default_rng(0)}
        exec(code.replace("(16, 4)", "(500, 100)"), space)
        ours = np.asarray(rows.import_object(row.truncated)([0, 1], (500, 100), 0.5))
        assert space["z"].std() == pytest.approx(ours.std(), rel=0.02)
        assert space["z"].dtype == np.float32
        assert 0.49 < abs(space["z"]).max() <= 0.5 and 0.49 < abs(ours).max() <= 0.5


def test_all_generators_of_a_run_are_exported(write):
    """And no file of another name, which could be code."""
    evil = "generator'); open('stolen', 'w'); ('"
    folder = put_images_run("generator_A2B", "generator_B2A", "generator_old", evil)
    paths = write(folder, quick("images = {args}"))
    assert [p.name for p in paths] == ["generator_A2B.quick", "generator_B2A.quick", "README.md"]
    text = Path("out/README.md").read_text()
    assert "rng.uniform(-1, 1, (16, 6, 5, 3))" in text
    assert "pipeline_tag: image-to-image" in text


@pytest.mark.parametrize(("listed", "args"), [(True, "[x]"), (False, "x")])
def test_inputs_are_in_a_list_if_the_network_takes_one(write, recwarn, listed, args):
    write(put_images_run("generator", listed=listed), quick("images, = {args},\nimages = x"))
    assert f"images, = {args},\n" in Path("out/README.md").read_text()
    assert not [w for w in recwarn if "structure" in str(w.message)]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("images = {args} + 2e-5", "differ by 2e-05, and 1e-05 is allowed"),
        ("images = {args} * np.nan", "differ by nan"),
        ("images = {args}[1:]", r"makes images (15, 6, 5, 3), not (16, 6, 5, 3)"),
        ("import utils", "does not load by itself: ModuleNotFoundError"),
        ("raise SystemExit(3)", "does not load by itself: exit status 3"),
    ],
)
def test_a_file_that_makes_other_images_is_refused(write, monkeypatch, code, says):
    """An older export stays."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # from where `utils` would be found
    folder = put_images_run("generator")
    write(folder, quick("images = {args} + 9e-6"))
    Path("out/generator.quick").write_text("old")
    with pytest.raises(console.Failed) as error:
        write(folder, quick(code))
    assert says in str(error.value) and "\n" not in str(error.value)
    assert sorted(p.name for p in Path("out").glob("[!.]*")) == ["README.md", "generator.quick"]
    assert files.is_output(Path("out"))
    assert Path("out/generator.quick").read_text() == "old"
    assert sorted(p.name for p in Path().iterdir()) == ["checkpoint", "out"]


@pytest.mark.parametrize(
    ("harm", "ends", "says"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
        (
            OSError(28, "No space"),
            console.Failed,
            "cannot write generator.quick: [Errno 28] No space",
        ),
    ],
)
def test_an_interrupted_export_leaves_the_old_one(write, harm, ends, says):
    def interrupted(network, path):
        path.mkdir()
        (path / "half").write_text("")
        raise harm

    folder = put_images_run("generator")
    write(folder, quick("images = {args}"))
    before = Path("out/README.md").read_text()
    with pytest.raises(ends) as error:
        write(folder, quick("images = {args}", interrupted))
    assert str(error.value) == says
    assert Path("out/README.md").read_text() == before
    assert sorted(p.name for p in Path().iterdir()) == ["checkpoint", "out"]


def test_an_export_replaces_an_older_one(write, capsys):
    """All files that an export may have written are replaced; the user's files stay."""
    for name in ("generator.savedmodel", "user"):
        Path("out", name).mkdir(parents=True)
        Path("out", name, "a").write_text("")
    Path("out/generator_A2B.quick").write_text("old")
    Path(f".gan-{'0' * 16}.part").mkdir()  # of a process that is no more
    old = export.Format(".savedmodel", None, "raise ValueError('broken')")
    write(put_images_run("generator"), quick("images = {args}"), {"savedmodel": old})
    line = "removed out/generator.savedmodel, a file of an older export: generator.savedmodel does"
    assert capsys.readouterr().out == f"{line} not load by itself: ValueError: broken\n"
    names = sorted(p.name for p in Path("out").glob("[!.]*"))
    assert names == ["README.md", "generator.quick", "user"]
    assert not Path(f".gan-{'0' * 16}.part").exists()


def test_files_of_other_formats_stay_if_they_are_of_the_same_state(write, capsys):
    """They are on the card. A file of another state makes other images."""
    code = "images = {args} + float(open({file!r}).read())"
    one, two = ({n: export.Format(f".{n}", _write_zero, f"{code}  # {n}")} for n in ("one", "two"))
    folder = put_images_run("generator_A2B", "generator_B2A")
    write(folder, one)
    Path("out/generator_B2A.one").write_text("3e-5")
    paths = write(folder, two, one)
    names = ["generator_A2B.two", "generator_B2A.two", "README.md"]
    assert [path.name for path in paths] == names
    assert {p.name for p in Path("out").glob("[!.]*")} == {*names, "generator_A2B.one"}
    out = capsys.readouterr().out
    assert out.startswith("removed out/generator_B2A.one, a file of an older export: generator_B2A")
    assert out.endswith("they differ by 3e-05, and 1e-05 is allowed\n") and out.count("\n") == 1
    card = Path("out/README.md").read_text()
    files = re.findall("^### (.*)$", card, re.M)
    assert files == ["generator_A2B.one", "generator_A2B.two", "generator_B2A.two"]
    assert card.count("# one\n") == 1 and card.count("# two\n") == 2


def _write_zero(network, path):
    path.write_text("0")


def test_a_card_of_someone_else_stays(write):
    Path("out").mkdir()
    Path("out/README.md").write_text("mine")
    with pytest.raises(console.Failed, match=r"^out has a README.md, and is no export of this"):
        write(put_images_run("generator"), quick("images = {args}"))
    assert Path("out/README.md").read_text() == "mine"


@pytest.mark.parametrize("code", [export.KERAS, export.SAVEDMODEL, export.ONNX])
def test_names_are_texts_in_the_code(code):
    name = "a'); open(\"stolen\", 'w'); ('\\"
    texts = [
        n.value
        for n in ast.walk(ast.parse(code.format(file=name, args="z", names="z")))
        if isinstance(n, ast.Constant)
    ]
    assert name in texts and "stolen" not in texts


def test_missing_packages_are_named(cli, monkeypatch):
    put_run()
    found = importlib.util.find_spec
    absent = ("tf2onnx", "onnxruntime")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in absent else found(name, *a)
    )
    status, _, err = cli("--dataset", "digits", "--export", "keras,onnx")
    assert (status, err.count("\n")) == (1, 1)
    assert "--export onnx needs tf2onnx and onnxruntime: pip install -r requirements-onnx" in err
    assert not Path("export").exists()
    assert (ROOT / "requirements-onnx.txt").read_text().count("==") == 3


def test_wrong_calls_and_broken_runs(cli):
    status, _, err = cli("--dataset", "digits", "--export", "keras,tflite")
    assert (status, err.count("\n")) == (2, 1) and "one of keras, savedmodel, onnx" in err
    put_run()
    path = Path("checkpoint/digits_4_8_8/config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "data": {"height": 8}}))
    status, _, err = cli("--dataset", "digits", "--export", "keras")
    assert (status, err.count("\n")) == (1, 1) and "config.json: data has no width" in err
    x = keras.Input((3, 4))
    keras.Model(x, x + 1).save(path.parent / "generator.keras")
    path.write_text(json.dumps(settings(resolve(TINY))))
    status, _, err = cli("--dataset", "digits", "--export", "keras")
    assert (status, err.count("\n")) == (1, 1) and "generator.keras is no generator" in err


@pytest.mark.parametrize(
    ("found", "name", "expected"),
    [
        ([0, 4095], "z", ["Training images of more than 8 bits: 0 to 4095 became -1 to 1."]),
        (
            [None, [0.5, 9]],
            "x",
            ["Training images of B of more than 8 bits: 0.5 to 9 became -1 to 1."],
        ),
        (None, "z", []),
        ("broken", "x", []),
    ],
)
def test_the_card_has_the_range_of_values(tmp_path, found, name, expected):
    text = settings(resolve({**TINY, "conditional": False}), value_range=found)
    (tmp_path / "config.json").write_text(json.dumps(text))
    lines = model_card.text(tmp_path, (8, 8, 3), {name: "code"}, []).splitlines()
    assert [line for line in lines if "8 bits" in line] == expected


def test_the_card_hides_paths_and_shows_the_step_of_the_best_state(tmp_path):
    run = tmp_path / "r" / "best"
    run.mkdir(parents=True)
    own = {"dataset": "/secret/pics", "extractor": "/secret/x.keras"}
    c = resolve({**TINY, **own, "conditional": False})
    (run / "config.json").write_text(json.dumps(settings(c)))
    (run / "measures.json").write_text('{"step": 9, "fid": 2.5}')
    text = model_card.text(run, (8, 8, 3), {"z": "z = 1"}, [])
    assert "secret" not in text and "`pics`" in text and "x.keras" in text
    assert "# r: its best state" in text and "After 9 updates" in text
    assert "8x8 colour images" in text
    (run / "measures.json").unlink()
    assert model_card.measures(run) == (None, {})
    assert model_card.last_step(run) is None


def test_the_heading_of_the_card_is_plain(tmp_path):
    run = tmp_path / "<img src=x onerror=alert(1)>[a](b)"
    run.mkdir()
    (run / "config.json").write_text(json.dumps(settings(resolve({**TINY, "conditional": False}))))
    text = model_card.text(run, (8, 8, 3), {"z": "z = 1"}, [])
    (heading,) = (line for line in text.splitlines() if line.startswith("# "))
    assert not set(heading[2:]) & set("<>[]()")
    assert html.unescape(heading) == f"# {run.name}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist_64_28_28", "faces_64_48_48"])
def test_the_shipped_generators(cli, name):
    words = ("--dataset", name.partition("_")[0], "--export", "keras,savedmodel,onnx")
    status, _, err = cli(*words)
    assert (status, err) == (0, "")
    assert len(list(Path("export", name).glob("[!.]*"))) == 4


def test_a_best_state_is_exported_to_its_own_folder():
    assert export.home(Path("checkpoint/a")) == Path("export/a")
    assert export.home(Path("checkpoint/a/best")) == Path("export/a_best")
