"""The command line: train a GAN, or make pictures with a trained GAN. See --help."""

import contextlib
import os
import shlex
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # PYTHONSAFEPATH leaves it out

from commands import COMMANDS, TRAINING
from commands.build import start_settings
from commands.devices import abandoned
from commands.generate import generate
from config import messages
from config.flags import parse_flags, resuming_call
from config.resolve import resolve
from console import (
    Failed,
    WrongCall,
    allow_warnings,
    open_closed_streams,
    open_ended_output,
    plain,
)


def main(argv):
    """Run a command line.

    Args:
      argv: list of texts: the program's name and its arguments.

    Returns:
      The exit status: 0 for success, 1 for a failure, 2 for an invalid call, and 128 + the number
      of a signal that ended the call early.
    """
    open_closed_streams()
    # The user's settings for other programs. They are read when these libraries are imported.
    os.environ |= {"KERAS_BACKEND": "tensorflow", "MPLBACKEND": "agg"}
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # for names that the terminal cannot encode
            stream.reconfigure(errors="backslashreplace")
    try:
        given = parse_flags(argv)
        if given.pop("help", False):
            print(messages.help_text(resolve(given, start=start_settings(given))))
        elif given.get("list_presets"):
            print(messages.preset_table())
        else:
            return run_command(given, argv)
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


def run_command(given, argv):
    """Run the command of a call; return its exit status.

    If a signal stopped a training, prints the command that resumes it.

    Args:
      given: dict of the flags of the call.
      argv: the words of the call.
    """
    name = next((name for name in COMMANDS if given.get(name)), None)
    with open_ended_output() if name in TRAINING else contextlib.nullcontext():
        status = COMMANDS.get(name, generate)(given) or 0
        if status > 128:
            words = sys.orig_argv[: -len(argv)] if sys.orig_argv[-len(argv) :] == argv else []
            print(
                "go on with", shlex.join([*(words or ["python"]), *resuming_call(argv)]), sep="\n"
            )
    return status


def complain(error, status):
    """Print an error, or its text, as one line on stderr; return `status`."""
    text = str(error).strip() or type(error).__name__
    with contextlib.suppress(OSError):  # nobody reads stderr
        print(f"main.py: {plain(text)[:2000]}", file=sys.stderr)
    return status


def finish(status):
    """Flush stdout; return `status`, or 1 if it is 0 and stdout cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as error:  # the disk is full, or the reading end of a pipe is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python reports it again
        status = status or complain(f"cannot write the output: {error.strerror}", 1)
    if abandoned:
        os._exit(status)
    return status


if __name__ == "__main__":
    allow_warnings()
    sys.exit(finish(main(sys.argv)))
