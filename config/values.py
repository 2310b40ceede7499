"""How the text of a flag is read, where it is no plain number or name. Imports no TensorFlow."""

from config import tables

MOST_SEEDS = 100_000
MOST = 3.4e38  # what the networks count in, float32, holds no more
FINITE = {"low": -MOST, "high": MOST}


def truth(text):
    """True or False."""
    return {"true": True, "1": True, "false": False, "0": False}[text]


def widths(text):
    """`256,128` as (256, 128)."""
    return tuple(int(w) for w in text.split(","))


def count(text):
    """A whole number, or `inf` for no limit (kept as 0)."""
    return 0 if text.lower() in ("inf", "np.inf") else int(text)


def names(text):
    """`wgan-gp,div` as (gp, div), modes by their own names."""
    return tuple(tables.MODE_ALIASES.get(name, name) for name in text.split(","))


def seeds(text):
    """`0-3,8` as (0, 1, 2, 3, 8)."""
    found = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        run = range(int(first), int(last if dash else first) + 1)
        if not 0 < len(run) <= MOST_SEEDS - len(found):
            raise ValueError
        found += run
    return tuple(found)


def batches(text):
    """`128:16,256:14` in order of the sizes, each one of a stage of PGGAN."""
    pairs = {int(size): int(batch) for size, batch in (p.split(":") for p in text.split(","))}
    if not all(is_stage(size) and 2 <= batch < 2**31 for size, batch in pairs.items()):
        raise ValueError
    return ",".join(f"{size}:{pairs[size]}" for size in sorted(pairs))


def is_stage(size):
    """Is an image size that of a stage: a power of two from 4 to 1024?"""
    return 4 <= size <= 1024 and size & (size - 1) == 0


def option(text):
    """`--visualize`: an option 0..4, True for 1, False for none."""
    return {"true": 1, "false": None, "0": 0, "1": 1, "2": 2, "3": 3, "4": 4}[text]


def allowed(field):
    """What a field takes, in words."""
    meta = field.metadata
    names = {int: "a whole number", count: "a whole number or inf", float: "a finite number"}
    names |= {
        widths: "a whole number, or several parted by commas",
        seeds: f"seeds as 0-31 or 3,7, {MOST_SEEDS} of them at most",
        truth: "True or False",
    }
    names |= {option: "True, False or 0 to 4"}
    names |= {batches: "pairs size:batch as 128:16,256:14, of powers of two from 4 to 1024"}
    if meta["choices"]:
        return "one of " + ", ".join(meta["choices"])
    text = names.get(meta["kind"], "a printable text, not empty")
    text += f", at least {meta['low']}" if meta["low"] is not None else ""
    return text + (f", at most {meta['high']}" if meta["high"] is not None else "")


def fits(field, value):
    """Has a value, or one of a tuple's, the field's type, and is it among those allowed?"""
    meta = field.metadata
    several = str if meta["choices"] else int
    wanted = {float: (int, float), tuple: several}.get(field.type, field.type)
    if not isinstance(value, wanted) or isinstance(value, bool) != (field.type is bool):
        return False
    if isinstance(value, str):
        known = not meta["choices"] or value in meta["choices"]
        return known and value.strip() != "" and value.isprintable() and _is_read(field, value)
    low, high = (default if meta[k] is None else meta[k] for k, default in FINITE.items())
    return low <= value <= high  # False for nan


def _is_read(field, text):
    """Is a text, where it is a whole field's, one that its kind gives?"""
    try:
        return field.type is not str or field.metadata["kind"](text) == text
    except ValueError:
        return False
