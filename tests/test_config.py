"""Flags, their precedence, what is kept with a run, and what is refused."""

import contextlib
import dataclasses
import json
import math
import shlex
import subprocess
import sys

import pytest

from commands import build
from config import fields, flags, presets, tables
from config.fields import FIELDS, FIXED
from config.resolve import network_for_few, resolve, settle
from config.rows import Preset
from config.saved import LOSS, changes, identity, read_saved, refuse_changes, taken_settings
from console import WrongCall
from messages import opening, settings
from tests.conftest import ROOT, run_main

KEPT = resolve({}).to_json()
NETWORK = tables.ARCHS["dcgan"].network
BOOLEANS = [n for n, f in FIELDS.items() if f.type is bool]


def parse(line):
    return flags.parse_flags(["main.py", *shlex.split(line)])


def call(line):
    return resolve(parse(line))


def example(name):
    """A text that flag `name` takes, and its value."""
    low, high, choices = (FIELDS[name].metadata[key] for key in ("low", "high", "choices"))
    word = [*(choices or ["word"])][-1]
    number = 4 if name == "visualize" else max(9, low or 0)
    others = {"device": "gpu:1", "batch_dict": "16:8,64:4", "background": "#102030", "mix": "0-3:8"}
    others |= {"move": "2=1.5,smile=-1"}
    word = others.get(name, word)
    fraction = -0.5 if name == "clip_down" else 0.5 if high or name == "truncation" else 2.5
    several = (*choices,)[-2:] if choices else (8, 4)
    table = {str: (word, word), bool: ("False", False), tuple: (fields.text(several), several)}
    table |= {int: (str(number), number), float: (str(fraction), fraction)}
    return table[FIELDS[name].type]


def test_a_path_into_data_dir_is_the_name_of_a_data_set(tmp_path, monkeypatch):
    """Other paths are paths, whatever they are called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    faces = resolve({"dataset": "faces"})
    for path in ("data/faces", "./data/faces/", f"{tmp_path}/data/faces", "x/../data/faces"):
        assert call(f"--dataset {path}") == faces
    assert call("--dataset ./mnist --data_dir .").dataset == "mnist"
    assert call("--dataset '~/sets/faces' --data_dir home/sets").dataset == "faces"
    for path, size in (("./faces", 64), ("data/faces/a", 64), ("faces/", 64), (".", 64)):
        c = call(f"--dataset {path}")
        assert (c.dataset, c.output_height) == (path, size)
    assert call("--dataset '~/faces'").dataset == str(tmp_path / "home" / "faces")
    assert call("--dataset data/cats.zip").run_name == "cats_64_64_64"
    (tmp_path / "cats").mkdir()  # `cats` alone would be this folder
    assert call("--dataset data/cats").dataset == "data/cats"
    (tmp_path / "data/cats").mkdir(parents=True)
    assert call("--dataset data/cats").dataset == "cats"


# ---- parse_flags -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_a_flag(name):
    text, value = example(name)
    for word in {name, name.replace("_", "-")}:
        for words in ([f"--{word}={text}"], [f"--{word}", text], [f"-{word}", text]):
            assert flags.parse_flags(["main.py", *words]) == {name: value}
    # The first three go together, and with cyclegan. MNIST has test images, and none held out. The
    # next two need --serve. Weights go with their extractor.
    alone = name not in ("translate", "input", "output", "holdout", "host", "port")
    alone = alone and name != "extractor_weights"
    assert getattr(resolve({"output_height": 64, name: value}, check=alone), name) == value


def test_only_the_flags_given_are_returned():
    assert parse("") == {}
    given = parse("--epoch 25 --batch_size=64 --epoch 26")  # a default, and the last wins
    assert given == {"epoch": 26, "batch_size": 64}
    assert type(given["epoch"]) is int


@pytest.mark.parametrize("name", BOOLEANS)
def test_all_ways_to_write_a_boolean(name):
    on = ["", " True", "=True", " true", "=true", " 1", "=1", " yes", "=yes", " YES", " t", " y"]
    off = [" False", "=False", " false", "=false", " 0", "=0", " no", "=no", " No", " f", " n"]
    lines = [(f"--{name}{end}", True) for end in on] + [(f"--{name}{end}", False) for end in off]
    for line, value in [*lines, (f"--no{name}", False), (f"--no-{name}", False)]:
        for rest in ("", " --epoch 3"):  # a boolean takes no more than its own word
            want = {name: value} | ({"epoch": 3} if rest else {})
            assert parse(line + rest) == want, line + rest
            assert parse(rest + " " + line) == want, rest + " " + line


@pytest.mark.parametrize(
    "line, name, value",
    [
        ("--clip_down -0.02", "clip_down", -0.02),
        ("--clip-down -.02", "clip_down", -0.02),
        ("--batch_dict 256:14,8:016", "batch_dict", "8:16,256:14"),
        ("--batch_dict 4:2147483647", "batch_dict", "4:2147483647"),
        ("--clip_down=-2e-2", "clip_down", -0.02),
        ("--learning_rate None", "learning_rate", None),
        ("--input-width None", "input_width", None),
        ("--mirror None", "mirror", None),
        ("--mirror=None", "mirror", None),
        ("--train_size inf", "train_size", 0),
        ("--train_size np.inf", "train_size", 0),
        ("--train_size 0", "train_size", 0),
        ("--train_size 100", "train_size", 100),
        ("--visualize", "visualize", 5),
        ("--visualize True", "visualize", 5),
        ("--visualize=True", "visualize", 5),
        ("--visualize yes", "visualize", 5),
        ("--visualize False", "visualize", None),
        ("--novisualize", "visualize", None),
        ("--visualize None", "visualize", None),
        ("--visualize 0", "visualize", 0),
        ("--visualize 1", "visualize", 1),
        ("--visualize 2", "visualize", 2),
        ("--visualize 3", "visualize", 3),
        ("--visualize=4", "visualize", 4),
        ("--g_width 512,256", "g_width", (512, 256)),
        ("--d-width=64", "d_width", (64,)),
        ("--seeds 0-3,8", "seeds", (0, 1, 2, 3, 8)),
        ("--seeds 7", "seeds", (7,)),
        ("--mode wgan-gp", "mode", "gp"),
        ("--mode wgan", "mode", "regular"),
        ("--mode=wgan-div", "mode", "div"),
        ("--name=-x", "name", "-x"),
        ("--epoch 2147483647", "epoch", 2**31 - 1),
    ],
)
def test_values(line, name, value):
    found = parse(line)
    assert found == {name: value}
    assert type(found[name]) is type(value)


def test_a_flagfile_reads_as_the_command_line_does(tmp_path):
    inner, path = tmp_path / "inner", tmp_path / "flags"
    inner.write_text("--mode=wgan\n--epoch=4\n")
    path.write_text(
        f"# a comment\n--train=True\n--clip-down=-0.02\n\n--nocrop\n--resume=False\n"
        f"--flagfile={inner}\n--name\nmine\n"
    )
    want = {"train": True, "clip_down": -0.02, "crop": False, "resume": False, "mode": "regular"}
    want |= {"name": "mine", "epoch": 4}
    assert parse(f"--flagfile={path}") == want
    assert parse(f"--train False --flagfile {path} --epoch 5") == {**want, "epoch": 5}
    assert parse(f"--epoch 5 --flagfile {path}") == want  # what comes last wins
    assert parse(f"--batch-size 8 --flagfile {path}") == {**want, "batch_size": 8}


@pytest.mark.parametrize("word", ["--help", "-h", "--helpfull", "--helpshort", "-help"])
def test_help_is_a_key_beside_the_flags(word):
    assert parse(f"{word} --epoch 3") == {"help": "common", "epoch": 3}
    assert parse(f"--epoch 3 {word}") == {"help": "common", "epoch": 3}
    assert parse(f"{word} all --epoch 3") == {"help": "all", "epoch": 3}


MODES = ", ".join(tables.MODES)
ODD = ["", " ", "-inf", "1e999", "9" * 5000, "-1", "\u00b2", "\u0663", ",", "\u2028", "\n", "\0"]
ODD += ["../x", "--", "-", "a=b", "\udcff", "--train", "true"]


@pytest.mark.parametrize("name", FIELDS)
def test_no_text_makes_more_than_a_wrong_call(name):
    for text in ODD:
        for words in ([f"--{name}={text}"], [f"--{name}", text]):
            try:
                value = flags.parse_flags(["main.py", *words]).get(name)
                fields.check_value(name, value)
                resolve({name: value})
            except WrongCall as error:
                assert len(str(error).splitlines()) == 1
                named = (name, repr(text), "--" + text.lstrip("-"))
                assert any(word in str(error) for word in named), error


# ---- resolve ---------------------------------------------------------------------------------

LAYERS = ("flag", "preset", "saved", "dataset", "arch", "mode", "default")


@pytest.mark.parametrize("first", range(7), ids=LAYERS)
def test_precedence(monkeypatch, first):
    """The value of layer `first` wins where all the layers after it have one too."""
    values = {layer: i / 10 for i, layer in enumerate(LAYERS[:-1], 1)} | {"default": 0.0}
    rows = {n: {"momentum": v} if n in LAYERS[first:] else {} for n, v in values.items()}
    monkeypatch.setitem(presets.PRESETS, "mine", Preset("ours", rows["preset"]))
    for layer, table, key in (
        ("dataset", tables.DATASETS, "faces"),
        ("arch", tables.ARCHS, "dcgan"),
        ("mode", tables.MODES, "div"),
    ):
        defaults = {**table[key].defaults, **rows[layer]}
        monkeypatch.setitem(table, key, dataclasses.replace(table[key], defaults=defaults))
    given = {"dataset": "faces", "mode": "div", "preset": "mine", **rows["flag"]}
    found = resolve(given, rows["saved"])
    assert found.momentum == values[LAYERS[first]]


def test_rows_are_those_of_the_names_taken(monkeypatch):
    row = Preset("ours", {"dataset": "faces", "mode": "regular"})
    monkeypatch.setitem(presets.PRESETS, "mine", row)
    c = resolve({"preset": "mine"}, {"dataset": "mnist", "mode": "gan"})
    assert (c.output_height, c.mirror, c.optimizer, c.rho) == (48, None, "rmsprop", 0.99)
    c = resolve({}, {"dataset": "celebA", "mode": "gan"})
    assert (c.output_height, c.input_height, c.critic_num) == (64, 108, 1)
    c = resolve({"dataset": "pictures"})
    assert (c.output_height, c.input_height, c.conditional) == (64, None, False)


@pytest.mark.parametrize(
    ("line", "channels", "count", "mirror", "augment"),
    [
        ("--dataset cats", 3, 999, True, "color,translation,cutout 0.3"),
        ("--dataset cats --augment_p 0.5", 3, 9, True, "color,translation,cutout 0.5"),
        ("--dataset cats --mode r1", 3, 999, True, "ada"),
        ("--dataset cats --output_height 48", 3, 999, True, "color,translation,cutout 0.3"),
        ("--dataset cats --arch fastgan --augment_p 0.5", 3, 999, True, "color,translation 0.5"),
        ("--dataset cats --arch resnet", 3, 999, True, "ada"),
        ("--dataset cats", 3, 1000, True, "none"),
        ("--dataset cats", 1, 10, False, "none"),
        ("--dataset cats --mirror False --augment color", 3, 10, False, "color"),
        ("--dataset cats --augment none", 3, 10, True, "none"),
        ("--dataset cats --arch cyclegan", 3, 10, True, "none"),
        ("--preset faces", 3, 10, False, "none"),
        ("--dataset cifar10", 3, 10, False, "none"),
        ("--dataset digits", 1, 10, False, "none"),
    ],
)
def test_images_settle_what_nothing_else_gives(line, channels, count, mirror, augment):
    """A set is mirrored if it has colours, and augmented if it is also small."""
    asked = resolve(parse(line))
    c = settle(asked, channels, count)
    names, _, p = augment.partition(" ")
    assert (c.mirror, c.augment, c.augment_p) == (mirror, tuple(names.split(",")), float(p or 1))
    said = " ".join(opening.settled(asked, c, count))
    assert ("mirror=True" in said) == (mirror and "--mirror" not in line and "cyclegan" not in line)
    strength = p and f" augment_p={p}"
    new = asked.augment is None and augment != "none"
    assert (f"augment={names}{strength}: with only" in said) == new == ("augment" in said)


@pytest.mark.parametrize(
    ("line", "network"),
    [
        ("--dataset cats", "fastgan"),
        ("--dataset cats --output_height 128 --output_width 64", "fastgan"),
        ("--dataset cats --learning_rate 1e-4 --batch_size 8 --name x", "fastgan"),
        ("--dataset faces --output_height 64", "fastgan"),
        ("--dataset faces", None),  # 48x48
        ("--dataset cats --output_height 48", None),
        ("--dataset cats --output_width 96", None),
        ("--dataset cats --arch dcgan", None),
        ("--dataset cats --mode gp", None),
        ("--dataset cats --g_width 16", None),
        ("--dataset cats --compare gp,regular", None),
        ("--dataset cats --init_from faces_64_64_64", None),
        ("--dataset cats --preset faces_r1 --output_height 64", None),
        ("--dataset mnist --output_height 64", None),
        ("--dataset cifar10 --output_height 64", None),
    ],
)
def test_the_network_for_few_images(line, network):
    given = parse(line)
    assert network_for_few(resolve(given, check=False), given) == network


def test_folders_have_rates_of_their_own():
    """Only the mode and the architecture that they were measured with.

    They fall, but not if a flag, a preset or the run itself gives the rate.
    """
    lines = {
        "--dataset faces": (2e-3, 1000),
        "--dataset cats": (2e-3, 1000),
        "--dataset cats --decay_after 0": (2e-3, 0),
        "--dataset cats --learning_rate 1e-3": (1e-3, 0),
        "--dataset cats --learning_rate 1e-3 --decay_after 9": (1e-3, 9),
        "--dataset cats --d_learning_rate 2e-3": (2e-3, 1000),
        "--preset anime_wgan_gp": (2e-4, 0),
        "--dataset cats --mode r1": (2e-4, 0),
        "--dataset cats --arch resnet": (1e-3, 0),
        "--dataset cats --arch pggan": (1e-3, 0),
        "--dataset cats --arch fastgan": (1e-3, 4000),
        "--dataset cats --arch fastgan --mode hinge": (2e-4, 0),
        "--dataset mnist": (1e-3, 0),
    }
    for line, found in lines.items():
        c = resolve(parse(line))
        assert (c.learning_rate, c.d_learning_rate, c.decay_after) == (found[0], *found), line
    for saved in ({"learning_rate": 1e-3}, {"learning_rate": 2e-3, "decay_after": 0}):
        c = resolve(parse("--dataset cats"), saved)
        assert (c.learning_rate, c.decay_after) == (saved["learning_rate"], 0)


def test_none_means_the_tables_value():
    c = call("--mode None --learning_rate None --z_dim None --mirror None --input_width None")
    assert c == resolve({})
    assert resolve({"epoch": None}, {"epoch": 7}).epoch == 7


def test_zero_and_false_are_values():
    c = resolve({"dataset": "faces", "mirror": False, "fc_width": 0}, {"fc_width": 5})
    assert (c.mirror, c.fc_width) == (False, 0)
    assert resolve({"visualize": 0}).visualize == 0


FOLLOW = [("input_width", "input_height"), ("output_width", "output_height")]
FOLLOW += [("d_learning_rate", "learning_rate")]


@pytest.mark.parametrize("name, other", FOLLOW)
def test_a_field_that_is_as_another(name, other):
    def pair(given, saved=None):
        c = resolve({"crop": True, **given}, saved)
        return getattr(c, other), getattr(c, name)

    same = {other: 40, name: 40}
    assert pair({other: 40}) == (40, 40)
    assert pair({other: 40, name: 44}) == (40, 44)
    assert pair({}, same) == (40, 40)
    assert pair({other: 50}, same) == (50, 50)  # of a resumed run too
    assert pair({name: 50}, same) == (40, 50)
    assert pair({other: 50}, {other: 40, name: 44}) == (50, 44)


def test_a_stage_of_one_image_is_enough():
    for fade, stable in ((0, 0.001), (0.001, 0), (0.0005, 0.0005)):
        assert call(f"--arch pggan --fade_kimg {fade} --stable_kimg {stable}").fade_kimg == fade


def test_a_critic_rate_of_zero_is_kept():
    assert call("--d_learning_rate 0 --learning_rate 0.1").d_learning_rate == 0.0


def test_the_cache_lies_under_the_data():
    assert call("--data_dir there").cache_dir == "there/.cache"
    assert call("--data_dir there --cache_dir here").cache_dir == "here"


@pytest.mark.parametrize(
    "line, name",
    [
        ("", "mnist_64_28_28"),
        ("--dataset faces", "faces_64_48_48"),
        ("--dataset faces --output_width 32 --batch_size 16", "faces_16_48_32"),
        ("--mode gp --arch dcgan", "mnist_64_28_28"),
        ("--mode regular", "mnist_64_28_28_regular"),
        ("--mode wgan", "mnist_64_28_28_regular"),
        ("--mode regular --name mine", "mine"),
        ("--name b.c_1", "b.c_1"),
        ("--dataset some/where/cats", "cats_64_64_64"),
        ("--dataset /some/where/cats/", "cats_64_64_64"),
        ("--dataset cats/inner/..", "cats_64_64_64"),
        ("--preset faces --critic_num 1", "faces_64_48_48"),
        ("--arch pggan --dataset faces", "faces_16_128_128_pggan"),
        ("--arch cyclegan --dataset some/horse2zebra", "horse2zebra_1_256_256_cyclegan"),
        ("--arch cyclegan --dataset hair --mode gp", "hair_1_48_48_cyclegan_gp"),
        ("--preset cyclegan_selfie2anime", "selfie2anime_64_64_64_cyclegan"),
        ("--preset pggan_faces --output_height 48 --mode r1", "faces_16_64_64_pggan_r1"),
    ],
)
def test_run_name(line, name):
    assert call(line).run_name == name


def test_run_names_differ_where_the_networks_or_losses_do():
    names = [
        resolve({"arch": arch, "mode": mode, "penalty": penalty}, check=False).run_name
        for arch in tables.ARCHS
        for mode in tables.MODES
        for penalty in tables.PENALTIES
    ]
    assert len(set(names)) == len(names)
    assert call("--mode hinge --penalty r1").run_name == "mnist_64_28_28_hinge_penalty_r1"


def test_run_name_of_another_arch(monkeypatch):
    row = tables.ARCHS["dcgan"]
    row = dataclasses.replace(row, defaults={**row.defaults, "mode": "gan"})
    monkeypatch.setitem(tables.ARCHS, "other", row)
    assert call("--arch other").run_name == "mnist_64_28_28_other"
    assert call("--arch other --mode gp").run_name == "mnist_64_28_28_other_gp"


def test_run_name_of_the_working_directory(monkeypatch, tmp_path):
    (tmp_path / "cats" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cats")
    assert call("--dataset .").run_name == "cats_64_64_64"
    monkeypatch.chdir("inner")
    assert call("--dataset ..").run_name == "cats_64_64_64"


# ---- the seed's command line -----------------------------------------------------------------

SIZES = "--batch_size 64 --input_height {} --output_height {} --dataset {}"
MNIST, FACES = SIZES.format(28, 28, "mnist"), SIZES.format(96, 48, "faces")


@pytest.mark.parametrize(
    "line, run, has",
    [
        (f"--epoch 50 {MNIST} --train True --sample_dir samples_mnist", "mnist_64_28_28", (50, 1)),
        (f"{MNIST}  --sample_dir samples_mnist", "mnist_64_28_28", (None, 0)),
        (
            f"--epoch 200 {FACES} --train True --sample_dir samples_faces",
            "faces_64_48_48",
            (200, 1),
        ),
        (f"{FACES}  --sample_dir samples_faces", "faces_64_48_48", (None, 0)),
    ],
)
def test_the_seeds_commands(line, run, has):
    c = call(line)
    assert (c.run_name, c.epoch, c.train) == (run, *has)
    assert c.sample_dir == "samples_" + c.dataset
    assert (c.mode, c.crop, c.input_height) == ("gp", False, 96 if c.dataset == "faces" else 28)


SEED = {  # its 21 flags and their defaults, as one would write them
    "epoch": ("25", 25),
    "learning_rate": ("0.0002", 0.0002),
    "beta1": ("0.5", 0.5),
    "train_size": ("np.inf", float("inf")),
    "batch_size": ("64", 64),
    "input_height": ("28", 28),
    "input_width": ("None", None),
    "output_height": ("28", 28),
    "output_width": ("None", None),
    "dataset": ("mnist", "mnist"),
    "input_fname_pattern": ("*.jpg", "*.jpg"),
    "checkpoint_dir": ("checkpoint", "checkpoint"),
    "sample_dir": ("samples", "samples"),
    "train": ("False", False),
    "crop": ("False", False),
    "visualize": ("False", False),
    "critic_num": ("5", 5),
    "clip_up": ("0.01", 0.01),
    "clip_down": ("-0.01", -0.01),
    "mode": ("gp", "gp"),
    "LAMBDA": ("10.", 10.0),
}
OURS = {  # where they are otherwise here
    "epoch": None,  # more for few images
    "train_size": 0,  # all
    "input_width": 28,  # as the heights, which is what None asks for
    "output_width": 28,
    "input_fname_pattern": "*",  # every type of image
    "visualize": None,  # no option asked for, as 0 is one
    # measured: the row says why
    **{n: tables.MODES["gp"].defaults[n] for n in ("learning_rate", "beta1", "critic_num")},
}


def test_the_seeds_defaults():
    c = resolve({})
    assert len(SEED) == 21
    assert {n: getattr(c, n) for n in SEED} == {n: v for n, (_, v) in SEED.items()} | OURS
    line = " ".join(f"--{n} {shlex.quote(text)}" for n, (text, _) in SEED.items())
    ours = {
        n: OURS[n] for n in ("epoch", "input_fname_pattern", "learning_rate", "beta1", "critic_num")
    }
    assert resolve(parse(line) | ours) == c


# ---- how long a run lasts --------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, per_epoch, updates",
    [
        ("", 4, 16_000),
        ("", 937, 23_425),  # 25 epochs
        ("--epoch 3", 4, 12),
        ("--epoch 3 --max_steps 10", 4, 10),
        ("--max_steps 10", 4, 10),
        ("--max_steps 99999", 4, 99_999),
        ("--max_minutes 3", 4, math.inf),
        ("--max_minutes 3 --max_steps 10", 4, 10),
        ("--max_minutes 3 --epoch 2", 4, 8),
        ("--arch cyclegan", 4, 800),
        ("--preset faces_r1", 4, 4 * presets.PRESETS["faces_r1"].settings["epoch"]),
    ],
)
def test_the_number_of_updates(line, per_epoch, updates):
    assert build.count_updates(call(line), per_epoch) == updates


def test_a_run_with_a_saved_length_keeps_it():
    assert build.count_updates(resolve({}, {**KEPT, "epoch": 25}), 4) == 100


@pytest.mark.parametrize(
    "line, sizes, text",
    [
        ("", (16_000, 4, 300), "16,000 generator updates = 4,000 epochs of 300 images"),
        ("", (10, 4, 300, 5), "10 generator updates = 2.5 epochs of 300 images (5 are done)"),
        ("", (16_000, 0, 0), "16,000 generator updates"),
        ("--max_minutes 3", (math.inf, 4, 300), "generator updates for 3 minutes, 4 in an epoch"),
        ("--max_minutes 3", (8, 4, 30), "2 epochs of 30 images, but at most 3 minutes"),
        (
            "--decay_steps 7",
            (8, 4, 30),
            "images, at learning rates of 0 after the first 7 (--decay_",
        ),
        ("--max_minutes 3 --decay_steps 7", (math.inf, 4, 30), " 0 after the first 7 (--decay_ste"),
        ("--decay_steps 8", (8, 4, 30), "2 epochs of 30 images; "),
    ],
)
def test_the_line_on_the_length(line, sizes, text):
    found = opening.length(call(line), *sizes)
    assert text in found and found.endswith("; 5,000 to 30,000 are usual")


def test_the_line_on_what_is_compared():
    text = "10 samples, and the same number of test images of mnist"
    assert opening.compared(10, 10, "test images of mnist") == text
    assert opening.compared(30, 10, "images of pics") == "30 samples, and 10 images of pics"


def test_the_usual_lengths_of_other_architectures():
    assert opening.length(call("--arch cyclegan"), 9, 3, 3).endswith(
        "; 100 to 200 epochs are usual"
    )
    assert "_kimg set" in opening.length(call("--arch pggan"), 9, 3, 3)


@pytest.mark.parametrize(
    "words, text",
    [
        ((16_000, 0.13), "about 35 minutes at 0.13 s an update"),
        ((100, 1.5, 150), "about 2 minutes at 1.5 s an update"),
        ((100, 1.5, 120), "about 80 updates until the time is up, at 1.5 s an update"),
        ((math.inf, 0.25, 600), "about 2,400 updates until the time is up, at 0.25 s an update"),
        ((100_000, 2.5), "about 3 days at 2.5 s an update"),
        ((20, 0.05), "about 1 second at 0.05 s an update"),
        ((math.inf, 2.5), "2.5 s an update"),
    ],
)
def test_the_line_on_the_pace(words, text):
    assert opening.pace(*words) == text
    grows = opening.pace(*words, grows=True)
    each = f"{words[1]:.2g} s an update at this size"
    assert grows == f"{each}; larger sizes take longer, and --dry_run times them"


@pytest.mark.parametrize(
    "line, kept",
    [
        ("--train --max_steps 5", "--train --max_steps 5"),
        ("--train --resume False --seed 3", "--train --seed 3"),
        ("--train --resume=0 --seed 3", "--train --seed 3"),
        ("--noresume --train", "--train"),
        ("--train -no-resume", "--train"),
        ("--resume --train --resume n", "--train"),
        ("--train --resume True", "--train --resume True"),
        ("--flagfile {} --train", "--flagfile {} --train --resume=True"),
    ],
)
def test_the_call_that_resumes(tmp_path, line, kept):
    (tmp_path / "flags").write_text("--resume=False\n")
    line, kept = (text.format(tmp_path / "flags").split() for text in (line, kept))
    assert flags.resuming_call(line) == kept
    assert flags.parse_flags(["main.py", *kept]).get("resume") is not False


# ---- what is kept with a run -----------------------------------------------------------------


@pytest.fixture
def save(tmp_path):
    """A function that writes a config.json, some fields changed or (…) left out."""

    def write(**edit):
        fields = {**KEPT, "data": {"count": 3}, **edit}
        path = tmp_path / "config.json"
        path.write_text(json.dumps({n: v for n, v in fields.items() if v is not ...}))
        return path

    return write


def refusal(path):
    with pytest.raises(WrongCall) as caught:
        read_saved(path)
    text = str(caught.value)
    assert len(text.splitlines()) == 1 and str(path) in text, text
    return text.replace(str(path), "")


def test_what_is_kept():
    unsaved = (
        "data_dir cache_dir train max_steps max_minutes preset checkpoint_dir sample_dir log_dir"
    )
    unsaved += " name resume patience num_samples visualize num_workers extractor_weights"
    assert set(unsaved.split()) & set(KEPT) == set()
    assert set(KEPT) >= {*FIXED, *NETWORK, "dataset", "batch_size", "learning_rate", "ema", "seed"}
    assert set(FIELDS) >= {*KEPT, *unsaved.split()}


@pytest.mark.parametrize(
    "line", ["", "--preset faces", "--mode wgan --crop", "--dataset pics --d_learning_rate 0"]
)
def test_round_trip(save, line):
    c = call(line)
    saved = read_saved(save(**c.to_json()))
    assert saved == c.to_json()
    assert {n: type(v) for n, v in saved.items()} == {n: type(v) for n, v in c.to_json().items()}
    assert resolve({}, saved).to_json() == c.to_json()


@pytest.mark.parametrize("name", KEPT)
def test_a_saved_value_has_its_fields_type(save, name):
    kind = FIELDS[name].type
    wrong = [{"a": 1}, [], [[1]], [None], [True], ["8"], float("nan"), float("inf"), ""]
    wrong += [] if kind is str else ["8", "true"]
    wrong += [] if kind is tuple else [[1], ["mnist"]]
    wrong += [] if kind is bool else [True, False]
    wrong += [] if kind in (int, float) else [8]
    wrong += [] if kind is float else [0.5]
    wrong += [10**400, -(10**400)]
    wrong += [None] if FIELDS[name].default is not None else []
    for value in wrong:
        text = refusal(save(**{name: value}))
        assert name in text and "must be" in text, (value, text)


@pytest.mark.parametrize(
    "edit, says",
    [
        ({"widht": 3}, "'widht'"),
        ({"name": "x"}, "'name'"),  # of a single call
        ({"batch_size": 0}, "batch_size=0 must be a whole number, at least 1"),
        ({"g_width": [8, 0]}, "g_width=[8, 0] must be"),
        ({"mode": "wgangp"}, f"mode='wgangp' must be one of {MODES}"),
        ({"arch": "vgg"}, "arch='vgg' must be one of dcgan"),
    ],
)
def test_what_a_saved_file_may_not_have(save, edit, says):
    assert says in refusal(save(**edit))


@pytest.mark.parametrize("name", ["data", *FIXED, "critic_norm"])
def test_what_a_saved_file_may_not_lack(save, name):
    assert f"no field '{name}'" in refusal(save(**{name: ...}))
    assert name in refusal(save(**{name: None}))


@pytest.mark.parametrize("name", sorted(set(NETWORK) - {"critic_norm"}))
def test_a_field_newer_than_the_run_has_its_first_value(save, name):
    assert read_saved(save(**{name: ...}))[name] == getattr(resolve({}), name)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"[1]", b"null", b"3", b'"data"', b"\xff\xfe", b"[" * 10**5]
)
def test_what_is_no_saved_file(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    assert refusal(tmp_path / "config.json").removeprefix("cannot use : ")
    refusal(tmp_path / "absent.json")
    refusal(tmp_path)


def test_what_has_a_default_may_be_absent(save):
    saved = read_saved(save(epoch=..., learning_rate=...))
    assert {"epoch", "learning_rate"} & set(saved) == set()
    assert resolve({}, saved).to_json() == KEPT
    assert read_saved(save(LAMBDA=10, input_height=None))["LAMBDA"] == 10


def other(name):
    """A value of a field that is not the one kept."""
    choices, kept = FIELDS[name].metadata["choices"], KEPT[name]
    if choices:
        return next(c for c in choices if c != kept)
    return {bool: lambda: not kept, int: lambda: kept + 8, tuple: lambda: (9, 4)}[type(kept)]()


SHAPES = {"arch", "mode", "optimizer", "conditional", "output_height", "output_width"}


@pytest.mark.parametrize("name", sorted({*SHAPES, *FIXED, *NETWORK}))
def test_another_network_is_refused(monkeypatch, name):
    monkeypatch.setitem(tables.ARCHS, "another", tables.ARCHS["dcgan"])
    wanted = other(name)
    c = resolve({name: wanted}, KEPT)
    with pytest.raises(WrongCall) as caught:
        refuse_changes(c, KEPT)
    text = str(caught.value)
    assert f"{name}={fields.text(KEPT[name])}, not {fields.text(wanted)}" in text
    assert len(text.splitlines()) == 1
    assert "--resume False" in text


@pytest.mark.parametrize("optimizer, refused", [("sgd", True), ("rmsprop", True), ("adam", False)])
def test_momentum_is_not_turned_on_or_off(optimizer, refused):
    """It is state in the checkpoint, but Adam does not use it."""
    off, on = ({**KEPT, "optimizer": optimizer, "momentum": value} for value in (0.0, 0.5))
    for saved, momentum in ((off, 0.5), (on, 0.0)):
        c = resolve({"momentum": momentum}, saved)
        with pytest.raises(WrongCall, match="momentum=") if refused else contextlib.nullcontext():
            refuse_changes(c, saved)
    refuse_changes(resolve({"momentum": 0.9}, on), on)


def test_other_changes_are_listed():
    c = resolve(parse("--epoch 30 --learning_rate 0.003 --max_steps 5"), KEPT)
    refuse_changes(c, KEPT)
    rates = [(n, KEPT[n], 3e-3) for n in ("learning_rate", "d_learning_rate")]
    assert changes(c, KEPT) == [("epoch", None, 30), *rates]
    assert changes(resolve({}, KEPT), KEPT) == []


@pytest.mark.parametrize("arch", tables.ARCHS)
def test_what_every_network_goes_by_has_no_note(arch):
    given = {"arch": arch, "dataset": "faces", "output_height": 64, "epoch": 3, "batch_size": 8}
    given |= {"critic_num": 2, "ema": 0.5, "seed": 3, "learning_rate": 1e-3, "mirror": True}
    assert [x for x in settings.advice(resolve(given), given) if "output" not in x] == []


def test_identity_is_what_tells_runs_apart():
    given = parse("--z_dim 5 --mode None --epoch 3 --name x --output_height 8 --sample_dir s")
    assert identity(given) == {"name": "x", "output_height": 8, "z_dim": 5}
    assert identity(parse("--penalty r1 --mode gan")) == {"penalty": "r1", "mode": "gan"}
    assert identity(parse("--holdout 0")) == {"holdout": 0}


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("", (32, 24)),
        ("--output_height 40", (40, 40)),
        ("--output_width 40", (28, 40)),  # the height is that of MNIST
        ("--preset faces_r1", (32, 24)),
        ("--preset pggan_faces", None),
        ("--arch mlp", None),
    ],
)
def test_settings_of_networks_are_taken_where_the_call_has_none(line, size):
    """Flags and the preset, then those of the other run, then the rows. Its size is one setting."""
    kept = {"z_dim": 7, "bias": "all", "critic_norm": "batch", "output_height": 32}
    saved = resolve(
        {**kept, "output_width": 24, "z_distribution": "normal", "mode": "gan"}
    ).to_json()
    given = parse(f"{line} --kernel_size 5 --init_from x")
    if size is None:
        with pytest.raises(WrongCall, match=r"--init_from=x is a run of --arch=dcgan, .* --arch="):
            taken_settings(given, saved)
        return
    start = taken_settings(given, saved)
    c = resolve(given, start=start)
    assert (c.output_height, c.output_width) == size
    assert (c.kernel_size, c.z_dim, c.z_distribution) == (5, 7, "normal")
    assert c.mode == ("r1" if "faces" in line else "gan") and c.critic_norm == "batch"
    own = {n for n in NETWORK if n in presets.PRESETS["faces_r1"].settings}
    wanted = {"arch", "z_distribution", *NETWORK} - {"kernel_size"}
    wanted |= set() if "faces" in line else LOSS["mode"] - {"d_learning_rate"}
    wanted -= own if "faces" in line else set()
    wanted |= {"output_height", "output_width"} if "output" not in line else set()
    assert set(start) == wanted


def test_the_loss_is_taken_unless_the_call_gives_another_mode():
    saved = resolve({"mode": "r1", "learning_rate": 3e-4, "LAMBDA": 2.0, "beta2": 0.99}).to_json()
    for line, mode, rates, weight in (
        ("", "r1", (3e-4, 3e-4), 2.0),
        ("--learning_rate 1e-5", "r1", (1e-5, 1e-5), 2.0),
        ("--mode r1 --LAMBDA 7", "r1", (3e-4, 3e-4), 7.0),
        ("--mode gp", "gp", (1e-3, 1e-3), 10.0),
        ("--penalty r2", "r1", (3e-4, 3e-4), 10.0),
        ("--optimizer rmsprop", "r1", (2e-4, 2e-4), 2.0),
        ("--preset faces_r1", "r1", (1e-3, 1e-3), 2.0),
    ):
        given = parse(f"{line} --init_from x")
        c = resolve(given, start=taken_settings(given, saved))
        found = c.mode, (c.learning_rate, c.d_learning_rate), c.LAMBDA
        assert found == (mode, rates, weight)


def test_rates_that_fell_are_taken_as_they_were_at_the_end():
    saved = resolve({"dataset": "faces", "d_learning_rate": 1e-3}).to_json()
    assert (saved["learning_rate"], saved["decay_after"]) == (2e-3, 1000)
    given = parse("--dataset x --init_from y")
    for step, rates in ((16_000, (5e-4, 2.5e-4)), (500, (2e-3, 1e-3)), (None, (2e-3, 1e-3))):
        c = resolve(given, start=taken_settings(given, saved, step))
        assert (c.learning_rate, c.d_learning_rate, c.decay_after) == (*rates, 1000)
    given = parse("--dataset x --init_from y --mode r1")
    assert resolve(given, start=taken_settings(given, saved, 16_000)).learning_rate == 2e-4
    saved |= {"learning_rate": 1.234e-3}  # rounded only if it fell
    assert taken_settings(parse("--init_from y"), saved, 1000)["learning_rate"] == 1.234e-3
    saved |= {"decay_after": 0}
    assert taken_settings(parse("--init_from y"), saved, 16_000)["learning_rate"] == 1.234e-3


def test_a_run_older_than_held_out_images_has_none(save):
    saved = read_saved(save(holdout=..., dataset="faces"))
    assert saved["holdout"] == resolve({}, saved).holdout == 0
    with pytest.raises(WrongCall, match="has holdout=0, not 5: leave that flag"):
        refuse_changes(resolve({"holdout": 5}, saved), saved)
    for given in ({"dataset": "mnist"}, {"arch": "cyclegan"}):
        assert resolve({**given, "holdout": 0}).holdout == 0  # as their runs have saved it


def test_held_out_images_of_a_run_do_not_refuse_another_data_set(save):
    """The flag is refused with MNIST, whose images are measured by a run of another data set."""
    saved = read_saved(save(holdout=5, dataset="faces"))
    assert resolve({"dataset": "mnist"}, saved).holdout == 5


def test_a_run_older_than_penalties_has_its_modes(tmp_path):
    """So that another penalty is a change that is named, and critics that grow have no norm."""
    for given, norm in (({"mode": "r1"}, "none"), ({"mode": "regular", "arch": "pggan"}, "none")):
        kept = {**resolve(given).to_json(), "critic_norm": "batch" if "arch" in given else norm}
        del kept["penalty"]
        path = tmp_path / "config.json"
        path.write_text(json.dumps({**kept, "data": {}}))
        saved = read_saved(path)
        assert saved["penalty"] == tables.MODES[given["mode"]].defaults["penalty"]
        assert saved["critic_norm"] == norm
        c = resolve({"penalty": "r2"}, saved)
        assert ("penalty", saved["penalty"], "r2") in changes(c, saved)


def test_an_older_translation_that_was_compiled_by_xla_can_still_be_used(save):
    was = {**resolve({"arch": "cyclegan", "dataset": "hair"}).to_json(), "jit": True}
    saved = read_saved(save(**was))
    assert not resolve({}, saved).jit


# ---- the program -----------------------------------------------------------------------------


def test_help_ends_with_status_0_and_needs_no_tensorflow(tmp_path):
    done = run_main(tmp_path, "--help", "all", "--preset", "faces", status=0)
    assert done.stderr == "" and not list(tmp_path.iterdir())
    assert "  --output_height=48 " in done.stdout
    code = "import sys, main; status = main.main(['--help', 'all']); " + (
        "print(status, {'tensorflow', 'keras'} & set(sys.modules), file=sys.stderr)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "0 set()\n"
    assert not [name for name in FIELDS if f"\n  --{name}=" not in done.stdout]
