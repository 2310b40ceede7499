"""What the README and the Makefile say is what the program does."""

import re

import pytest

from config import fields, flags
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


@pytest.mark.parametrize("name", [n for n, f in fields.FIELDS.items() if f.metadata["choices"]])
def test_the_table_lists_the_choices(name):
    row = next(x for x in README.splitlines() if x.startswith(f"| `{name}` |"))
    missing = [
        c for c in fields.FIELDS[name].metadata["choices"] if not re.search(rf"\b{c}\b", row)
    ]
    assert missing == []


def test_texts_name_files_that_are_there():
    paths = {str(path.relative_to(ROOT)) for path, _ in own_files()}
    wrong = []
    for path, text in own_files():
        for name in re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|md|sh|toml))`", text):
            stem = name.rpartition("/")[2].partition(".")[0]
            placeholder = stem.isupper() or len(stem) == 1
            if not placeholder and not any(p == name or p.endswith(f"/{name}") for p in paths):
                wrong.append((path.name, name))
    assert wrong == []
