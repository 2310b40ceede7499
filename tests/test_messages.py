"""What the program says about a call: settings, suggestions, --help, docs/flags.md."""

import pytest

from config import fields, presets, tables
from config.fields import FIELDS
from config.resolve import resolve
from config.values import nearest
from messages import groups, help, settings
from tests.conftest import ROOT


def test_each_flag_is_in_one_group():
    names = [name for group in groups.GROUPS for name in group.fields]
    assert sorted(names) == sorted(FIELDS)
    assert {*groups.NEEDS, *groups.NEEDS.values(), *groups.OFF_AT_0} <= set(FIELDS)


def shown(lines):
    """Return the settings in lines of `grouped`, as a dict of texts."""
    items = [item for line in lines for item in line.split("  ") if "=" in item]
    return dict(item.strip().split("=", 1) for item in items)


@pytest.mark.parametrize("preset", [None, *presets.PRESETS])
def test_a_training_begins_with_few_lines_of_settings(preset):
    c = resolve({"preset": preset})
    lines = settings.grouped(c)
    assert len(lines) <= 12 and max(map(len, lines)) <= 100
    found = shown(lines)
    assert found == {n: fields.text(getattr(c, n)) for n in found}
    kept = {"dataset", "mode", "arch", "batch_size", "seed", "learning_rate", "beta1", "save_every"}
    assert kept - {*settings.unused_fields(c)} <= found.keys()
    assert not {*settings.unused_fields(c)} & found.keys()


def test_settings_that_are_off_are_left_out():
    off = shown(settings.grouped(resolve({"dataset": "faces"})))
    assert not {"max_res", "clip_up", "div_k", "train_size", "crop", "eval_samples"} & off.keys()
    given = {"mode": "regular", "eval_every": 9, "crop": True, "train_size": 7, "conditional": True}
    on = shown(settings.grouped(resolve({"dataset": "faces", **given})))
    names = ("clip_up", "train_size", "crop", "input_height", "eval_samples", "label_mode", "rho")
    assert {*names} <= on.keys() and "LAMBDA" not in on and "beta1" not in on


def test_a_long_path_has_a_line_to_itself():
    lines = settings.grouped(resolve({"dataset": "x" * 200}))
    assert lines[0].split() == ["images", "dataset=" + "x" * 200]
    assert all(len(line) <= 100 for line in lines[1:])


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("preset", [None, "cyclegan_hair"])
def test_help_shows_values_and_meanings(preset, everything):
    c = resolve({"preset": preset})
    page = help.help_text(c, everything)
    assert max(map(len, page.splitlines())) <= 100
    names = [n for group in groups.GROUPS for n in (group.fields if everything else group.common)]
    assert [x.split("=")[0][4:] for x in page.splitlines() if x.startswith("  --")] == names
    for name in names:
        entry = page.split(f"\n  --{name}={fields.text(getattr(c, name))} ")[1].split("\n  --")[0]
        entry = " ".join(entry.split())
        assert FIELDS[name].metadata["help"] in entry
        assert ", ".join(FIELDS[name].metadata["choices"] or ()) in entry
    assert everything or f"--help all shows {len(FIELDS) - len(names)} more" in page


def test_the_presets_are_listed():
    head, *lines = help.preset_table().splitlines()
    assert len(lines) == len(presets.PRESETS)
    assert max(map(len, lines)) <= 100
    for line, (name, row) in zip(lines, presets.PRESETS.items()):
        found = dict(zip(head.split(), line.split()))
        c = resolve({"preset": name})
        assert (found.pop("preset"), found.pop("source")) == (name, row.source)
        assert {"arch", "mode", "dataset"} <= set(found)
        assert found == {n: fields.text(getattr(c, n)) for n in found}


def test_the_page_of_flags_is_up_to_date():
    """`python -m messages.help > docs/flags.md` brings it up to date."""
    page = help.flags_page()
    assert (ROOT / "docs" / "flags.md").read_text() == page
    for name, default in {
        "mode": "gp; `sngan`: hinge; `fastgan`: rpgan; `cyclegan`: lsgan",
        "learning_rate": "0.001; `regular`: 5e-05;",
        "input_fname_pattern": "\\* |",
    }.items():
        assert f"| `{name}` | {default}" in page


@pytest.mark.parametrize(
    ("word", "names", "found"),
    [
        ("GP", tables.MODES, "gp"),
        ("face", ("faces_r1", "faces"), "faces"),
        ("Faces-R1", ("faces_r1", "faces"), "faces_r1"),
        ("spectra", tables.PENALTIES | {"spectral": 0}, "spectral"),
        ("bf16", tables.PRECISIONS, "bfloat16"),
        ("learnig_rate", FIELDS, "learning_rate"),
        ("gaussian", ("uniform", "normal"), None),
        ("", ("uniform", "normal"), None),
        ("-", ("uniform", "normal"), None),
    ],
)
def test_the_nearest_name(word, names, found):
    assert nearest(word, names) == found


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("--mode GP", "flag --mode=GP: did you mean gp? It must be one of gp, "),
        ("--mode WGAN", "flag --mode=WGAN: did you mean regular? It must be one of gp, "),
        ("--preset face", "did you mean faces? It must be one of "),
        ("--augment Color,cutot", "did you mean color,cutout? It must be "),
        ("--compare gp,zz", "flag --compare=gp,zz: must be one of "),
        ("--lr 1e-3", "there is no flag --lr: did you mean --learning_rate?"),
        ("--Epochs=3", "there is no flag --Epochs: did you mean --epoch?"),
        ("--qqqq", "there is no flag --qqqq: --help lists the flags"),
        ("--device GPU", "such as gpu:0 (did you mean gpu?)"),
        ("--dataset MNIST", "(did you mean --dataset mnist?)"),
        ("--dataset my-face --train True", "(did you mean --dataset my_faces?)"),
        ("--train True --init_from Mnist_64_28", "(did you mean --init_from mnist_64_28_28?)"),
        ("--name mnist_64_2828", "(did you mean --name mnist_64_28_28?)"),
    ],
)
def test_misspelt_words_have_a_suggestion(words, hint, cli, tmp_path):
    (tmp_path / "data" / "my_faces").mkdir(parents=True)
    status, _, err = cli(*words.split())
    assert status in (1, 2) and hint in err and len(err.splitlines()) == 1


def test_the_name_of_a_new_run_is_not_taken_for_a_misspelt_one(cli):
    status, _, err = cli("--dataset", "zzz", "--train", "--name", "mnist_64_2828")
    assert status == 1 and err.startswith("main.py: no folder data/zzz: ") and "mean" not in err
