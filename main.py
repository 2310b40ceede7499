"""Train a GAN, or make pictures with a trained one: `python main.py --help`."""

import os
import sys

from commands import COMMANDS
from commands.generate import generate
from config import messages
from config.flags import parse_flags
from config.resolve import resolve
from console import Failed, WrongCall, plain


def main(argv):
    """Carry out a command line; return the exit status: 0 done, 1 failed, 2 a wrong call."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal has no letters for
            stream.reconfigure(errors="backslashreplace")
    try:
        given = parse_flags(argv)
        if given.pop("help", False):
            print(messages.help_text(resolve(given)))
        elif given.get("list_presets"):
            print(messages.preset_table())
        else:
            asked = [task for name, task in COMMANDS.items() if given.get(name)]
            return (asked or [generate])[0](given) or 0
        return 0
    except WrongCall as error:
        return complain(error, 2)
    except (Failed, OSError, MemoryError) as error:
        return complain(error, 1)
    except KeyboardInterrupt:
        return complain("interrupted", 130)
    except Exception as error:
        if type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's, not imported here
            raise
        return complain("out of memory: take a smaller --batch_size or narrower networks", 1)


def complain(error, status):
    """Print one line on stderr; return the exit status."""
    text = str(error).strip() or type(error).__name__
    print(f"main.py: {plain(text)[:2000]}", file=sys.stderr)
    return status


def finish(status):
    """Write out what has been printed; return the exit status, 1 where that fails."""
    try:
        sys.stdout.flush()
    except OSError as error:  # the disk it is sent to is full, or the reader has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python says so at its own end, too
        return status or complain(f"cannot write the output: {error.strerror}", 1)
    return status


if __name__ == "__main__":
    sys.exit(finish(main(sys.argv)))
