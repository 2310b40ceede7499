"""`main.main` called by other programs, several times in one process, and in a thread."""

import signal
import subprocess
import sys
import threading

import keras
import pytest
import tensorflow as tf

import console
import main
from commands import devices, train
from generation import load
from tests.conftest import ROOT, checkpoint, folder_of_images, same

WORDS = ["--dataset", "digits", "--train", "--output_height", 8, "--g_width", 4, "--d_width", 4]
WORDS += ["--z_dim", 4, "--batch_size", 8, "--critic_num", 2]


def test_calls_in_one_process_do_not_change_each_other(cli, tmp_path, eager):
    """Whatever other calls and the program have done meanwhile: the same weights, to the last bit.

    In a thread, too. Calls that fail return their status.
    """
    folder_of_images(tmp_path / "data" / "pics", count=8)
    handlers = [signal.getsignal(number) for number in console.STOP_SIGNALS]
    words = [*WORDS, "--max_steps", 2]
    assert cli(*words, "--name", "first")[0] == 0
    other = ["--train", "--dataset", "pics", *words[3:], "--name", "other", "--seed", 5]
    assert cli(*other, "--precision", "bfloat16", "--mode", "gan")[0] == 0
    assert cli("--name", "other", "--seeds", "1,2")[0] == 0
    assert cli("--name", "other", "--train", "--max_steps", 3)[0] == 0
    assert cli("--epoch", "x")[0] == 2
    assert cli("--dataset", "absent", "--train")[0] == 1
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.set_floatx("float16")
    tf.config.optimizer.set_experimental_options({"dependency_optimization": False})
    assert cli(*words, "--name", "second")[0] == 0
    assert keras.config.dtype_policy().name == keras.config.floatx() == "float32"
    assert tf.config.optimizer.get_experimental_options()["dependency_optimization"]
    statuses = []
    calls = (*words, "--name", "third"), ("--name", "third", "--seeds", 3), ("--name", "fourth")

    def work():
        statuses.extend(cli(*call)[0] for call in calls)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert statuses == [0, 0, 1]
    first = checkpoint("checkpoint/first", 2)
    assert same(first, checkpoint("checkpoint/second", 2)) == []
    assert same(first, checkpoint("checkpoint/third", 2)) == []
    assert [signal.getsignal(number) for number in console.STOP_SIGNALS] == handlers


def test_a_call_has_its_own_notes_and_its_own_time(cli, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(train, "_train", lambda *words: started.append(words[2]) or 0)
    for _ in range(2):
        assert cli(*WORDS)[0] == 0
        console.note_once("of this call")
        assert capsys.readouterr().out == "note: of this call\n"
    assert started[0] < started[1]


def test_the_words_are_those_of_the_process_unless_given(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["main.py", "--epoch", "x"])
    assert main.main() == 2
    assert main.main(["main.py"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in errors] == [" flag --epoch=x", " unexpected argument"]


def test_a_missing_package_is_one_line(cli, monkeypatch):
    """Of the first imports, and of TensorFlow, which is imported later."""
    call = [sys.executable, "-S", ROOT / "main.py", "--list_presets"]  # -S: no packages
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    line = f"main.py: {sys.executable} lacks the package numpy: source .venv/bin/activate\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    status, _, err = cli("--dataset", "mnist")
    assert (status, err.count("\n")) == (1, 1)
    assert "lacks the package tensorflow: pip install -r requirements.txt" in err


def test_what_a_process_has_settled_is_one_line(monkeypatch):
    """TensorFlow's devices and Keras' backend cannot change once they are in use."""

    def refuse(*_):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    keras.config.set_dtype_policy("mixed_bfloat16")
    devices.import_tensorflow()
    assert keras.config.dtype_policy().name == "float32"
    with monkeypatch.context() as patch:
        patch.setattr(tf.config, "set_visible_devices", refuse)
        with pytest.raises(
            console.Failed, match=r"^TensorFlow already uses other GPUs in this pro"
        ):
            devices.import_tensorflow("cpu")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for call in (devices.import_tensorflow, lambda: load("mnist")):
        with pytest.raises(
            console.Failed, match=r"^Keras has the backend jax in this process, and"
        ):
            call()
