"""Which device is named, and what is said of a GPU that TensorFlow does not see."""

import os
import re
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from config import fields, tables
from config.resolve import resolve
from hardware import defaults, present, processor, report
from tests.conftest import ROOT

NOTE = "note: this machine has a GPU (NVIDIA T9), but TensorFlow finds none: "
NOTE += "pip install -r requirements-gpu.txt"


@pytest.fixture(autouse=True)
def cpu(tmp_path, monkeypatch):
    """A function that makes this machine's CPU one with these flags; at first it has none."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "CPUINFO", path)
    return lambda flags: path.write_text(f"model name\t: EPYC\nflags\t\t: {flags}\n\nflags: fpu\n")


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """A function of a shell script's lines that puts them as nvidia-smi on the path."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(present, "NODE", tmp_path / "nvidia0")

    def put(*lines):
        path = tmp_path / "nvidia-smi"
        path.write_text("\n".join(("#!/bin/sh", *lines)))
        path.chmod(0o755)

    return put


def test_a_gpu_without_its_libraries_is_a_line(cli, smi, monkeypatch):
    smi('[ "$*" = "--query-gpu=name --format=csv,noheader" ] && printf "NVIDIA T9\nother\n"')
    words = ("--dataset", "digits", "--arch", "mlp", "--g_width", 4, "--d_width", 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5, 7})  # of more
    status, out, _ = cli(*words, "--dry_run")
    assert status == 0 and out.count(f"{NOTE}\n") == 1
    device = out.partition(f"\n{NOTE}\n")[0].rpartition("\n")[2]
    assert device == "device: CPU with 3 cores; jit=False, precision=float32"
    status, _, err = cli(*words, "--train", "--device", "gpu")
    assert (status, err) == (
        1,
        "main.py: --device=gpu: TensorFlow finds 0 GPUs; for the NVIDIA T9 here, "
        "pip install -r requirements-gpu.txt\n",
    )
    assert report.unused("cpu") is None


def test_where_a_gpu_is_found(smi, monkeypatch):
    assert present.present() is None
    smi("echo NVIDIA-SMI has failed; exit 9")
    assert present.present() is None
    present.NODE.touch()
    assert present.present() == str(present.NODE)
    smi("echo NVIDIA T9")
    assert present.present() == "NVIDIA T9"
    for hidden in ("", "-1", "-1,0", "NoDevFiles"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert present.present() is None


@pytest.mark.parametrize(
    ("flags", "count", "replicas", "row"),
    [
        ("fpu avx512f", 0, 1, "cpu"),
        ("fpu avx512_bf16 sse", 0, 1, "cpu with bfloat16"),
        ("amx_bf16", 0, 2, "cpu with bfloat16"),
        ("avx512_bf16", 1, 1, "gpu"),
        ("avx512_bf16", 2, 2, "gpus"),
    ],
)
def test_defaults_are_those_of_the_device(monkeypatch, cpu, flags, count, replicas, row):
    cpu(flags)
    device = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [device] * count)
    detail = {"device_name": "NVIDIA T9"}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: detail)
    monkeypatch.setitem(tables.DEVICES, row, {"jit": True, "precision": "bfloat16"})
    c = defaults.settle(resolve({}), replicas)
    assert (c.jit, c.precision) == (True, "bfloat16")
    c = defaults.settle(resolve({"jit": False, "precision": "float32"}), replicas)
    assert (c.jit, c.precision) == (False, "float32")
    name = "GPU NVIDIA T9" + ", NVIDIA T9" * (count - 1) if count else "CPU with "
    line = report.opening(resolve({"device": "cpu"}), replicas)[0]
    assert line.startswith(f"device: {name}") and line.endswith("; jit=True, precision=bfloat16")
    assert resolve({}).to_json()["jit"] is None  # the next call may have another device


def test_which_cpus_have_bfloat16(cpu, tmp_path):
    assert not processor.has_bfloat16()  # no such file: not Linux
    for flags in ("fpu avx512_bf16", "amx_tile amx_bf16 amx_int8", "avx512_bf16"):
        cpu(flags)
        assert processor.has_bfloat16()
    for flags in ("", "avx512f", "avx512_bf16x", "bf16"):
        cpu(flags)
        assert not processor.has_bfloat16()
    (tmp_path / "cpuinfo").write_bytes(b"\xff Features : bf16")  # ARM, where it was not measured
    assert not processor.has_bfloat16()


def test_a_default_changes_no_state():
    """A run can go on on any device: no row has a loss scale, and XLA is for one replica."""
    for row in tables.DEVICES.values():
        assert not tables.PRECISIONS[row["precision"]].scaled
        assert all(fields.FIELDS[name].default is None for name in row)
    assert not tables.DEVICES["gpus"]["jit"]


def test_make_refuses_pythons_for_which_there_is_no_tensorflow(monkeypatch):
    (code,) = re.findall(r'\$\(PYTHON\) -c "(.+)"', (ROOT / "Makefile").read_text())
    for version, refused in {(3, 10): 1, (3, 11): 0, (3, 13): 0, (3, 14): 1}.items():
        monkeypatch.setattr(sys, "version_info", (*version, 5, "final", 0))
        with pytest.raises(SystemExit) as error:
            exec(code, {})
        assert ("is needed: make PYTHON=" in str(error.value)) == refused


def test_the_gpu_requirements_have_the_tested_version():
    lines = (ROOT / "requirements.txt").read_text().split("\n")
    version = next(x for x in lines if x.startswith("tensorflow=="))[12:].split()[0]
    assert f"tensorflow[and-cuda]=={version} " in Path(ROOT, "requirements-gpu.txt").read_text()
