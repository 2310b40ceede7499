"""The rules of the design that a program can check. Each check is shown a text that breaks it."""

import ast
import re
import subprocess

import pytest

from tests.conftest import ROOT

MODULES = sorted(
    path
    for pattern in ("*.py", "*/*.py", "*/*/*.py")
    for path in ROOT.glob(pattern)
    if path.relative_to(ROOT).parts[0] not in ("tests", "benchmarks", "data", ".venv")
)
# From a package, or a module at the root, to those that it may import from. Data flows from main
# and commands down; `architectures` holds networks and trainers, and none of those below it sees a
# Config.
MAY_IMPORT = {
    "main": {"commands", "config", "messages", "console"},
    "commands": {
        "augmentation",
        "config",
        "datasets",
        "evaluation",
        "generation",
        "messages",
        "runs",
        "serving",
        "steering",
        "training",
    }
    | {"losses", "layers", "files", "hardware", "console"},
    "hardware": {"config"},
    "messages": {"config", "console"},
    "config": {"console"},
    "generation": {"config", "datasets", "runs", "steering", "training"}
    | {"utils", "files", "locks", "console"},
    "serving": {"config", "datasets", "generation", "steering", "utils", "console"},
    "steering": {"config", "runs", "utils", "files", "console"},
    "evaluation": {"runs", "utils", "files", "locks", "console"},
    "runs": {"utils", "files", "locks", "console"},
    "datasets": {"utils", "files", "locks", "console"},
    "architectures": {"model", "ops", "losses", "layers", "training", "utils"},
    "model": {"ops", "losses", "layers", "training"},
    "ops": {"layers", "training"},
    "losses": {"training"},
    "layers": {"training"},
    "augmentation": {"training"},
    "training": {"utils", "console"},
    "utils": {"files"},
    "files": {"locks", "console"},
    "locks": {"console"},
    "console": set(),
}
MAX_LINES = {"main.py": 120, "model.py": 440}
TABLES = {"config/tables.py", "config/presets.py", "config/fields.py"}  # data: of any length
# These may import TensorFlow in functions alone: `--help` and wrong calls are quick.
NO_TENSORFLOW = {"main", "commands", "config", "datasets", "runs", "utils", "files", "locks"}
NO_TENSORFLOW |= {"console", "hardware", "messages", "serving", "steering"}
NO_TENSORFLOW |= {"generation/export", "generation/model_card", "generation/translate"}
NO_TENSORFLOW |= {
    "generation/arguments",
    "generation/listing",
    "generation/interface",
    "generation/__init__",
}
NO_TENSORFLOW |= {
    "evaluation/metrics",
    "evaluation/wasserstein",
    "training/cluster",
    "training/loop",
}
FRAMEWORKS = {"tensorflow", "keras"}
NAMERS = ("config/tables", "config/rows")  # may name parts of other modules as `module:function`


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
    found = [re.fullmatch(r"(\w+)(?:\.\w+)*:[\w.]+", t) for t in texts if isinstance(t, str)]
    return {match[1] for match in found if match} & set(MAY_IMPORT)


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


@pytest.fixture(params=MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def module(request):
    """Every module of ours: (its path without the suffix, its text, its tree)."""
    text = request.param.read_text()
    return str(request.param.relative_to(ROOT).with_suffix("")), text, ast.parse(text)


def package_of(name):
    """The package of a module, or the module itself at the root."""
    return name.partition("/")[0]


def test_imports_follow_the_table(module):
    name, _, tree = module
    own = package_of(name)
    assert own in MAY_IMPORT, "a new package, or module at the root, needs its row here"
    assert imports(tree) & set(MAY_IMPORT) <= MAY_IMPORT[own] | {own}
    assert "." not in imports(tree)
    assert name in NAMERS or not named(tree)


def test_the_table_is_of_what_there_is():
    assert {package_of(str(path.relative_to(ROOT).with_suffix(""))) for path in MODULES} == set(
        MAY_IMPORT
    )


def test_every_permission_is_used():
    used = {name: set() for name in MAY_IMPORT}
    for path in MODULES:
        own = package_of(str(path.relative_to(ROOT).with_suffix("")))
        used[own] |= imports(ast.parse(path.read_text()))
    assert {name: may - used[name] for name, may in MAY_IMPORT.items() if may - used[name]} == {}


def test_the_root_and_the_packages_are_of_a_size_to_oversee():
    sizes = {}
    for path in MODULES:
        sizes.setdefault(path.parent.relative_to(ROOT), set()).add(path.stem)
    sizes = {str(folder): len(names - {"__init__"}) for folder, names in sizes.items()}
    assert sizes.pop(".") == 8
    assert {name: size for name, size in sizes.items() if not 3 <= size <= 9} == {}


def test_the_table_has_no_circle():
    def reached(name, seen=()):
        assert name not in seen, seen
        return [reached(other, (*seen, name)) for other in MAY_IMPORT[name]]

    for name in MAY_IMPORT:
        reached(name)


def module_imports(tree, package):
    """The modules of the same package that a module of it imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith(package)}
    return {name.replace(".", "/") for name in found}


def test_no_package_has_a_circle():
    names = {str(path.relative_to(ROOT).with_suffix("")): path for path in MODULES}
    arrows = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text())
        arrows[name] = module_imports(tree, package_of(name)) & set(names) - {name}

    def reached(name, seen=()):
        assert name not in seen, seen
        for other in arrows[name]:
            reached(other, (*seen, name))

    for name in arrows:
        reached(name)


def test_what_is_imported_first(module):
    name, _, tree = module
    light = {package_of(name), name} & NO_TENSORFLOW
    assert not light or not first_imports(tree) & FRAMEWORKS


def test_no_bare_names(module):
    assert bare_names(module[2]) == []


def test_functions_and_files_are_short(module):
    name, text, tree = module
    assert long_functions(tree) == []
    assert f"{name}.py" in TABLES or text.count("\n") <= MAX_LINES.get(f"{name}.py", 300)


def test_choices_are_made_by_tables(module):
    name, _, tree = module
    assert f"{name}.py" in TABLES or choices(tree) == []


def test_what_is_public_is_documented(module):
    _, _, tree = module
    assert ast.get_docstring(tree)
    assert undocumented(tree) == []


def test_no_marks_and_no_paths_of_one_machine():
    files = dict(own_files())
    assert {ROOT / "main.py", ROOT / "config/tables.py", ROOT / "pyproject.toml"} <= set(files)
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
