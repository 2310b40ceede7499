"""`benchmarks.mutate`: its changes of a module, and its report."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytest.importorskip("mutmut")
from benchmarks import mutants, mutate


def test_changes_by_hand():
    source = "A = 1\n\n\n@cache(2)\ndef f(a: int) -> int:\n    g(a)\n"
    source += "    return (\n        a < 1\n    )\n"
    assert list(mutants.mutants(source)) == [
        ("", "A = 1", "A = None"),
        ("", "A = 1", "A = 2"),
        ("f", "g(a)", "pass"),
        ("f", "g(a)", "g(None)"),
        ("f", "a < 1", "a <= 1"),
        ("f", "a < 1", "a < 2"),
    ]
    changed = mutants.mutants(source)["f", "a < 1", "a <= 1"]
    assert changed == source.replace("a < 1", "a <= 1")


def test_only_numbers_and_booleans_of_a_field_are_changed():
    source = "class C:\n    a: int = _flag(1, 'help', str, once=True)\n    b = g('x')\n"
    assert [key[1:] for key in mutants.mutants(source)][:2] == [
        ("a: int = _flag(1, 'help', str, once=True)", f"a: int = _flag({words})")
        for words in ("2, 'help', str, once=True", "1, 'help', str, once=False")
    ]
    assert ("C", "b = g('x')", "b = g('XXxXX')") in mutants.mutants(source)


def test_signals_and_docstrings_are_not_changed():
    source = 'def f(pid):\n    """A."""\n    os.kill(pid, 0)\n    yield len(pid)\n'
    assert list(mutants.mutants(source)) == [("f", "os.kill(pid, 0)", "pass")]


def test_the_result_of_a_change(tmp_path):
    (tmp_path / "part.py").write_text("def f(a):\n    return a < 3\n")
    test = "import part\n\ndef test_f():\n    assert part.f(2) and not part.f(4)\n"
    (tmp_path / "test_part.py").write_text(test + "\ndef test_none():\n    pass\n")
    code = (
        "from pathlib import Path; import sys; from benchmarks import mutate\n"
        "mutate.TESTS['part'] = ('test_part.py',)\n"
        "tests = mutate.Tests(Path(sys.argv[1]), 'part')\n"
        "print(tests.calls['f'], len(tests.seconds))\n"
        "mutate.AFTER = 5\n"
        "for end in ('a < 4', 'a <= 3', 'a > 3', 'while True: pass'):\n"
        "    body = end if end[0] == 'w' else f'return {end}'\n"
        "    print(tests.end_of('f', f'def f(a):\\n    {body}\\n'))"
    )
    words = [sys.executable, "-c", code, tmp_path]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n", 1)[0] == "['test_part.py::test_f'] 2"
    assert done.stdout.split()[2:] == ["survived", "survived", "killed", "hangs"]
    assert (tmp_path / "part.py").read_text() == "def f(a):\n    return a < 3\n"


def test_the_report_by_hand(tmp_path):
    keys = [("m", "f", "a", str(i)) for i in range(5)] + [("n", "g", "b", "c")]
    ends = dict(zip(keys, ["killed", "hangs", "survived", "survived"]))
    path = tmp_path / "why.csv"
    path.write_text('module,function,before,after,why\nm,f,a,3,"one, and the same"\n')
    why = mutate.explained(path)
    assert why == {keys[3]: "one, and the same"}
    lines = mutate.report(keys, ends, why).splitlines()
    assert lines[2:4] == ["| `m.py` | 4 | 2 | 1 | 1 |", "| `n.py` | 0 | 0 | 0 | 0 |"]
    assert lines[4:] == ["m.f", "  - a", "  + 2"]


def test_explained_lines_are_in_their_module():
    for name, _, before, _ in mutate.explained():
        lines = map(str.strip, (ROOT / f"{name}.py").read_text().splitlines())
        assert before in " ".join(lines), before
