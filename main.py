"""The command line: train a GAN, or make pictures with a trained GAN. See --help."""

import contextlib
import importlib.util
import os
import shlex
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # PYTHONSAFEPATH leaves it out

if missing := [name for name in ("numpy", "PIL") if importlib.util.find_spec(name) is None]:
    sys.exit(f"main.py: {sys.executable} lacks the package {missing[0]}: source .venv/bin/activate")

import console
from commands import COMMANDS, LASTING, devices, suggest
from commands.build import start_settings
from commands.generate import generate
from config.flags import parse_flags, resuming_call
from config.resolve import resolve
from console import Failed, WrongCall, allow_warnings, open_closed_streams, open_ended_output
from messages.help import help_text, preset_table


def main(words=None):
    """Run a command line, also in a notebook or in a thread of another program.

    A signal stops a training only in the main thread. Two calls at the same time are not supported.

    Args:
      words: list of the words after `main.py`, for example ["--dataset", "digits"]; None for the
        words of this process. Words that are no texts become texts.

    Returns:
      The exit status: 0 for success, 1 for a failure, 2 for an invalid call, and 128 + the number
      of a signal that ended the call early.
    """
    words = sys.argv[1:] if words is None else [str(word) for word in words]
    open_closed_streams()
    console.note_once.cache_clear()  # each call prints its notes
    os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # for names that the terminal cannot encode
            stream.reconfigure(errors="backslashreplace")
    try:
        given = parse_flags(["main.py", *words])
        if wanted := given.pop("help", None):
            c = resolve(given, start=start_settings(given))
            print(help_text(c, everything=wanted == "all"))
        elif given.get("list_presets"):
            print(preset_table())
        else:
            return run_command(given, words)
        return 0
    except WrongCall as error:
        return complain(error, 2)
    except (Failed, OSError, MemoryError) as error:
        return complain(error, 1)
    except KeyboardInterrupt as error:
        return complain(str(error) or "interrupted", 130)
    except Exception as error:
        # TensorFlow's class, compared by name because this module does not import TensorFlow.
        if type(error).__name__ != "ResourceExhaustedError":
            raise
        return complain("out of memory: use a smaller --batch_size or narrower networks", 1)


def run_command(given, words):
    """Run the command of a call; return its exit status.

    If a signal stopped it, prints the command to go on with.

    Args:
      given: dict of the flags of the call.
      words: the words of the call.
    """
    name = next((name for name in COMMANDS if given.get(name)), None)
    with open_ended_output() if name in LASTING else contextlib.nullcontext():
        try:
            status = COMMANDS.get(name, generate)(given) or 0
        except Failed as error:
            raise Failed(f"{error}{suggest(given)}") from error
        if status > 128:
            first = len(sys.orig_argv) - len(words)
            called = sys.orig_argv[first:] == words  # else a program has called `main`
            start = sys.orig_argv[:first] if called else ["python", os.path.abspath(__file__)]
            print("go on with", shlex.join([*start, *resuming_call(words)]), sep="\n")
    return status


def complain(error, status):
    """Print an error, or its text, as one line on stderr; return `status`."""
    text = str(error).strip() or type(error).__name__
    with contextlib.suppress(OSError):  # nobody reads stderr
        print(f"main.py: {console.plain(text)[:2000]}", file=sys.stderr)
    return status


def finish(status):
    """Flush stdout; return `status`, or 1 if it is 0 and stdout cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as error:  # the disk is full, or the reading end of a pipe is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python reports it again
        status = status or complain(f"cannot write the output: {error.strerror}", 1)
    if devices.abandoned:
        os._exit(status)
    return status


if __name__ == "__main__":
    allow_warnings()
    os.environ["MPLBACKEND"] = "agg"  # the user's is for other programs; read by Matplotlib
    devices.owns_process = True
    sys.exit(finish(main()))
