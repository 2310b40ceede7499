"""The commands that the README, docs/ and the Makefile print run, in short forms.

Data sets are tiny stand-ins. A training has one update of narrow networks. What ships is as it is.
"""

import argparse
import re
import shlex
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import main
from config import fields
from config.flags import parse_flags
from generation import export
from runs import plots
from serving import server
from steering import projection
from tests.conftest import ROOT, folder_of_images, make_domains, noise, save_pixel
from tests.test_known import cifar, put_idx
from tests.test_readme import COMMANDS, PAGES

NARROW = {"g_width": (4,), "d_width": (4,), "z_dim": 4}
NETWORKS = {  # a word of the command → settings that make its training small
    "init_from": {},
    "dogs": {"output_height": 32, **NARROW},
    "mimicry": {"output_height": 32, "critic_num": 1, **NARROW},
    "lenet": {"output_height": 28},
    "fastgan": {"output_height": 64, "g_width": (1,), "d_width": (1,), "z_dim": 4},
    "pggan": {"max_res": 8, "fmap_base": 32, "fmap_max": 8, "z_dim": 4},
    "cyclegan": {"output_height": 24, "n_residual_blocks": 1, "g_width": (4,), "d_width": (4,)},
    "--": {"output_height": 16, **NARROW},
}
FEW = {"eval_every": 1, "num_samples": 2, "dump_reals": 2, "interpolate": 2, "directions": 1}
CANNOT = {  # a part of a command → what it needs, and the tests that stand in for it
    "--extractor inception-2015": "a download of 96 MB; test_inception.py",
    "--track wandb": "a package that is not installed; test_tracking.py",
    "--device gpu": "a GPU; test_hardware.py",
    "faces --arch pggan --evaluate": "the faces that were trained on; test_evaluation.py",
    "faces --output_height 64 --evaluate": "the faces that were held out; test_evaluation.py",
}
SLOW = (  # parts of commands whose kind has a quicker one, or tests elsewhere
    *("--arch fastgan", "--compare", "--epoch", "--strategy none", "--augment none", "big.npy"),
    *("--batch_size 256", "--batch_size 512", "--holdout 0", "--max_steps 14000"),
    *("--init_from faces_64_64_64", "--output_height 96"),
    *("--preset pggan_faces ", "--preset pggan_1024", "--preset lenet_mnist", "--preset mimicry"),
    *("--preset cyclegan_hair", "--dataset horse2zebra", "--dataset hair --evaluate"),
    "mnist --train True --eval_every",
    *("--dataset digits", "--directions 8"),
    *("--output_height 128", "--output_width 96"),
)


def short(words):
    """Return the words of a command with fewer updates, samples and channels."""
    given = parse_flags(["main.py", *words.split()])
    if "help" in given:
        return words.split()
    if any(name in given for name in ("train", "compare", "dry_run", "preset")):
        given |= NETWORKS[next(key for key in NETWORKS if key in words)]
        given |= {"max_steps": 1, "batch_size": min(given.get("batch_size", 4), 4)}
        given.pop("max_minutes", None)
    if "evaluate" in given or "eval_every" in given:
        given["eval_samples"] = 100
    given |= {name: value for name, value in FEW.items() if name in given}
    return [f"--{name}={fields.text(value)}" for name, value in given.items()]


def marked(words):
    return pytest.param(words, marks=[pytest.mark.slow] * any(part in words for part in SLOW))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the data sets and the files that the pages take for the user's."""
    top = tmp_path_factory.mktemp("place")
    for name, count in (("cats", 12), ("dogs", 12), ("faces", 12)):
        folder_of_images(top / "data" / name, count, (48, 48))
    for name in ("hair", "horse2zebra"):
        make_domains(top / "data" / name, (2, 2, 2, 2), (48, 48))
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = rng.integers(0, 256, (40, 28, 28), dtype=np.uint8)
        put_idx(top / "data/mnist", images, (np.arange(40) % 10).astype(np.uint8), part=part)
    records = [bytes([i % 10]) + rng.bytes(3072) for i in range(20)]
    cifar(top / "data/cifar10", records, ("test_batch", *(f"data_batch_{i}" for i in range(1, 6))))
    (top / "Downloads").mkdir()
    with zipfile.ZipFile(top / "Downloads/cats.zip", "w") as file:
        for path in (top / "data/cats").iterdir():
            file.write(path, path.name)
    np.save(top / "big.npy", rng.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8))
    np.save(top / "z.npy", rng.uniform(-1, 1, (3, 100)).astype(np.float32))
    for name in ("photo.png", "face.png"):
        noise(48, 48).save(top / name)
    return top


@pytest.fixture
def there(place, monkeypatch, eager):
    """Work in that folder without runs, and without what takes long and is tested elsewhere."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    for folder in ("checkpoint", "samples"):
        shutil.rmtree(folder, ignore_errors=True)
    Path("samples/faces_64_48_48").mkdir(parents=True)
    shutil.copy("z.npy", "samples/faces_64_48_48/latent.npy")
    monkeypatch.setattr(plots, "_save_plot", save_pixel)
    monkeypatch.setattr(export, "check", lambda *_: 0.0)  # in a new process
    for name, value in {"STEPS": 2, "POOL": 4, "RESTARTS": 1}.items():
        monkeypatch.setattr(projection, name, value)
    monkeypatch.setattr(server.Server, "run", lambda self: None)  # until a signal
    monkeypatch.setattr(server, "open_browser", lambda url: None)


def needed(given):
    """Return the training without which a command has no run to work on, or None."""
    if "dogs" in str(given.get("init_from")):
        more = " --eval_every 1" if "best" in given["init_from"] else ""
        return f"--dataset dogs --name dogs --train True{more}"
    if given.get("train"):
        return None
    if "preset" in given and "num_samples" in given:
        return f"--preset {given['preset']} --train True"
    name = given.get("dataset")
    own = ("cats", "big.npy", "digits", "cifar10")
    return f"--dataset {name} --train True" if name in own else None


@pytest.mark.parametrize("words", [marked(c) for c in COMMANDS if not any(k in c for k in CANNOT)])
def test_every_command_runs(words, there, capsys):
    if "--project" in words:
        tf.config.run_functions_eagerly(False)
    before = needed(parse_flags(["main.py", *words.split()]))
    for call in filter(None, (before, words)):
        status = main.main(short(call))
        out, err = capsys.readouterr()
        assert (status, err) == (0, ""), out + err
        assert "--train" not in call or "done at step" in out, out


def test_the_lists_of_commands_name_printed_ones():
    parts = (*CANNOT, *SLOW)
    assert [part for part in parts if not any(part in words for words in COMMANDS)] == []


def printed(page):
    """Yield the commands `python -m benchmarks.…` of a page, but those that leave words out."""
    for text in (*re.findall(r"`(\S[^`]*)`", page), *page.splitlines()):
        found = re.match(r"python -m (benchmarks\.[^`#|…]+)(?!.*…)", " ".join(text.split()))
        if found and text.count("`") == 0:
            yield found[1].strip()


BENCHMARKS = sorted({words for page in PAGES.values() for words in printed(page)})


@pytest.mark.parametrize("words", BENCHMARKS)
def test_every_benchmark_takes_its_words(words, monkeypatch):
    """They take minutes to hours, so each ends where it has read its flags."""
    name, *given = shlex.split(words)
    parse = argparse.ArgumentParser.parse_args

    def read(parser, _=None):
        parse(parser, given)
        raise KeyboardInterrupt

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read)
    folder = ROOT / name.replace(".", "/")
    assert folder.is_dir() or folder.with_suffix(".py").is_file()
    module = pytest.importorskip(f"{name}.__main__" if folder.is_dir() else name)  # its libraries
    with pytest.raises(KeyboardInterrupt):
        module.main()
