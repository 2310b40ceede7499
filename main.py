"""The command line: train a GAN, or make pictures with a trained GAN. See --help."""

import os
import sys

from commands import COMMANDS
from commands.generate import generate
from config import messages
from config.flags import parse_flags
from config.resolve import resolve
from console import Failed, WrongCall, plain


def main(argv):
    """Run a command line.

    Args:
      argv: list of texts: the program's name and its arguments.

    Returns:
      The exit status: 0 for success, 1 for a failure, 2 for an invalid call, 130 for an interrupt.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # for names that the terminal cannot encode
            stream.reconfigure(errors="backslashreplace")
    try:
        given = parse_flags(argv)
        if given.pop("help", False):
            print(messages.help_text(resolve(given)))
        elif given.get("list_presets"):
            print(messages.preset_table())
        else:
            commands = [command for name, command in COMMANDS.items() if given.get(name)]
            return (commands or [generate])[0](given) or 0
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


def complain(error, status):
    """Print an error, or its text, as one line on stderr; return `status`."""
    text = str(error).strip() or type(error).__name__
    print(f"main.py: {plain(text)[:2000]}", file=sys.stderr)
    return status


def finish(status):
    """Flush stdout; return `status`, or 1 if it is 0 and stdout cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as error:  # the disk is full, or the reading end of a pipe is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python reports it again
        return status or complain(f"cannot write the output: {error.strerror}", 1)
    return status


if __name__ == "__main__":
    sys.exit(finish(main(sys.argv)))
