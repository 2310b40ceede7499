"""The page of a pair of translators. Imports no TensorFlow."""

import shlex

import console
from serving import uploads
from serving.handler import MAX_BODY

JPEG = (".jpg", ".jpeg")  # `--translate` writes these as JPEGs


class TranslationPage:
    """Translates pictures from one domain to the other; a page for `server.Server`.

    Args:
      translator: a `generation.Translator`.
      title, about: name of the run, and a line on it.
      words: list of the words of a command line that finds the run.
      background: colour behind transparent pixels.
      value_ranges: of A and of B, each as in `utils.to_mode`.
      watch: a `watch.Watch` of the translators' files.
    """

    def __init__(self, translator, *, title, about, words, background, value_ranges, watch):
        self.translator, self.words, self.watch = translator, words, watch
        self.background = background
        self.ranges = dict(zip(sorted(translator.networks), value_ranges))
        self.facts = {
            "title": title,
            "about": about,
            "limit": MAX_BODY,
            "translations": sorted(translator.networks),
        }
        self.calls = {"translate": self.translate}

    def translate(self, fields, body, tell):
        """Translate an uploaded picture; see `server`.

        Args:
          fields: "direction": "A2B" or "B2A"; "name": name of the file.
          body: bytes of the file.
          tell: not used.

        Returns:
          Data URIs of the picture and of its translation, lines on what was changed, and the
          command that makes the translation again.
        """
        del tell
        direction, name = fields.get("direction"), uploads.file_name(fields)
        if direction not in self.translator.networks:
            raise console.Failed(f"direction={direction!r} must be A2B or B2A")
        image, notes = uploads.read_whole(
            body, name, self.translator.channels, self.background, self.ranges[direction]
        )
        made = self.translator.translate(image[None], direction)[0]
        if name.lower().endswith(JPEG):
            notes.append("the command writes a JPEG, whose pixels differ a little from this PNG")
        given = [f"--input={name}"] if name.startswith("-") else ["--input", name]
        words = [*self.words, "--translate", direction, *given, "--output", "translated"]
        return {
            "source": uploads.data_uri(image),
            "image": uploads.data_uri(made),
            "notes": notes + self.watch.lines(),
            "command": shlex.join(words),
            "file": f"{name.rpartition('.')[0] or name}_{direction}.png",
        }
