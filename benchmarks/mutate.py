"""Mutation testing: check that the tests notice small changes of the code.

`python -m benchmarks.mutate losses utils config/flags._normalise` changes one place of a module at
a time, in a copy of the project. It runs the module's tests in TESTS until one fails, beginning
with the tests that call the changed function. It prints a table, and each change that survives the
tests and that `benchmarks/equivalent.csv` does not explain.

The operators are mutmut's (in requirements-bench.txt), and one that removes a statement. mutmut's
own program skips decorated functions and module-level code, and imports TensorFlow again for each
change. Here each change runs in a fork of one process.

Results are appended to `--found`. The same call then continues where the last one ended.
`--minutes` limits the time. `--again` repeats the unexplained survivors. `--share 0.4` tries two of
five changes, which a checksum selects: they are always the same.
"""

import argparse
import csv
import gc
import json
import math
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from zlib import crc32

import pytest

from benchmarks import timing
from benchmarks.mutants import mutants

IMAGES = ("tests/test_utils.py", "tests/test_sample.py::test_a_video_if_av_is_installed")
WORDS = ("tests/test_bad_calls.py", "tests/test_config.py")
ROOT = Path(__file__).resolve().parents[1]
TESTS = {"losses": ("tests/test_losses.py",), "utils": IMAGES, "files": ("tests/test_files.py",)}
TESTS["locks"] = ("tests/test_locks.py",)
TESTS |= {f"config/{name}": WORDS for name in ("fields", "flags", "resolve", "values")}
TESTS["console"] = ("tests/test_console.py", "tests/test_errors.py")
# A change hangs if its tests take SLOWER times as long as without it, plus AFTER seconds.
SLOWER, AFTER = 4, 10
# Plugins that are slow or write files.
UNWANTED = ("cacheprovider", "unraisableexception", "threadexception", "xdist")
MEMORY = 4 << 30  # bytes that the tests may allocate
EQUIVALENT = Path(__file__).with_name("equivalent.csv")
NOTICED = ("killed", "hangs")


def copy_project(folder):
    """Copy all files that git does not ignore to another folder."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, done.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


class _Calls:
    """A pytest plugin that records which functions of a module each test calls."""

    def __init__(self, path):
        self.path, self.tests, self.seconds = path, {}, {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        """Record the calls of one test, also in its threads."""
        called = set()

        def note(frame, event, _):
            if event == "call" and frame.f_code.co_filename == str(self.path):
                called.add(frame.f_code.co_qualname.replace("<locals>.", ""))

        begun = time.monotonic()
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            return (yield)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            self.seconds[item.nodeid] = time.monotonic() - begun
            for function in called:
                self.tests.setdefault(function, []).append(item.nodeid)

    def pytest_sessionfinish(self):
        """Write the record beside the module."""
        self.path.with_suffix(".calls").write_text(json.dumps([self.tests, self.seconds]))


class _Chosen:
    """A pytest plugin that runs the chosen tests only."""

    def __init__(self, tests):
        self.tests = set(tests)

    def pytest_collection_modifyitems(self, items):
        """Remove the other tests."""
        items[:] = [item for item in items if item.nodeid in self.tests]


def _test(folder, tests, plugins, keep):
    """Run tests of a copy until one fails, in a forked process, and exit.

    Args:
      keep: True writes compiled modules. For a changed module Python could load a stale one.
    """
    os.setsid()
    os.chdir(folder)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    ours = {path.stem for path in ROOT.glob("*.py")}
    ours |= {path.parent.name for path in ROOT.glob("*/__init__.py")}
    for name in [n for n in sys.modules if n.partition(".")[0] in ours]:
        del sys.modules[name]  # so that the copy's modules are imported
    sys.path = [str(folder), *(p for p in sys.path if Path(p).resolve() != ROOT)]
    sys.dont_write_bytecode = not keep
    os.environ["PYTHONDONTWRITEBYTECODE"] = "" if keep else "1"
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    words = ["-x", "-q", f"--basetemp={folder}/.tmp"]
    words += [w for name in UNWANTED for w in ("-p", f"no:{name}")]
    os._exit(pytest.main([*words, *tests], plugins))


def passes(folder, tests, plugins=(), seconds=None, keep=False):
    """Return whether the tests pass in a copy, or None if they take more than `seconds`."""
    fork = multiprocessing.get_context("fork").Process
    child = fork(target=_test, args=(folder, tests, plugins, keep))
    child.start()
    child.join(seconds)
    if child.exitcode is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.join()
        return None
    return child.exitcode == 0


class Tests:
    """The tests of one module, in a copy of the project.

    The tests that call a changed function run first.
    """

    def __init__(self, folder, name):
        self.folder, self.words, self.path = folder, TESTS[name], folder / f"{name}.py"
        if not passes(folder, self.words, [_Calls(self.path)], keep=True):
            raise SystemExit(f"the tests of {name}.py fail without a change")
        self.calls, self.seconds = json.loads(self.path.with_suffix(".calls").read_text())
        assert self.calls, "no test has called a function of the copy"
        for path in (self.path.parent / "__pycache__").glob(f"{self.path.stem}.*"):
            path.unlink()

    def end_of(self, function, changed):
        """Return the result of a change: "killed", "hangs" or "survived"."""
        source = self.path.read_text()
        self.path.write_text(changed)
        try:
            passed = self._pass(self.calls.get(function, ()))
            if passed:  # other tests may use cached results of the function without a call
                passed = self._pass(self.seconds)
        finally:
            self.path.write_text(source)
        return {False: "killed", None: "hangs", True: "survived"}[passed]

    def _pass(self, chosen):
        limit = AFTER + SLOWER * sum(map(self.seconds.get, chosen))
        return not chosen or passes(self.folder, self.words, [_Chosen(chosen)], limit)


def read_found(path):
    """Read the known results: (module, function, before, after) → "killed", …"""
    rows = map(json.loads, path.read_text().splitlines()) if path.is_file() else ()
    return {tuple(row[:-1]): row[-1] for row in rows}


def explained(path=EQUIVALENT):
    """Read the changes that have no effect, or none that matters: change → the reason."""
    with open(path, newline="") as file:
        return {tuple(row[:-1]): row[-1] for row in list(csv.reader(file))[1:]}


def report(changes, ends, why):
    """Return a table with a row for each module, and the unexplained survivors."""
    rows, left = [], []
    for name in dict.fromkeys(key[0] for key in changes):
        known = {key: ends[key] for key in changes if key[0] == name and key in ends}
        survived = [key for key, end in known.items() if end not in NOTICED]
        open_ = [key for key in survived if key not in why]
        noticed = len(known) - len(survived)
        rows.append([f"`{name}.py`", len(known), noticed, len(survived) - len(open_), len(open_)])
        left += [f"{name}.{key[1]}\n  - {key[2]}\n  + {key[3]}" for key in open_]
    head = ["module", "changes", "noticed", "explained", "neither"]
    return "\n".join([timing.table(head, rows), *left])


def search(changes, ends, path, until):
    """Test each change that is not in `ends`; add its result to `ends` and to the file."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        copy_project(folder)
        tests = {}
        for key, changed in changes.items():
            if key in ends:
                continue
            if time.monotonic() > until:
                return
            name, function = key[:2]
            tests[name] = tests.get(name) or Tests(folder, name)
            ends[key] = tests[name].end_of(function, changed)
            with open(path, "a") as file:
                file.write(json.dumps([*key, ends[key]]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=[*TESTS], help="a module, or module.function")
    parser.add_argument("--share", type=float, default=1.0, help="fraction of the changes")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--found", type=Path, default=ROOT / "logs" / "mutants.jsonl")
    parser.add_argument("--again", action="store_true", help="repeat the unexplained survivors")
    parser.add_argument("--report", action="store_true", help="only print the known results")
    call = parser.parse_args()
    until = time.monotonic() + 60 * call.minutes
    changes = {}
    for part in call.parts:
        name, _, function = part.partition(".")
        found = mutants((ROOT / f"{name}.py").read_text())
        changes |= {(name, *k): v for k, v in found.items() if k[0].startswith(function)}
    changes = {k: v for k, v in changes.items() if crc32(repr(k).encode()) < call.share * 2**32}
    ends = read_found(call.found)
    why = explained()
    if call.again:
        ends = {key: end for key, end in ends.items() if end in NOTICED or key in why}
    if not call.report:
        import keras  # noqa: F401 - once, for all forks

        gc.freeze()  # a collection in a fork would copy all memory
        call.found.parent.mkdir(parents=True, exist_ok=True)
        search(changes, ends, call.found, until)
    print(report(changes, ends, why))
    print(f"{sum(key not in ends for key in changes)} of {len(changes)} changes are left to test")


if __name__ == "__main__":
    main()
