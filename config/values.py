"""Parsing and checking the values of flags. Imports no TensorFlow.

The functions that parse a text raise ValueError or KeyError if it is not valid.
"""

import difflib
import re

import console
from config import tables

MAX_SEEDS = 100_000
MAX_MIX = 32  # seeds of the rows, and of the columns, of a grid
MAX_MOVE = 1000  # along a direction
MAX_FLOAT = 3.4e38  # just below the largest float32
FINITE = {"low": -MAX_FLOAT, "high": MAX_FLOAT}


def truth(text):
    """Parse "true", "false", "1" or "0" as a bool."""
    return {"true": True, "1": True, "false": False, "0": False}[text]


def widths(text):
    """Parse "256,128" as (256, 128)."""
    return tuple(int(w) for w in text.split(","))


def count(text):
    """Parse a whole number, or "inf" (no limit) as 0."""
    return 0 if text.lower() in ("inf", "np.inf") else int(text)


def names(text):
    """Parse "wgan-gp,div" as ("gp", "div"). Aliases of modes become the modes' names."""
    return tuple(tables.MODE_ALIASES.get(name, name) for name in text.split(","))


def seeds(text):
    """Parse "0-3,8" as (0, 1, 2, 3, 8)."""
    found = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        numbers = range(int(first), int(last if dash else first) + 1)
        if not 0 < len(numbers) <= MAX_SEEDS - len(found):
            raise ValueError
        found += numbers
    return tuple(found)


def mix(text):
    """Check "0-3:8,9", the seeds of the rows and of the columns of a grid; return the text."""
    rows, columns = text.split(":")
    for found in (seeds(rows), seeds(columns)):
        if len(found) > MAX_MIX or max(found) >= 2**31:
            raise ValueError
    return text


def moves(text):
    """Check "2=1.5,smile=-1", directions and how far to move along each; return the text."""
    for part in text.split(","):
        name, _, strength = part.partition("=")
        if not name or name != name.strip() or not abs(float(strength)) <= MAX_MOVE:
            raise ValueError
    return text


def batches(text):
    """Parse size:batch pairs, "256:14,128:16". Return them as text, sorted by size."""
    pairs = {int(size): int(batch) for size, batch in (p.split(":") for p in text.split(","))}
    if not all(is_stage(size) and 2 <= batch < 2**31 for size, batch in pairs.items()):
        raise ValueError
    return ",".join(f"{size}:{pairs[size]}" for size in sorted(pairs))


def is_stage(size):
    """Return whether `size` is the image size of a PGGAN stage: a power of two from 4 to 1024."""
    return 4 <= size <= 1024 and size & (size - 1) == 0


def colour(text):
    """Parse a colour, a name or #rrggbb, and return #rrggbb, or "white" for #ffffff."""
    from PIL import ImageColor

    red, green, blue = ImageColor.getrgb(text)
    code = f"#{red:02x}{green:02x}{blue:02x}"
    return "white" if code == "#ffffff" else code


def option(text):
    """Parse the value of --visualize: 0 to 5, or "true" as 5, or "false" as None."""
    return {"true": 5, "false": None, "0": 0, "1": 1, "2": 2, "3": 3, "4": 4, "5": 5}[text]


def nearest(word, names):
    """Return the name that a misspelt word is nearest to, or None.

    It is the first of these that there is: the same letters and digits in another case or with
    other signs between them; the only name that begins with the word; a name that `difflib` finds
    similar.

    Args:
      word: a text.
      names: texts.
    """
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in names}
    short = re.sub(r"[^a-z0-9]", "", word.lower())
    longer = [key for key in plain if short and key.startswith(short)]
    if short in plain:
        return plain[short]
    found = longer if len(longer) == 1 else difflib.get_close_matches(short, plain, 1)
    return plain[found[0]] if found else None


def did_you_mean(word, names, before=""):
    """Return " (did you mean NAME?)" with the `nearest` name after the text `before`, or ""."""
    found = nearest(word, names)
    return f" (did you mean {before}{console.plain(found)}?)" if found else ""


def suggestion(field, text):
    """Return "did you mean X? It " for a text that a field with choices does not allow, or "".

    The items of a tuple are corrected one by one.
    """
    metadata = field.metadata
    if not metadata["choices"]:
        return ""
    known = {name: name for name in metadata["choices"]} | metadata["aliases"]
    items = text.split(",") if field.type is tuple else [text]
    found = [nearest(item, known) for item in items]
    return "" if None in found else f"did you mean {','.join(known[n] for n in found)}? It "


def allowed(field):
    """Describe the values that a field allows, in words that follow "must be"."""
    metadata = field.metadata
    kind, low, high = (metadata[key] for key in ("kind", "low", "high"))
    if metadata["choices"]:
        return "one of " + ", ".join(metadata["choices"])
    names = {
        int: "a whole number",
        count: "a whole number or inf",
        float: "a finite number",
        widths: "a whole number, or several separated by commas",
        seeds: f"up to {MAX_SEEDS} seeds, for example 0-31 or 3,7",
        mix: f"ROWS:COLUMNS, each up to {MAX_MIX} seeds, for example 0-7:8-15",
        moves: "NUMBER=STRENGTH or NAME=STRENGTH, several separated by commas, from "
        f"-{MAX_MOVE} to {MAX_MOVE}",
        truth: "True or False",
        option: "True, False or 0 to 5",
        colour: "the name of a colour, or #rrggbb",
        batches: "size:batch pairs, for example 128:16,256:14; a size is a power of two from 4 to "
        "1024, and a batch has at least 2 images",
    }
    each = "each " if kind in (widths, seeds) else ""
    limits = f", {each}at least {low}" if low is not None else ""
    limits += f", at most {high}" if high is not None else ""
    return names.get(kind, "a printable text that is not empty") + limits


def fits(field, value):
    """Check a value, or one item of a tuple, against a field's type, choices and limits."""
    metadata = field.metadata
    item = str if metadata["choices"] else int
    wanted = {float: (int, float), tuple: item}.get(field.type, field.type)
    if not isinstance(value, wanted) or isinstance(value, bool) != (field.type is bool):
        return False
    if isinstance(value, str):
        known = not metadata["choices"] or value in metadata["choices"]
        return known and value.strip() != "" and value.isprintable() and _is_parsed(field, value)
    low, high = (limit if metadata[k] is None else metadata[k] for k, limit in FINITE.items())
    return low <= value <= high  # False for nan


def _is_parsed(field, text):
    """Return whether parsing a text leaves it unchanged. True for items of a tuple."""
    try:
        return field.type is not str or field.metadata["kind"](text) == text
    except ValueError:
        return False
