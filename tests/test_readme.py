"""What the README and the Makefile say is what the program does."""

import re

import pytest

from config import fields, flags, tables
from config.resolve import resolve
from tests.conftest import ROOT
from tests.test_design import own_files

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
COMMANDS = re.findall(r"python main\.py((?: +[^\s`#|]+)+)", README)
COMMANDS += re.findall(r"python main\.py (.+)", MAKEFILE)


def test_commands_are_found():
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_one_that_the_program_takes(words):
    given = flags.parse_flags(["main.py", *words.replace("\\", "").strip('" ').split()])
    given.pop("help", None)
    resolve(given)


def test_every_flag_is_in_the_table():
    rows = re.findall(r"^\| `(\w+)` \|", README.partition("## Flags")[2], re.M)
    assert rows == list(fields.FIELDS)


@pytest.mark.parametrize("name", fields.FIELDS)
def test_the_tables_defaults(name):
    """Plain defaults are given as they are; those of the tables name their rows in words."""
    table = README.partition("## Flags")[2].splitlines()
    row = next(x for x in table if x.startswith(f"| `{name}` |"))
    default = row.split(" | ")[1].replace("\\", "")
    value = fields.FIELDS[name].default
    layers = [resolve({"mode": m, "dataset": d}) for m in ("gp", "regular") for d in DATA]
    if len({getattr(c, name) for c in layers}) == 1 and value is not None:
        assert default.split(";")[0] in (fields.text(value), {"train_size": "inf"}.get(name))


DATA = ("mnist", "faces", "folder")


def test_files_named_are_there():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"`(\w+\.md)`", README):
        assert (ROOT / path).is_file(), path


TABLE = README.partition("## Flags")[2].splitlines()


@pytest.mark.parametrize("name", fields.FIELDS)
def test_the_meanings_are_those_of_help(name):
    row = next(x for x in TABLE if x.startswith(f"| `{name}` |"))
    meta = fields.FIELDS[name].metadata
    choices = f" ({', '.join(meta['choices'])})" if meta["choices"] else ""
    assert row.strip(" |").split(" | ")[-1].replace("\\", "") == meta["help"] + choices


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


@pytest.mark.parametrize("table", ["MODES", "ARCHS"])
def test_the_default_column_names_the_rows(table):
    """Each row of a table is named beside the settings that it changes."""
    base, wrong = resolve({}), []
    for name, row in getattr(tables, table).items():
        for field, value in row.defaults.items():
            default = next(x for x in TABLE if x.startswith(f"| `{field}` |")).split(" | ")[1]
            plain = (fields.FIELDS[field].default, getattr(base, field), False)
            named = re.search(rf"\b{name}\b|\bothers\b|\bby\b", default)
            if value not in plain and not named:
                wrong.append((name, field, value, default))
    assert wrong == []


@pytest.mark.parametrize("name", [*tables.MODES, *tables.PENALTIES, *tables.ARCHS])
def test_the_first_page_names_every_choice(name):
    assert re.search(rf"`{name}`", README.partition("## On a fresh machine")[0])


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
