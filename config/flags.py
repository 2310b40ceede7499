"""Parsing the command line. Imports no TensorFlow."""

import contextlib
import io
import re
from itertools import pairwise

from absl import flags

from config.fields import FIELDS, allowed, check_value, is_switch
from config.values import nearest, suggestion
from console import WrongCall

FLAG_ALIASES = {"zip": "dataset"}
OTHER_NAMES = {  # of other programs, for suggestions
    "bs": "batch_size",
    "data": "dataset",
    "data_path": "dataset",
    "gan_type": "mode",
    "gpu": "device",
    "gpus": "device",
    "image_size": "output_height",
    "iterations": "max_steps",
    "lambda_gp": "LAMBDA",
    "latent_dim": "z_dim",
    "loss": "mode",
    "lr": "learning_rate",
    "model": "arch",
    "n_critic": "critic_num",
    "network": "arch",
    "resolution": "output_height",
    "size": "output_height",
    "steps": "max_steps",
    "workers": "num_workers",
}
HELP = {"--help", "--h", "--helpfull", "--helpshort"}


class _Parser(flags.ArgumentParser):
    """Parses the text of one flag. Raises a ValueError that says what is allowed."""

    def __init__(self, field):
        self.field = field

    def parse(self, argument):
        if not isinstance(argument, str):
            return argument
        if argument == "None" and self.field.default is None:
            return None
        try:
            value = self._convert(argument)
            check_value(self.field.name, value)
        except ValueError as error:
            raise ValueError(f"{suggestion(self.field, argument)}{error}") from None
        return value

    def _convert(self, text):
        kind, aliases = (self.field.metadata[key] for key in ("kind", "aliases"))
        if kind is str:
            return aliases.get(text, text)
        try:
            return kind(text)
        except (ValueError, KeyError, OverflowError):
            raise ValueError(f"must be {allowed(self.field)}") from None


def _renamed(argv):
    """Return the arguments with aliases of flags replaced by the flags' names."""
    names = [re.match(r"--?(\w+)(?=$|=)", arg) for arg in argv]
    for name, other in FLAG_ALIASES.items():
        if {name, other} <= {match[1] for match in names if match}:
            raise WrongCall(f"--{name} is another name of --{other}: give only one of them")
    return [
        f"--{FLAG_ALIASES[match[1]]}{arg[match.end() :]}"
        if match and match[1] in FLAG_ALIASES
        else arg
        for arg, match in zip(argv, names)
    ]


def _normalise(argv):
    """Return the arguments in one form: `--name=value`, and true or false for a boolean."""
    args, out = _renamed(argv), []
    switches = {n for n, f in FIELDS.items() if is_switch(f)}
    truth = dict.fromkeys(("true", "t", "yes", "y"), "true")
    truth |= dict.fromkeys(("false", "f", "no", "n"), "false")
    while args:
        arg = args.pop(0)
        if not arg.startswith("-") or arg.strip("-")[:1].isdigit() or set(arg) <= {"-"}:
            out.append(arg)
            continue
        name, has_value, value = arg.removeprefix("-").removeprefix("-").partition("=")
        name = name.replace("-", "_")
        plain = name[2:].lstrip("_") if name.startswith("no") else ""
        if plain in switches and name not in FIELDS and not has_value:
            name, has_value, value = plain, "=", "false"
        if name in switches:
            if not has_value:
                follows = args[0].lower() if args else ""
                known = follows in (*truth, "none") or (follows.isdigit() and len(follows) == 1)
                value = args.pop(0) if known else "true"
            out.append(f"--{name}={truth.get(value.lower(), value)}")
        elif name in FIELDS and not has_value:  # its value is the next argument, even "-0.01"
            if not args or (args[0][:1] == "-" and not args[0].lstrip("-.")[:1].isdigit()):
                raise WrongCall(f"flag --{name} needs a value: {allowed(FIELDS[name])}")
            out.append(f"--{name}={args.pop(0)}")
        elif name == "undefok":  # absl's flag that allows unknown flags
            raise WrongCall("there is no flag --undefok: --help lists the flags")
        else:
            out.append(f"--{name}{has_value}{value}")
    return out


def resuming_call(words):
    """Return the words of a valid call without those that start the run anew: --resume False.

    Args:
      words: list of texts: the arguments of the program.
    """
    kept, words = [], list(words)
    if parse_flags(["main.py", *words]).get("resume") is not False:
        return words
    while words:
        word = words.pop(0)
        if not re.fullmatch(r"--?(no[-_]?)?resume(=.*)?", word, re.DOTALL):
            kept.append(word)
        elif "=" not in word and "no" not in word and words and not words[0].startswith("-"):
            words.pop(0)
    anew = parse_flags(["main.py", *kept]).get("resume") is False  # set by a --flagfile
    return [*kept, "--resume=True"] if anew else kept


def parse_flags(argv):
    """Parse a command line.

    Args:
      argv: list of texts: the program's name and its arguments.

    Returns:
      A dict of Config field → value with only the flags that are given. It has the key `help` if
      the call asks for help: "common" for the common flags, "all" for all.

    Raises:
      WrongCall: for an argument that is not valid; names it and says what is allowed.
    """
    values = flags.FlagValues()
    for field in FIELDS.values():
        flags.DEFINE(_Parser(field), field.name, None, field.metadata["help"], flag_values=values)
    try:
        if "--flagfile=" in (*argv, *(f"{a}={b}" for a, b in pairwise(argv))):
            raise WrongCall("flag --flagfile needs a value: a path")
        with contextlib.redirect_stderr(io.StringIO()) as warnings:
            args = _normalise(values.read_flags_from_files(argv[1:]))
        if warnings.getvalue():  # absl warns and continues
            path = warnings.getvalue().strip().split(": ")[-1]
            raise WrongCall(f"--flagfile names itself: {path}")
        rest = values([argv[0], *(arg for arg in args if arg not in HELP)])[1:]
    except flags.CantOpenFlagFileError as error:
        raise WrongCall(f"--flagfile: {str(error).removeprefix('ERROR:: ')}") from None
    except flags.UnrecognizedFlagError as error:
        names = {name: name for name in FIELDS} | FLAG_ALIASES | OTHER_NAMES
        found = names.get(nearest(error.flagname, names))
        hint = f"did you mean --{found}?" if found else "--help lists the flags"
        raise WrongCall(f"there is no flag --{error.flagname}: {hint}") from None
    except flags.Error as error:
        raise WrongCall(" ".join(str(error).splitlines())) from None
    except UnicodeError as error:
        raise WrongCall(f"--flagfile must be a text file: {error}") from None
    help_asked = "common" if HELP & set(args) else None
    if help_asked and rest == ["all"]:
        help_asked, rest = "all", []
    if rest:
        raise WrongCall(f"unexpected argument: {rest[0]!r} (write a setting as --name value)")
    given = {n: values[n].value for n in FIELDS if values[n].present}
    return {**given, "help": help_asked} if help_asked else given
