"""The page of a generator of images from latents. Imports no TensorFlow."""

import dataclasses
import io
import json
import math
import numbers
import re
import shlex

import numpy as np

import console
from config import values
from generation import arguments
from serving import uploads
from serving.handler import MAX_BODY
from steering import pictures
from steering.latents import Purpose

DIRECTIONS = 8  # sliders
OTHERS = 12  # small pictures of other seeds
MIN_TRUNCATION, DIGITS = 0.05, 4  # of the slider; significant digits of what it gives


@dataclasses.dataclass(frozen=True)
class State:
    """What the page asks for.

    Attributes:
      seed: seed of the picture.
      label: number of the class, or None.
      truncation: as in `Generator.sample`, or None.
      moves: text as for --move, or None.
      latents: float32 [1, Z] to use instead of the seed, or None.
      file: name of the .npy file of the latents.
    """

    seed: int
    label: int | None
    truncation: float | None
    moves: str | None
    latents: np.ndarray | None
    file: str


class SamplePage:
    """Makes the pictures of seeds and of projected photos; a page for `server.Server`.

    The pictures are those of test mode with `command(state)`.

    Args:
      generator: a `generation.Generator`.
      title, about: name of the run, and a line on it.
      words: list of the words of a command line that finds the run.
      seed: that of the command line.
      found: `steering.named.Directions` that --move uses, or None if the generator has none.
      background: colour behind transparent pixels.
      value_range: as in `utils.to_mode`.
      watch: a `watch.Watch` of the generator's file.
      crop: (height, width) of a centre box that photos are cropped to first, or None.
    """

    def __init__(
        self,
        generator,
        *,
        title,
        about,
        words,
        seed,
        found,
        background,
        value_range,
        watch,
        crop=None,
    ):
        self.generator, self.words, self.seed, self.found = generator, words, seed, found
        self.watch = watch
        self.colours = {"background": background, "value_range": value_range}
        self.crop = crop
        sampler = generator.sampler()
        self.z_dim, high = sampler.z_dim, sampler.range[1]
        count = min(DIRECTIONS, len(found.vectors)) if found else 0
        self.facts = {
            "title": title,
            "about": about,
            "limit": MAX_BODY,
            "classes": [
                console.plain(name)
                for name in generator.class_names or map(str, range(generator.classes))
            ],
            "directions": [found.names.get(n, "") for n in range(1, count + 1)] if found else [],
            "reach": pictures.REACH * high,
            "truncation": {
                "low": MIN_TRUNCATION,
                "high": high,
                "bounded": sampler.bound is not None,
            },
            "others": OTHERS,
            "seeds": arguments.MAX_SEED,
        }
        self.calls = {"picture": self.picture, "others": self.others, "project": self.project}

    def picture(self, fields, body, tell):
        """Make one picture; see `server`. `body` is the JSON of a `State`.

        Returns:
          A data URI, the command that makes the picture again, the name of its file there, and
          lines on what it would change.
        """
        del fields, tell
        state = self.read(body)
        z = state.latents
        image = self._images(state, [state.seed] if z is None else None)[0]
        file = f"seed_{state.seed:04d}.png" if z is None else "latent_0000.png"
        return {
            "image": uploads.data_uri(image),
            "command": self.command(state),
            "file": file,
            "notes": self.watch.lines(),
        }

    def others(self, fields, body, tell):
        """Make the pictures of `OTHERS` seeds, the one of the state among them; see `server`."""
        del fields, tell
        state = self.read(body)
        first = state.seed // OTHERS * OTHERS
        seeds = range(first, min(first + OTHERS, arguments.MAX_SEED + 1))
        images = self._images(dataclasses.replace(state, latents=None), seeds)
        return {"seeds": [*seeds], "images": [uploads.data_uri(image) for image in images]}

    def project(self, fields, body, tell):
        """Find the latents and the class whose picture is nearest to a photo; see `server`.

        Args:
          fields: "name": name of the file.
          body: bytes of the file.
          tell: see `server`.

        Returns:
          A data URI of the photo as the generator would make it, the latents, also as the base64 of
          a .npy file and its name, the class, the peak signal-to-noise ratio in dB, and lines on
          what was changed in the photo.
        """
        name = uploads.file_name(fields)
        photo, notes = uploads.read_photo(
            body, name, self.generator.shape, **self.colours, crop=self.crop
        )
        found = self.generator.project(photo[None], seed=self.seed, progress=tell)
        stream = io.BytesIO()
        np.save(stream, found.latents.astype(np.float32), allow_pickle=False)
        stem = re.sub(r"[^A-Za-z0-9]+", "_", name.rpartition(".")[0] or name).strip("_")
        psnr = float(found.psnr[0])
        return {
            "photo": uploads.data_uri(photo),
            "latents": found.latents[0].tolist(),
            "npy": uploads.encode(stream.getvalue()),
            "file": f"{stem[:40] or 'photo'}.npy",
            "label": None if found.labels is None else int(found.labels[0]),
            "psnr": psnr if math.isfinite(psnr) else None,
            "notes": notes,
        }

    def command(self, state):
        """Return the command line that makes the picture of a `State`."""
        words = ["--seeds", str(state.seed)]
        if state.latents is not None:
            words = ["--latents", state.file]
        elif state.truncation is not None:
            words += ["--truncation", f"{state.truncation:g}"]
        if state.label is not None:
            words += ["--label", self._label_text(state.label)]
        words += ["--move", state.moves] if state.moves else []
        return shlex.join([*self.words, *words])

    def _label_text(self, number):
        """Return the name of a class, or its number if a command line does not take the name."""
        name = next(iter(self.generator.class_names[number : number + 1]), "")
        plain = name.strip() and name.isprintable() and not name.startswith("-")
        return name if plain else str(number)

    def read(self, body):
        """Return the `State` of the JSON of a request.

        Raises:
          console.Failed: if it is not one.
        """
        try:
            asked = json.loads(body)
            moves, z, file = asked["moves"], asked["latents"], str(asked["file"] or "photo.npy")
            z = None if z is None else np.array([[float(v) for v in z]], np.float32)
            items = [(int(n), round_to(v)) for n, v in moves.items()]
            number = asked["truncation"]
            truncation = None if number is None else round_to(number)
            seed, label = asked["seed"], asked["label"]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            raise console.Failed("these are no settings of this page") from None
        if z is not None and (z.shape[1] != self.z_dim or not np.isfinite(z).all()):
            raise console.Failed(f"latents must be {self.z_dim} finite numbers")
        if not all(abs(v) <= values.MAX_MOVE for _, v in items):
            raise console.Failed(f"moves must be from -{values.MAX_MOVE} to {values.MAX_MOVE}")
        if label is not None:
            label = self.generator.class_number(label)
        if not re.fullmatch(r"\w{1,44}\.npy", file, re.ASCII):
            raise console.Failed("file must be the name of a .npy file")
        moved = ",".join(f"{number}={value:g}" for number, value in items if value)
        seed = arguments.whole("seed", seed)
        return State(seed, label, truncation, moved or None, z, file)

    def _images(self, state, seeds):
        """Return uint8 [N, H, W, C] of seeds, or of the latents of the state if `seeds` is None."""
        sampler = self.generator.sampler(seed=self.seed, truncation=state.truncation)
        if state.moves:
            if not self.found:
                raise console.Failed("this generator has no directions to move along")
            sampler.shift = self.found.shift(state.moves)
        z = state.latents
        if seeds is not None:
            z = np.concatenate([sampler.z(Purpose.SEED, s, count=1) for s in seeds])
        labels = np.zeros(len(z), int) if seeds is None else np.array(seeds)
        if state.label is not None:
            labels = np.full(len(z), state.label)
        return sampler.images(z, labels)


def round_to(number):
    """Return a number, rounded as a command line shows it.

    Raises:
      TypeError, ValueError: if it is no number.
    """
    if not isinstance(number, numbers.Real) or isinstance(number, bool):
        raise TypeError
    return float(f"{float(number):.{DIGITS}g}")
