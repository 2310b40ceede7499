"""Do the tests notice small changes of the code?

`python -m benchmarks.mutate losses utils config cli._normalise` changes one place of a module at a
time, in a copy of the project, and runs the tests of TESTS, those that call the changed function
first, until one fails. It prints a table, and each change that no test has noticed and that
`benchmarks/equivalent.csv` does not explain. The operators are those of mutmut (in
requirements-bench.txt) and one more, a statement left out. mutmut's own program passes over
decorated functions and all that stands outside of functions, and has TensorFlow imported for each
change anew: here every change has a fork of one process.

What was found is added to `--found`: a call of the same words goes on where the last one ended,
after `--minutes` at the latest; `--again` tries once more what no test had noticed and nothing
explains. With `--share` 0.4 two of five changes are tried, chosen by a checksum: always the same.
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

import libcst as cst
import pytest
from mutmut.mutation import mutators

from benchmarks import timing

IMAGES = ("tests/test_utils.py", "tests/test_sample.py::test_a_video_if_av_is_installed")
FILES = ("tests/test_files.py", "tests/test_recovery.py::test_files_of_dead_processes_are_removed")
WORDS = ("tests/test_bad_calls.py", "tests/test_config.py")
ROOT = Path(__file__).resolve().parents[1]
TESTS = {"losses": ("tests/test_losses.py",), "utils": IMAGES, "files": FILES}
TESTS |= {f"config/{name}": WORDS for name in ("fields", "flags", "resolve", "values")}
TESTS["console"] = ("tests/test_console.py", "tests/test_errors.py")
SLOWER = 4  # times the seconds of the unchanged module after which a change is seen: it hangs
AFTER = 10  # seconds that are added
UNWANTED = ("cacheprovider", "unraisableexception", "threadexception", "xdist")  # slow, or write
MEMORY = 4 << 30  # bytes that the tests may take
FIELD = "_flag"  # in a call of it only numbers and truth values are changed: the rest are texts
LEFT_OUT = ("len", "isinstance", "os.kill")  # other words are errors; a signal would be sent
EQUIVALENT = Path(__file__).with_name("equivalent.csv")
NOTICED = ("killed", "hangs")


def without(node):
    """A statement that is left out, as an operator like those of mutmut."""
    if not isinstance(node.value, cst.BaseString | cst.Yield):
        yield cst.Pass()


def longer(node):
    """A text with something around it: of the operator's three changes the first."""
    yield from list(mutators.operator_string(node))[:1]


OPERATORS = [
    *(
        (kind, longer if change is mutators.operator_string else change)
        for kind, change in mutators.mutation_operators
        if kind is not cst.AnnAssign  # the fields of a class: their values are changed
    ),
    (cst.Expr, without),
]
OF_FIELDS = [(cst.BaseNumber, mutators.operator_number), (cst.Name, mutators.operator_name)]


class _Finder(cst.CSTVisitor):
    """Collects (function, node, what takes its place)."""

    def __init__(self):
        super().__init__()
        self.found, self.names, self.fields = [], [], 0

    def on_visit(self, node):
        called = cst.Module([]).code_for_node(node.func) if isinstance(node, cst.Call) else ""
        if isinstance(node, cst.Annotation | cst.Decorator) or called in LEFT_OUT:
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.names.append(node.name.value)
        self.fields += called == FIELD
        for kind, change in OF_FIELDS if self.fields else OPERATORS:
            if isinstance(node, kind):
                self.found += [(".".join(self.names), node, new) for new in change(node)]
        return True

    def on_leave(self, node):
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.names.pop()
        called = cst.Module([]).code_for_node(node.func) if isinstance(node, cst.Call) else ""
        self.fields -= called == FIELD


def mutants(source):
    """Each changed form of a module's source: (function, lines before, lines after) → source."""
    found, end = {}, 0
    module = cst.parse_module(source)
    for statement in module.body:
        text = module.code_for_node(statement)
        begin = source.index(text, end)
        end = begin + len(text)
        finder = _Finder()
        statement.visit(finder)
        for function, node, new in finder.found:
            changed = module.code_for_node(statement.deep_replace(node, new))
            if _compiles(changed):
                key = (function, *difference(text, changed))
                found.setdefault(key, source[:begin] + changed + source[end:])
    return found


def _compiles(text):
    try:
        compile(text, "changed", "exec")
    except SyntaxError:
        return False
    return True


def difference(source, changed):
    """The lines before and after a change, without their indents, each side as one."""
    before, after = source.splitlines(), changed.splitlines()
    for _ in range(2):  # what is the same at the beginning, then at the end
        while before and after and before[0] == after[0]:
            del before[0], after[0]
        before.reverse(), after.reverse()
    return " ".join(map(str.strip, before)), " ".join(map(str.strip, after))


def copy_project(folder):
    """The files that git has or would take, in another folder."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, done.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


class _Calls:
    """A plugin of pytest that notes which functions of a module each test calls."""

    def __init__(self, path):
        self.path, self.tests, self.seconds = path, {}, {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        """Note what one test calls, in its threads too."""
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
        """Leave it beside the module."""
        self.path.with_suffix(".calls").write_text(json.dumps([self.tests, self.seconds]))


class _Chosen:
    """A plugin of pytest that runs certain tests and no others."""

    def __init__(self, tests):
        self.tests = set(tests)

    def pytest_collection_modifyitems(self, items):
        """Leave out the others."""
        items[:] = [item for item in items if item.nodeid in self.tests]


def _test(folder, tests, plugins, keep):
    """Run tests of a copy until one fails, in a process of its own, and end it.

    With `keep` its modules are kept compiled: of a changed one that could be the unchanged one.
    """
    os.setsid()
    os.chdir(folder)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    ours = {path.stem for path in ROOT.glob("*.py")}
    ours |= {path.parent.name for path in ROOT.glob("*/__init__.py")}
    for name in [n for n in sys.modules if n.partition(".")[0] in ours]:
        del sys.modules[name]  # so that the copy's are read
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
    """Do the tests pass in a copy? None where they take longer."""
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

    For a change in a function those are run first that call it.
    """

    def __init__(self, folder, name):
        self.folder, self.words, self.path = folder, TESTS[name], folder / f"{name}.py"
        if not passes(folder, self.words, [_Calls(self.path)], keep=True):
            raise SystemExit(f"the tests of {name}.py fail as it is")
        self.calls, self.seconds = json.loads(self.path.with_suffix(".calls").read_text())
        assert self.calls, "no test has called a function of the copy"
        for path in (self.path.parent / "__pycache__").glob(f"{self.path.stem}.*"):
            path.unlink()

    def end_of(self, function, changed):
        """What becomes of a change: killed, hangs or survived."""
        source = self.path.read_text()
        self.path.write_text(changed)
        try:
            passed = self._pass(self.calls.get(function, ()))
            if (
                passed
            ):  # the others too: of what is kept from one call to the next they call nothing
                passed = self._pass(self.seconds)
        finally:
            self.path.write_text(source)
        return {False: "killed", None: "hangs", True: "survived"}[passed]

    def _pass(self, chosen):
        limit = AFTER + SLOWER * sum(map(self.seconds.get, chosen))
        return not chosen or passes(self.folder, self.words, [_Chosen(chosen)], limit)


def read_found(path):
    """What is known of changes: (module, function, before, after) → its end."""
    rows = map(json.loads, path.read_text().splitlines()) if path.is_file() else ()
    return {tuple(row[:-1]): row[-1] for row in rows}


def explained(path=EQUIVALENT):
    """The changes of which nobody could notice anything, or nothing that matters: → why."""
    with open(path, newline="") as file:
        return {tuple(row[:-1]): row[-1] for row in list(csv.reader(file))[1:]}


def report(changes, ends, why):
    """A row for each module, then each change that survived and is not explained."""
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
    """Run the tests on each change that is not in `ends`, and add what becomes of it."""
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
    parser.add_argument("--share", type=float, default=1.0, help="of the changes; always the same")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--found", type=Path, default=ROOT / "logs" / "mutants.jsonl")
    parser.add_argument("--again", action="store_true", help="those that survived")
    parser.add_argument("--report", action="store_true", help="of what was found, and no more")
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
        import keras  # noqa: F401 - once, for all the forks

        gc.freeze()  # or each fork would copy all of it where it collects
        call.found.parent.mkdir(parents=True, exist_ok=True)
        search(changes, ends, call.found, until)
    print(report(changes, ends, why))
    print(f"{sum(key not in ends for key in changes)} of {len(changes)} changes are left")


if __name__ == "__main__":
    main()
