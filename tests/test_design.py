"""The rules of DESIGN.md that a program can check. Each check is shown a text that breaks it."""

import ast
import re
import subprocess

import pytest

from tests.conftest import ROOT

MODULES = sorted(ROOT.glob("*.py"))
OURS = {path.stem for path in MODULES}
LATER = {"utils", "ops", "outputs"}
MAY_IMPORT = {
    "main": OURS - {"main"},
    "tasks": OURS - {"main", "tasks"},
    "build": OURS - {"main", "tasks", "build"},
    "cli": {"config", "kept", "presets", "recipes"},
    "kept": {"config", "presets", "recipes"},
    "config": {"kinds", "presets", "recipes"},
    "kinds": {"recipes"},
    "presets": set(),
    "recipes": set(),
    "dataset": {"progress", "recipes", "utils"},
    "databases": set(),
    "archives": {"databases", "utils"},
    "sources": {"archives", "databases", "dataset", "utils"},
    "losses": {"distribute"},
    "ops": {"convolutions", "distribute", "layers"},
    "layers": set(),
    "convolutions": {"layers"},
    "optimizers": set(),
    "trainer": {"distribute"},
    "model": {"distribute", "losses", "ops", "trainer", "utils"},
    "dcgan": {"ops"},
    "small": {"ops"},
    "resnet": {"ops"},
    "pggan": {"layers", "ops", "losses", "model"},
    "estimate": set(),
    "cyclegan": {"cyclenets", "distribute", "model", "trainer"},
    "cyclenets": {"ops"},
    "domains": {"dataset", "utils"},
    "translate": {"progress", "sources", "trained", "utils"},
    "train": set(),
    "outputs": {"curves", "film", "page", "recover", "utils"},
    "film": {"recover", "utils"},
    "page": {"curves", "utils"},
    "recover": {"curves"},
    "curves": {"utils"},
    "trained": {"utils"},
    "sample": {"outputs", "utils"},
    "utils": set(),
    "progress": set(),
    "metrics": set(),
    "evaluate": {"metrics", "trained", "utils"},
    "report": LATER | {"curves", "trained"},
    "export": {"card", "recover", "trained", "utils"},
    "card": {"curves", "recover", "utils"},
    "distribute": set(),
    "cluster": {"outputs"},
    "replicas": {"cluster", "config", "distribute", "recipes", "utils"},
}
MAX_LINES = {"main": 120}
NO_TENSORFLOW = (
    "cli",
    "config",
    "kinds",
    "domains",
    "translate",
    "kept",
    "recipes",
    "presets",
    "utils",
    "dataset",
    "sources",
)
NO_TENSORFLOW += ("progress", "databases", "trained", "recover")
NO_TENSORFLOW += ("archives", "card", "export", "film", "page")
NO_TENSORFLOW += ("build", "tasks", "main", "curves", "metrics", "outputs", "cluster", "replicas")
FRAMEWORKS = {"tensorflow", "keras"}
NAMERS = ("recipes", "build")  # may name parts of other modules as `module:function`


def modules_of(node):
    """The top-level modules that an import statement takes from."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {(node.module or ".").partition(".")[0]}
    return set()


def imports(tree):
    """Every module imported, in functions too, and those named as `module:function`."""
    return set().union(*map(modules_of, ast.walk(tree)))


def named(tree):
    """Our modules that a text of the source names as `module:attribute`."""
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    found = [re.fullmatch(r"(\w+):[\w.]+", t) for t in texts if isinstance(t, str)]
    return {match[1] for match in found if match} & OURS


def first_imports(tree):
    """The modules imported when this one is: all but those inside functions."""
    found, nodes = set(), [tree]
    while nodes:
        node = nodes.pop()
        found |= modules_of(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            nodes += ast.iter_child_nodes(node)
    return found


def bare_names(tree):
    """Imports of all names at once, and of Keras' `ops` under our own module's name."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            module = (getattr(node, "module", None) or "").partition(".")[0]
            for alias in node.names:
                name, foreign = alias.asname or alias.name, module or "." in alias.name
                if alias.name == "*" or (name == "ops" and foreign):
                    found.append(ast.unparse(node))
    return found


def long_functions(tree, most=60):
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    return [f.name for f in functions if f.end_lineno - f.lineno + 1 > most]


def is_choice(node):
    """Is it `mode` or `arch`: a name, an attribute, or a key?"""
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value in ("mode", "arch")
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("image", "file"):
        return False  # Pillow's mode of pixels
    name = getattr(node, "id", getattr(node, "attr", None))
    return isinstance(node, ast.Name | ast.Attribute) and name in ("mode", "arch")


def is_text(node):
    """Is it a text, or several?"""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(map(is_text, node.elts))
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def choices(tree):
    """Comparisons of a mode or an architecture with its name."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(map(is_choice, sides)) and any(map(is_text, sides)):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Match) and is_choice(node.subject):
            found.append("match " + ast.unparse(node.subject))
    return found


def undocumented(tree, prefix=""):
    """Public functions, classes and methods that have no docstring."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                found.append(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                found += undocumented(node, node.name + ".")
    return found


def unwanted_words(text):
    """Left-over marks, and paths that only one machine has."""
    marks = "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X"))
    homes = "|".join(("work", "home", "root", "Users"))
    return re.findall(rf"\b(?:{marks})\b|(?<![\w.~>$)}}])/(?:{homes})/", text)


def own_files():
    """The text files of the project: those that git has or would take."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False)
    names = done.stdout.decode().split("\0") if done.returncode == 0 else []
    paths = [ROOT / n for n in names if n] or [
        *MODULES,
        *ROOT.glob("tests/*.py"),
        *ROOT.glob("*.*"),
    ]
    for path in paths:
        content = path.read_bytes() if path.is_file() else b"\0"
        if b"\0" not in content:
            yield path, content.decode(errors="replace")


@pytest.fixture(params=MODULES, ids=lambda path: path.stem)
def module(request):
    """Every module of ours: (name, text, tree)."""
    text = request.param.read_text()
    return request.param.stem, text, ast.parse(text)


def test_imports_follow_the_table(module):
    name, _, tree = module
    assert name in MAY_IMPORT, "a new module needs its row here and in DESIGN.md"
    assert imports(tree) & OURS <= MAY_IMPORT[name]
    assert "." not in imports(tree)
    assert name in NAMERS or not named(tree)


def test_the_table_has_no_way_back():
    def reached(name, seen=()):
        assert name not in seen, seen
        return [reached(n, (*seen, name)) for n in MAY_IMPORT[name] if n in MAY_IMPORT]

    for name, others in MAY_IMPORT.items():
        assert "main" not in others
        if name not in ("main", "tasks", "build"):
            reached(name)
            assert not {"build", "tasks"} & others
            assert "config" not in others or name in ("cli", "kept", "replicas")


def test_what_is_imported_first(module):
    name, _, tree = module
    assert name not in NO_TENSORFLOW or not first_imports(tree) & FRAMEWORKS


def test_no_bare_names(module):
    assert bare_names(module[2]) == []


def test_functions_and_files_are_short(module):
    name, text, tree = module
    assert long_functions(tree) == []
    assert text.count("\n") <= MAX_LINES.get(name, 400)


def test_choices_are_made_by_tables(module):
    name, _, tree = module
    assert name in ("recipes", "presets") or choices(tree) == []


def test_what_is_public_is_documented(module):
    _, _, tree = module
    assert ast.get_docstring(tree)
    assert undocumented(tree) == []


def test_no_marks_and_no_paths_of_one_machine():
    files = dict(own_files())
    assert {ROOT / "main.py", ROOT / "recipes.py", ROOT / "pyproject.toml"} <= set(files)
    found = {str(p.relative_to(ROOT)): unwanted_words(text) for p, text in files.items()}
    assert {name: words for name, words in found.items() if words} == {}


ALIAS, SLASH = "import keras.ops as ops", "/"


@pytest.mark.parametrize(
    "check, wrong, right",
    [
        (imports, ["import os.path", "from os import path", "def f():\n  import os"], ["a = 1"]),
        (named, ["f('losses:hinge')", "a = {'b': 'ops:norm'}"], ["'a losses:b'", "'http:b'"]),
        (
            first_imports,
            [
                "import keras",
                "from keras import a",
                "if a:\n  import keras",
                "class A:\n  import a",
            ],
            ["def f():\n  import keras", "class A:\n  def f(self):\n    import keras"],
        ),
        (
            bare_names,
            ["from os import *", "from keras import ops", ALIAS, "from keras import ops as ops"],
            ["import ops", "import keras", "from ops import norm", "import a.b as c"],
        ),
        (long_functions, ["def f():\n" + "  a\n" * 60], ["def f():\n" + "  a\n" * 59]),
        (
            choices,
            [
                *(
                    "if mode == 'gp': a",
                    "a = c.arch != 'dcgan'",
                    "'gp' == mode",
                    "c['mode'] == 'gp'",
                ),
                *("mode in ('gp', 'div')", "mode not in {'gp'}", "match mode:\n  case 'gp': a"),
            ],
            ["mode == other", "c.mode != ARCHS[arch]['mode']", "image.mode == 'L'", "a == 'gp'"],
        ),
        (
            undocumented,
            ["def f(): a", "class A: a", "class A:\n  'b'\n  def f(self): a"],
            ["def _f(): a", "def f(): 'b'", "class _A:\n  def f(self): a", "def f():\n  'b'\n  a"],
        ),
    ],
)
def test_a_check_finds_what_it_is_for(check, wrong, right):
    for source in wrong:
        assert check(ast.parse(source)), source
    for source in right:
        assert not check(ast.parse(source)), source


def test_unwanted_words_are_found():
    for name in ("work", "home", "root", "Users"):
        assert unwanted_words(f"open('{SLASH}{name}{SLASH}a')")
        assert not unwanted_words(f"see a{SLASH}{name}{SLASH}b and {name}{SLASH}c")
    assert unwanted_words("# TO" + "DO: later")
    assert not unwanted_words("to do")
