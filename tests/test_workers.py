"""Several processes that train together: TF_CONFIG, and two real ones on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from commands import devices
from runs.follower import Follower
from tests.conftest import ROOT, log_rows
from training import cluster

TASK = {"type": "worker", "index": 1}


def text(jobs, task=TASK):
    return json.dumps({"cluster": jobs, "task": task})


def test_who_leads():
    two = {"worker": ["a:1", "b:2"]}
    assert cluster.parse(text(two)) == cluster.Cluster(("a:1", "b:2"), 1)
    assert not cluster.parse(text(two)).leads
    assert cluster.parse(text(two, {"type": "worker", "index": "0"})).leads
    with_chief = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
    assert cluster.parse(text(with_chief)) == cluster.Cluster(("a:1", "b:2", "c:3"), 2)
    assert cluster.parse(text(with_chief, {"type": "chief", "index": 0})).leads


def test_one_worker_is_alone():
    assert cluster.parse("") is cluster.parse(" ") is None
    assert cluster.parse(text({"worker": ["a:1"]}, {"type": "worker", "index": 0})) is None


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "list indices"),
        ("{}", "no 'cluster'"),
        (text({"worker": ["a:1", "b:2"], "ps": ["c:3"]}), "unknown job 'ps'"),
        (text({"worker": ["a:1", "b"]}), "the address 'b' is not host:port"),
        (text({"worker": ["a:1", "b:70000"]}), "'b:70000' is not host:port"),
        (text({"worker": ["a:1", 5]}), "the address 5"),
        (text({"worker": ["a:1", "a:1"]}), "an address is listed twice"),
        (text({"worker": ["a:1"]}), "the task worker 1 is not in the cluster"),
        (text({"worker": ["a:1", "b:2"]}, {"type": "evaluator", "index": 0}), "the task evaluator"),
        (text({"chief": ["a:1", "b:2"]}), "several chiefs"),
        (text({"worker": ["a:1", "b:2"]}, {"type": "worker", "index": "x"}), "invalid literal"),
    ],
)
def test_a_broken_tf_config_is_one_line(cli, monkeypatch, words, reason):
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")):
        cluster.parse(words)
    monkeypatch.setenv("TF_CONFIG", words)
    status, _, err = cli("--dataset", "digits", "--train")
    assert status == 2
    assert err.count("\n") == 1
    assert err.startswith("main.py: TF_CONFIG: ")
    assert reason in err


def test_several_workers_need_their_addresses(cli):
    status, _, err = cli("--dataset", "digits", "--train", "--strategy", "multiworker")
    assert (status, err.count("\n")) == (2, 1)
    assert "needs TF_CONFIG" in err


def test_modes_are_compared_on_one_machine(cli, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text({"worker": ["a:1", "b:2"]}))
    status, _, err = cli("--dataset", "digits", "--compare", "gp,regular")
    assert (status, err.count("\n")) == (2, 1)
    assert "--compare trains on one machine" in err


def free_ports(count):
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for one in sockets:
        one.close()
    return ports


def test_those_who_do_not_come_are_named():
    a, b, c = (f"127.0.0.1:{port}" for port in free_ports(3))
    with socket.create_server(("127.0.0.1", int(b.rpartition(":")[2]))):
        assert cluster.Cluster((a, b), 0).wait_for_workers(5) == []
        assert cluster.Cluster((a, b, c), 0).wait_for_workers(0.1) == [c]


def test_a_worker_does_not_wait_for_ever(cli, monkeypatch, tmp_path):
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    monkeypatch.setattr(devices, "PATIENCE", 0.1)
    for index in (0, 1):
        config = text({"worker": hosts}, {"type": "worker", "index": index})
        monkeypatch.setenv("TF_CONFIG", config)
        status, out, err = cli("--dataset", "digits", "--train")
        assert (status, out) == (1, f"worker {index} of 2: waiting for the others\n")
        assert err == (
            "main.py: these workers of TF_CONFIG did not answer within 0.1 seconds: "
            f"{hosts[1 - index]}\n"
        )
    assert not list(tmp_path.glob("checkpoint/*"))


def test_a_follower_writes_nothing(tmp_path):
    run = Follower("r", tmp_path / "a", tmp_path / "b", tmp_path / "c")
    with run.lock():
        run.say("text")
        run.begin({}, {}, resume=False)
        assert not run.saved()
        run.reals(None)
        run.log(1, 0, 0.0, {}, None)
        run.sample(1, 0, 1, None, 8)
        run.save(1, None)
        run.redraw()
        run.finish()
        assert run.saved()
        assert run.written() == []
        assert run.plateau() is None
    assert list(tmp_path.iterdir()) == []


# ---- two processes ---------------------------------------------------------------------------

FLAGS = ["--dataset", "digits", "--output_height", 8, "--g_width", 4, "--d_width", 4, "--z_dim", 4]
FLAGS += ["--batch_size", 8, "--critic_num", 2, "--train", "--log_every", 1, "--save_every", 2]
FLAGS += ["--precision", "float32"]  # sums of parts are close to the whole sum
# As main.py, and what each process has in the end.
CODE = """
import sys, numpy, main
from commands import build
made, build_trainer = [], build.build_trainer
build.build_trainer = lambda *words: made.append(build_trainer(*words)) or made[-1]
status = main.main(sys.argv[2:])
weights = [w.numpy() for n in made[0].trained.values() for w in n.variables] if made else []
numpy.savez(f"weights{sys.argv[1]}.npz", *weights)
sys.exit(status)
"""


@pytest.fixture
def start(tmp_path):
    """A function of flags that starts two workers; they are killed at the end."""
    begun = []

    def start(*words):
        hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
        for index in (0, 1):
            task = text({"worker": hosts}, {"type": "worker", "index": index})
            call = [sys.executable, "-u", "-c", CODE, str(index), *map(str, words)]
            begun.append(
                subprocess.Popen(
                    call,
                    cwd=tmp_path,
                    env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": task},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        return begun[-2:]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def ends(process, seconds=300):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def close(rows, others):
    """Are the terms of two logs the same to 1e-5?"""
    assert [r["step"] for r in rows] == [r["step"] for r in others]
    for row, other in zip(rows, others):
        for name in row:
            assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-5, abs=1e-5), name


def test_two_processes_are_one(request, start, cli, tmp_path):
    """Their losses are those of one process, and their weights the same to the last bit."""
    both = start(*FLAGS, "--name", "two", "--max_steps", 4)
    (status, out, err), (other_status, other_out, other_err) = map(ends, both)
    assert (status, err, other_status, other_err) == (0, "", 0, "")
    assert "2 replicas, each with 4 of the 8 images in a batch" in out
    assert "done at step 4 of 4" in out
    assert other_out == "worker 1 of 2: waiting for the others\n"
    weights = [np.load(tmp_path / f"weights{i}.npz") for i in (0, 1)]
    assert len(weights[0].files) == len(weights[1].files) > 10
    for name in weights[0].files:
        np.testing.assert_array_equal(weights[0][name], weights[1][name])
    assert cli(*FLAGS, "--name", "one", "--max_steps", 4)[0] == 0
    close(*(log_rows(tmp_path / "checkpoint" / name) for name in ("two", "one")))
    request.getfixturevalue("eager")  # from here on
    status, out, err = cli(*FLAGS, "--name", "two", "--max_steps", 5)  # and one goes on alone
    assert (status, err) == (0, "")
    assert "resumed checkpoint/two at step 4" in out


def wait_for(done, seconds=120):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1], ids=["leading", "following"])
def test_a_killed_worker_ends_the_other_and_both_go_on(start, cli, tmp_path, killed):
    flags = [*FLAGS, "--name", "two"]
    both = start(*flags, "--max_steps", 10**6)
    folder = tmp_path / "checkpoint/two"
    wait_for(lambda: (folder / "ckpt-6.index").exists() or both[0].poll() is not None)
    both[killed].send_signal(signal.SIGKILL)
    status, _, err = ends(both[1 - killed], 60)
    assert status == 1
    assert err.count("\n") == 1
    assert "another worker has stopped" in err
    last = max(int(p.stem[5:]) for p in folder.glob("ckpt-*.index"))
    found = [ends(p) for p in start(*flags, "--max_steps", last + 3)]
    assert [(status, err) for status, _, err in found] == [(0, "")] * 2
    assert f"resumed checkpoint/two at step {last}" in found[0][1]
    assert cli(*FLAGS, "--name", "one", "--max_steps", last + 3)[0] == 0
    close(*(log_rows(tmp_path / "checkpoint" / name)[:10] for name in ("two", "one")))
    assert log_rows(folder)[-1]["step"] == str(last + 3)


@pytest.mark.slow
def test_all_stop_at_one_step(start, tmp_path):
    """SIGTERM to one that follows: both end, at the same step, and it is saved."""
    both = start(*FLAGS, "--name", "two", "--max_steps", 10**6)
    wait_for(
        lambda: (tmp_path / "checkpoint/two/ckpt-4.index").exists() or both[0].poll() is not None
    )
    both[1].send_signal(signal.SIGTERM)
    (status, out, err), (other, _, other_err) = (ends(p, 120) for p in both)
    assert (status, err, other, other_err) == (143, "", 143, "")
    step = int(out.rpartition(" at step ")[2].split()[0])
    assert step % 10 == 0
    assert (tmp_path / f"checkpoint/two/ckpt-{step}.index").exists()


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGINT])
def test_another_service_at_a_workers_address(tmp_path, index, number):
    """TensorFlow waits for it without limit, and for one that was killed after the meeting."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        hosts = [f"127.0.0.1:{port}" for port in (other.getsockname()[1], *free_ports(1))]
        hosts = hosts if index else hosts[::-1]
        task = text({"worker": hosts}, {"type": "worker", "index": index})
        code = "import sys, console, main; from commands import devices; "
        code += f"devices.PATIENCE = {100 if number else 8}; attend = console.attend; "
        code += "console.attend = lambda *words: print('attends') or attend(*words); "
        code += "sys.exit(main.finish(main.main()))"
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", code, *map(str, FLAGS)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": task},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert [process.stdout.readline() for _ in (0, 1)][1] == "attends\n"
        if number:
            time.sleep(4)
            process.send_signal(number)
        status, _, err = ends(process, 60)
    if number is None:
        assert (status, err.count("\n")) == (1, 1)
        assert "TensorFlow did not connect to the other workers (127.0.0.1:" in err
    else:
        assert status in (-number, 128 + number)
