"""What the README, the pages in docs/ and the Makefile say is what the program does."""

import re

import pytest

from config import fields, flags, tables
from config.resolve import resolve
from tests.conftest import ROOT
from tests.test_design import own_files

README = (ROOT / "README.md").read_text()
PAGES = {f"docs/{path.name}": path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES["README.md"] = README
MAKEFILE = (ROOT / "Makefile").read_text()
COMMANDS = sorted(
    {
        " ".join(words.replace("\\", "").strip("\" '").split())
        for text in (*PAGES.values(), MAKEFILE)
        for words in re.findall(r"python main\.py\s((?: *[^\s`#|]+)+)", text)
    }
)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 200
    table = README.partition("## When it goes wrong")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\| .+ \| .* \| .+ \|$", table, re.M)) >= 17  # with the head


def test_commands_are_found():
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_one_that_the_program_takes(words):
    given = flags.parse_flags(["main.py", *words.split()])
    given.pop("help", None)
    resolve(given)


@pytest.mark.parametrize("page", PAGES)
def test_flags_and_settings_that_are_named_exist(page):
    """In the text `--name value` or `--name`, in commands too."""
    names = {
        name.replace("-", "_") for name in re.findall(r"(?<![\w-])--([a-zA-Z][\w-]+)", PAGES[page])
    }
    others = {
        "help",
        "zip",
        "ntasks_per_node",
        "gpus_per_node",
        "requeue",
        "signal",
        "nodes",
        "logdir",
        *("rm", "user", "gpus", "build_arg", "nv"),  # of Docker and Apptainer
    }
    assert names - {*fields.FIELDS, *others, *BENCHMARKS} == set()


BENCHMARKS = {  # flags of the programs in benchmarks/
    *("candidates", "seeds", "minutes", "updates", "output", "plot", "copies"),
    *("precisions", "rounds", "seconds"),
    *("cases", "modes", "competitors", "set", "tflops", "nvlink", "hop", "network", "message"),
    *("inside", "kills", "processes", "steps", "widths", "together", "eager", "at_once", "share"),
    *("samples", "photos", "only"),
}


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_are_there(page):
    for found in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", PAGES[page]):
        path = "".join(found)
        if not path.startswith("http"):
            assert ((ROOT / page).parent / path).exists(), path


def test_requirements_are_pinned_and_say_what_they_are_for():
    paths = sorted(ROOT.glob("requirements*.txt"))
    lines = [line for path in paths for line in path.read_text().splitlines()]
    packages = [line for line in lines if line[0] not in "#-"]
    assert len(paths) == 6 and len(packages) > 20
    assert [x for x in packages if not re.fullmatch(r"[\w\[\]-]+==[\d.]+ +# .{5,}", x)] == []


def test_the_help_names_the_data_sets_that_have_a_reader():
    text = fields.FIELDS["dataset"].metadata["help"]
    own = [n for n, row in tables.DATASETS.items() if row.reader != tables.FOLDER.reader]
    assert [n for n in own if not re.search(rf"\b{n}\b", text)] == []


@pytest.mark.parametrize("name", [*tables.MODES, *tables.PENALTIES, *tables.ARCHS])
def test_the_readme_names_every_choice(name):
    section = README.partition("## Which mode?")[2].partition("\n## ")[0]
    assert re.search(rf"`{name}`", section)


def test_texts_name_files_that_are_there():
    paths = {str(path.relative_to(ROOT)) for path, _ in own_files()}
    wrong = []
    for path, text in own_files():
        for name in re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|md|sh|toml))`", text):
            stem = name.rpartition("/")[2].partition(".")[0]
            placeholder = stem.endswith("NAME") or len(stem) == 1
            if not placeholder and not any(p == name or p.endswith(f"/{name}") for p in paths):
                wrong.append((path.name, name))
    assert wrong == []
