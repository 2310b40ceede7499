"""The image, and the commands of docs/cluster.md, with stand-ins for other programs."""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config import flags
from tests.conftest import ROOT
from tests.test_design import MODULES
from tests.test_workers import free_ports
from training import cluster

DOCUMENT = (ROOT / "docs" / "cluster.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ENTRY = [json.loads(x) for x in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.+\])", DOCKERFILE, re.M)]
# A program that appends the words it is called with, and TF_CONFIG, to the file `called`.
RECORD = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["CALLED"], "a") as file:
    print(json.dumps([os.environ.get("TF_CONFIG", ""), *sys.argv]), file=file)
sys.exit(int(os.environ.get("STATUS", 0)))
"""


def block(kind):
    """The text of the one block of this kind in the document."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```", DOCUMENT, re.M | re.S)
    return found


def instructions(name):
    """The words of each of the Dockerfile's instructions of a name."""
    return [shlex.split(x) for x in re.findall(rf"^{name} (.+)", DOCKERFILE, re.M)]


def ignored(path):
    """Does .dockerignore leave a path out of the image? The last pattern that fits decides."""
    found = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = path.parts if line.startswith("**/") else path.parts[:1]
        if not line.startswith("#") and any(fnmatch.fnmatchcase(p, pattern) for p in parts):
            found = not line.startswith("!")
    return found


def listed():
    """The names of the project's files."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A function of (name, text) that puts a program on the path; `called` gives the calls."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLED", str(tmp_path / "called"))

    def put(name, text=RECORD):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)

    put.called = lambda: [json.loads(x) for x in (tmp_path / "called").read_text().splitlines()]
    return put


def test_the_image_has_what_the_program_needs(tmp_path):
    """Its files, copied as COPY does, run in another folder."""
    kept = {path for path in map(Path, listed()) if not ignored(path)}
    assert {path.relative_to(ROOT) for path in MODULES} <= kept
    assert {path.parts[0] for path in kept} & {
        "tests",
        "docs",
        "data",
        ".git",
        "README.md",
    } == set()
    (first, second) = instructions("COPY")
    assert {ROOT.joinpath(name).is_file() for name in first[:-1]} == {True}
    assert (second, first[-1]) == ([".", "/opt/gan/"], "/opt/gan/")
    for gpu in ("", "-gpu"):
        assert f"requirements{gpu}.txt" in first
    for path in kept:
        (tmp_path / "gan" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / "gan" / path)
        (tmp_path / "gan" / path).chmod(0o600)  # as under a strict umask
    (command,) = re.findall(r"^RUN (mkdir .+)", DOCKERFILE, re.M)
    command = command.replace(" /runs", f" {tmp_path}/runs").replace("/opt", str(tmp_path))
    (tmp_path / "gan").chmod(0o700)
    subprocess.run(["sh", "-c", command], check=True)
    assert all(path.stat().st_mode & 0o4 for path in (tmp_path / "gan").rglob("*"))
    assert (tmp_path / "gan").stat().st_mode & 0o5 == 0o5
    assert (tmp_path / "runs").stat().st_mode & 0o7777 == 0o1777
    entry, default = ENTRY
    words = [w.replace("/opt/gan", str(tmp_path / "gan")) for w in entry]
    words = [sys.executable, *words[1:], "--list"]
    done = subprocess.run(words, cwd=tmp_path / "runs", capture_output=True, text=True, check=True)
    assert "mnist_64_28_28" in done.stdout and default == ["--help"]
    assert instructions("USER") == [["1000"]] and instructions("WORKDIR") == [["/runs"]]


@pytest.mark.parametrize(("gpu", "file"), [("", "requirements.txt"), ("1", "requirements-gpu.txt")])
def test_the_argument_of_the_build_chooses_the_requirements(programs, monkeypatch, gpu, file):
    programs("pip")
    monkeypatch.setenv("GPU", gpu)
    (command,) = re.findall(r"^RUN (pip .+)", DOCKERFILE, re.M)
    subprocess.run(["sh", "-c", command], check=True)
    ((_, _, *words),) = programs.called()
    assert words == ["install", "--no-cache-dir", "-r", f"/opt/gan/{file}"]


def engine():
    """Does a Docker engine answer?"""
    docker = shutil.which("docker")
    ask = [docker, "info", "--format", "{{.ServerVersion}}"]
    return docker and not subprocess.run(ask, capture_output=True, check=False).returncode


@pytest.mark.slow
def test_the_image_is_built_and_trains(tmp_path):
    if not engine():
        pytest.skip("no Docker engine answers")
    subprocess.run(["docker", "build", "-q", "-t", "gan-test", "."], cwd=ROOT, check=True)
    words = ["docker", "run", "--rm", "--user", str(os.getuid()), "-v", f"{tmp_path}:/runs"]
    words += ["gan-test"]
    words += ["--dataset", "digits", "--train", "True", "--max_steps", "3"]
    subprocess.run(words, check=True)
    assert list(tmp_path.glob("checkpoint/*/generator.keras"))


def test_every_command_of_the_document_is_one_that_the_program_takes():
    calls = re.findall(r"(?:main\.py|(?<!-t )gan|gan\.sif) (--dataset .+)", DOCUMENT)
    assert len(calls) == 7
    for words in calls:
        flags.parse_flags(["main.py", *words.split("#")[0].rstrip("'").split()])


@pytest.mark.parametrize("status", [0, 138])
def test_the_job_script_starts_two_workers(programs, monkeypatch, tmp_path, status):
    """`srun` runs its command on each node; 138 is the status after SIGUSR1."""
    programs("apptainer")
    show = 'show) printf "127.0.0.1\\n127.0.0.2\\n";;'
    programs("scontrol", f'#!/bin/sh\ncase $1 in {show} *) echo "$@" > asked;; esac')
    programs("srun", '#!/bin/sh\nfor SLURM_PROCID in 0 1; do export SLURM_PROCID; "$@"; done')
    values = {"SLURM_JOB_NODELIST": "n[0-1]", "SLURM_JOB_ID": "7", "STATUS": str(status)}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    subprocess.run(["bash", "-c", block("bash")], cwd=tmp_path, check=False)
    for index, (config, _, *words) in enumerate(programs.called()):
        hosts = ("127.0.0.1:2222", "127.0.0.2:2222")
        assert cluster.parse(config) == cluster.Cluster(hosts, index)
        assert words[:3] == ["run", "--nv", "gan.sif"]
    assert index == 1
    asked = tmp_path / "asked"
    assert (asked.read_text() if asked.exists() else "") == ("requeue 7\n" if status else "")


@pytest.mark.slow
def test_the_job_script_trains_with_two_workers(programs, monkeypatch, tmp_path):
    """On loopback, by the program itself in the place of the image's.

    Two workers on one machine need two ports, which `scontrol` gives here with the addresses.
    """
    words = "--dataset digits --arch mlp --mode gan --g_width 4 --d_width 4 --batch_size 4"
    words += f" --max_steps 3 --data_dir {ROOT / 'data'} --output_height 8"
    call = f'shift 3; exec {sys.executable} {ROOT / "main.py"} "$@" {words}'
    programs("apptainer", f"#!/bin/sh\n{call}\n")
    hosts = "".join(f"127.0.0.1:{port}\\n" for port in free_ports(2))
    programs("scontrol", f"#!/bin/sh\nprintf '{hosts}'\n")
    each = 'SLURM_PROCID=$i "$@" > out$i 2>&1 & pids="$pids $!"; done'
    ends = "for pid in $pids; do wait $pid || status=$?; done; exit $status"
    programs("srun", f"#!/bin/sh\nstatus=0; for i in 0 1; do {each}\n{ends}\n")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "n[0-1]")
    script = block("bash").replace("&:2222", "&")
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=False, timeout=200)
    leader, other = ((tmp_path / f"out{i}").read_text() for i in range(2))
    assert "done at step 3 of 3" in leader and "Traceback" not in leader + other
    assert [p.parent.parent.name for p in tmp_path.rglob("generator.keras")] == ["checkpoint"]


def test_kubernetes_objects_fit_its_schema():
    schema = pytest.importorskip(
        "kubernetes_validate", reason="pip install -r requirements-dev.txt"
    )
    yaml = pytest.importorskip("yaml", reason="pip install -r requirements-dev.txt")
    service, job = yaml.safe_load_all(block("yaml"))
    for found in (service, job):
        schema.validate(found, schema.latest_version(), strict=True)
    job["spec"]["template"]["spec"]["containers"][0]["images"] = "gan"
    with pytest.raises(schema.ValidationError, match="images"):
        schema.validate(job, schema.latest_version(), strict=True)


def test_the_job_of_kubernetes(programs, monkeypatch):
    """Its objects have the parts that the API asks for, and its shell starts the right worker."""
    yaml = pytest.importorskip("yaml", reason="pip install -r requirements-dev.txt")
    service, job = yaml.safe_load_all(block("yaml"))
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    name, pod = job["metadata"]["name"], job["spec"]["template"]["spec"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert pod["restartPolicy"] in ("Never", "OnFailure")
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    (container,) = pod["containers"]
    assert container["image"] == "gan" and container["name"]
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    assert [m["mountPath"] for m in container["volumeMounts"]] == ["/runs"]
    programs("python")
    for index in range(2):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        subprocess.run([*container["command"], *container["args"]], check=True)
        config, _, program, *words = programs.called()[-1]
        hosts = tuple(f"{name}-{i}.{pod['subdomain']}:2222" for i in range(2))
        assert cluster.parse(config) == cluster.Cluster(hosts, index)
        assert program == ENTRY[0][1]
        assert flags.parse_flags(["main.py", *words])["train"]
