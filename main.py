"""Train a GAN, or make pictures with a trained one: `python main.py --help`."""

import sys

import cli
import config
import tasks
import train
import utils


def main(argv):
    """Carry out a command line; return the exit status: 0 done, 1 failed, 2 a wrong call."""
    try:
        given = cli.parse_flags(argv)
        if given.pop("help", False):
            print(cli.help_text(config.resolve(given)))
        elif given.get("list_presets"):
            print(cli.preset_table())
        else:
            asked = [task for name, task in tasks.TASKS.items() if given.get(name)]
            return (asked or [tasks.test])[0](given) or 0
        return 0
    except config.WrongCall as error:
        return complain(error, 2)
    except (utils.Failed, train.Diverged, OSError, MemoryError) as error:
        return complain(utils.first_line(error, 2000), 1)
    except KeyboardInterrupt:
        return complain("interrupted", 130)
    except Exception as error:
        if type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's, not imported here
            raise
        return complain("out of memory: take a smaller --batch_size or narrower networks", 1)


def complain(text, status):
    """Print one line on stderr; return the exit status."""
    print(f"main.py: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv))
