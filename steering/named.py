"""Directions of a run in files: directions.npz, and their names in directions.txt.

Imports no TensorFlow.
"""

import dataclasses
import hashlib

import numpy as np

import console
import files
from config.values import did_you_mean
from steering import directions, latents

ARRAYS, NAMES = "directions.npz", "directions.txt"
ENCODING = "utf-8-sig"  # some editors put a byte order mark before the text
HEAD = """\
# Names of the directions in directions.npz. Write a name behind a number: --move NAME=1.5 then does
# what --move NUMBER=1.5 does, and directions.png shows the name. Once edited, this file stays.
"""


@dataclasses.dataclass(frozen=True)
class Directions:
    """Directions that latents can be moved in.

    Attributes:
      vectors: float32 [K, Z], direction 1 in the first row.
      names: dict of number, from 1 to K → name. Not all directions have a name.
      lines: list of lines to print: paths that were written, and notes.
    """

    vectors: np.ndarray
    names: dict
    lines: list

    def shift(self, moves):
        """Return what `moves`, such as "2=1.5,smile=-1", adds to latents, float32 [Z].

        Raises:
          Failed: if there is no direction of a number or name.
        """
        total = np.zeros(self.vectors.shape[1], np.float32)
        numbers = {name: number for number, name in self.names.items()}
        for part in moves.split(","):
            name, _, strength = part.partition("=")
            number = int(name[:9]) if name.isdecimal() else numbers.get(name, 0)
            if not 1 <= number <= len(self.vectors):
                named = "".join(f", {console.plain(name)}" for name in numbers)
                hint = did_you_mean(name, numbers)
                raise console.Failed(
                    f"--move={moves}: there is no direction {name}{hint}; there are 1 to "
                    f"{len(self.vectors)}{named}"
                )
            total += np.float32(strength) * self.vectors[number - 1]
        return total


def write(folder, network, count):
    """Find the directions of a generator, and write directions.npz and directions.txt.

    An edited directions.txt is not written.

    Args:
      folder: path of the folder of the run's pictures.
      network: Keras model, as in `directions.first_weights`.
      count: number of directions to list in directions.txt.

    Returns:
      `Directions`, all Z of them.

    Raises:
      Failed: if the network has no directions, or directions.txt cannot be used.
    """
    weights = directions.first_weights(network)
    vectors, eigenvalues = directions.find_directions(weights)
    code, lines = _code(weights), [str(folder / ARRAYS)]
    path = folder / NAMES
    names = _read_names(path, len(vectors), code, notes := [])
    with files.atomic_path(folder / ARRAYS) as part, open(part, "wb") as file:
        np.savez(file, directions=vectors, eigenvalues=eigenvalues, generator=code)
    if not _is_edited(path):
        files.save_text(path, _text(code, min(count, len(vectors))))
        lines.append(str(path))
        notes = []
    return Directions(vectors, names, lines + notes)


def read(folder, network):
    """Read the directions that `write` saved, or else find those of a generator.

    Args:
      folder: path of the folder of the run's pictures.
      network: Keras model, as in `directions.first_weights`.

    Raises:
      Failed: if a file cannot be used; without directions.npz, also if the network has none.
    """
    path, notes = folder / ARRAYS, []
    if path.exists():
        vectors, code = _read_arrays(path, network.inputs[0].shape[-1])
        if code != _code(directions.first_weights(network)):
            notes.append(
                f"note: {path} is of another state of the generator; --directions writes it anew"
            )
    else:
        weights = directions.first_weights(network)
        vectors, code = directions.find_directions(weights)[0], _code(weights)
    names = _read_names(folder / NAMES, len(vectors), code, notes)
    return Directions(vectors, names, notes)


def _code(weights):
    """Return a code of 12 letters and digits for the state of a generator's first layer."""
    return hashlib.sha256(weights.astype("<f4").tobytes()).hexdigest()[:12]


def _text(code, count):
    """Return the contents of a directions.txt without names."""
    numbers = "".join(f"{number}\n" for number in range(1, count + 1))
    return f"{HEAD}generator {code}\n{numbers}"


def _is_edited(path):
    """Return whether a directions.txt has anything but the contents of `_text`."""
    if not path.exists():
        return False
    text = path.read_text(ENCODING)
    lines = text.removeprefix(HEAD).splitlines()
    code = lines[0].removeprefix("generator ") if lines else ""
    return text != _text(code, len(lines) - 1)


def _read_names(path, count, code, notes):
    """Read a directions.txt; return a dict of number → name, {} if there is no such file.

    Args:
      path: path of the file.
      count: number of directions.
      code: that of the generator of the directions.
      notes: list to add a line to, if the names were given to the directions of another generator.

    Raises:
      Failed: if the file cannot be read, or a line is not a number and a name.
    """
    try:
        lines = path.read_text(ENCODING).splitlines() if path.exists() else []
    except (OSError, ValueError) as error:
        raise console.Failed(f"cannot read {path}: {latents.reason(error)}") from None
    names, named = {}, code
    for i, line in enumerate(map(str.strip, lines), 1):
        word, name = (*line.split(maxsplit=1), "", "")[:2]
        number = int(word) if word.isdecimal() and len(word) < 9 else 0
        if word == "generator":
            named = name
        elif line and not line.startswith("#"):
            wrong = name.isdecimal() or {"=", ","} & set(name) or name in names.values()
            if not 1 <= number <= count or number in names or (name and wrong):
                raise console.Failed(
                    f"cannot use {path}: line {i} must be a number from 1 to {count} and a name of "
                    "its own, which has no = or , and is not a number"
                )
            names |= {number: name} if name else {}
    if names and named != code:
        notes.append(
            f"note: {path} names directions of another state of the generator, {named}, not of "
            f"{code}: look at directions.png, and correct the names and the code in that file"
        )
    return names


def _read_arrays(path, z_dim):
    """Read a directions.npz; return (directions [K, z_dim], code of the generator or "").

    Raises:
      Failed: if the file cannot be read, or has other directions.
    """
    try:
        files.check_zip(path)
        with np.load(path, allow_pickle=False) as stored:
            found = np.asarray(stored["directions"], np.float32)
            code = str(stored["generator"]) if "generator" in stored else ""
    except Exception as error:  # NumPy's errors for broken files have no common base
        raise console.Failed(f"cannot read {path}: {latents.reason(error)}") from None
    if found.ndim != 2 or found.shape[1] != z_dim or not len(found) or not np.isfinite(found).all():
        raise console.Failed(
            f"{path} must have finite directions [K, {z_dim}] of this generator, and has "
            f"{list(found.shape)}: delete it, or write it anew with --directions"
        )
    return found, code
