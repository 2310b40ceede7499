"""The command line: words → the flags given; and the pages that `--help` and others print.

Imports no TensorFlow.
"""

import contextlib
import io
import re
from itertools import pairwise

from absl import flags

from config.fields import FIELDS, allowed, check_value, is_switch
from console import WrongCall

SAME = {"zip": "dataset"}  # other names of flags
HELP = {"--help", "--h", "--helpfull", "--helpshort"}


class _Parser(flags.ArgumentParser):
    """Text of one flag → value, or a ValueError that says what is allowed."""

    def __init__(self, field):
        self.meta = field.metadata
        self.field = field

    def parse(self, argument):
        if not isinstance(argument, str):
            return argument
        if argument == "None" and self.field.default is None:
            return None
        value = self._convert(argument)
        check_value(self.field.name, value)
        return value

    def _convert(self, text):
        kind, aliases = self.meta["kind"], self.meta["aliases"]
        if kind is str:
            return aliases.get(text, text)
        try:
            return kind(text)
        except (ValueError, KeyError, OverflowError):
            raise ValueError(f"must be {allowed(self.field)}") from None


def _renamed(argv):
    """The words, with our own names of flags in the place of other ones."""
    names = [re.match(r"--?(\w+)(?=$|=)", word) for word in argv]
    for name, other in SAME.items():
        if {name, other} <= {match[1] for match in names if match}:
            raise WrongCall(f"--{name} is another name of --{other}: give one of them")
    return [
        f"--{SAME[match[1]]}{word[match.end() :]}" if match and match[1] in SAME else word
        for word, match in zip(argv, names)
    ]


def _normalise(argv):
    """Each flag in one word, `--n_critic=5`, and every boolean as `--name=true|false`."""
    words, out = _renamed(argv), []
    switches = {n for n, f in FIELDS.items() if is_switch(f)}
    truth = dict.fromkeys(("true", "t", "yes", "y"), "true")
    truth |= dict.fromkeys(("false", "f", "no", "n"), "false")
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word.strip("-")[:1].isdigit() or set(word) <= {"-"}:
            out.append(word)
            continue
        name, has_value, value = word.removeprefix("-").removeprefix("-").partition("=")
        name = name.replace("-", "_")
        plain = name[2:].lstrip("_") if name.startswith("no") else ""
        if plain in switches and name not in FIELDS and not has_value:
            name, has_value, value = plain, "=", "false"
        if name in switches:
            if not has_value:
                follows = words[0].lower() if words else ""
                known = follows in (*truth, "none") or (follows.isdigit() and len(follows) == 1)
                value = words.pop(0) if known else "true"
            out.append(f"--{name}={truth.get(value.lower(), value)}")
        elif name in FIELDS and not has_value:  # its value is the next word, even "-0.01"
            if not words or (words[0][:1] == "-" and not words[0].lstrip("-.")[:1].isdigit()):
                raise WrongCall(f"flag --{name} needs a value: {allowed(FIELDS[name])}")
            out.append(f"--{name}={words.pop(0)}")
        elif name == "undefok":  # absl's way to let any mistake pass
            raise WrongCall("Unknown command line flag 'undefok'")
        else:
            out.append(f"--{name}{has_value}{value}")
    return out


def parse_flags(argv):
    """The flags given on a command line.

    Args:
      argv: the program's name and its words.

    Returns:
      A dict of field → value with just the flags given; with the key `help` if asked for.

    Raises:
      WrongCall: naming the word and what is allowed.
    """
    values = flags.FlagValues()
    for field in FIELDS.values():
        flags.DEFINE(_Parser(field), field.name, None, field.metadata["help"], flag_values=values)
    try:
        if "--flagfile=" in (*argv, *(f"{a}={b}" for a, b in pairwise(argv))):
            raise WrongCall("flag --flagfile needs a value: a path")
        with contextlib.redirect_stderr(io.StringIO()) as said:
            words = _normalise(values.read_flags_from_files(argv[1:]))
        if said.getvalue():  # absl's warning, which it goes on after
            raise WrongCall(f"--flagfile names itself: {said.getvalue().strip().split(': ')[-1]}")
        left = values([argv[0], *(w for w in words if w not in HELP)])[1:]
    except flags.CantOpenFlagFileError as error:
        raise WrongCall(f"--flagfile: {str(error).removeprefix('ERROR:: ')}") from None
    except flags.Error as error:
        raise WrongCall(" ".join(str(error).splitlines())) from None
    except UnicodeError as error:
        raise WrongCall(f"--flagfile must be a text file: {error}") from None
    if left:
        raise WrongCall(f"unexpected word: {left[0]!r} (every setting is a flag: --name value)")
    given = {n: values[n].value for n in FIELDS if values[n].present}
    return {**given, "help": True} if HELP & set(words) else given
