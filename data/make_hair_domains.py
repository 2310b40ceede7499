"""Two domains out of the anime faces: black hair (A) and blonde hair (B), for CycleGAN.

    python data/make_hair_domains.py

copies data/faces/*.jpg into data/hair/{trainA,trainB,testA,testB} by the hair colours of the table
data/faces-tags.csv: `file,hair,eyes`. Which faces are test images depends on their names alone.
"""

import argparse
import csv
import hashlib
import shutil
import sys
from pathlib import Path

DATA = Path(__file__).parent
DOMAINS = {"black": "A", "blonde": "B"}


def is_test(name, percent):
    """Is a file one of about so many in a hundred that are kept for testing?"""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100 < percent


def make(faces, tags, out, percent):
    """Copy the faces; return the number in each folder."""
    with open(tags, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["hair"] in DOMAINS]
    counts = {}
    for row in rows:
        name = Path(row["file"]).name
        folder = ("test" if is_test(name, percent) else "train") + DOMAINS[row["hair"]]
        (out / folder).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(faces / name, out / folder / name)
        counts[folder] = counts.get(folder, 0) + 1
    return counts


def main():
    """Carry out the command line; return the exit status."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--faces", default=str(DATA / "faces"), help="the folder of faces")
    words.add_argument(
        "--tags", default=str(DATA / "faces-tags.csv"), help="the table of hair colours"
    )
    words.add_argument("--out", default=str(DATA / "hair"), help="the folder to make")
    words.add_argument("--test_percent", type=int, default=10, help="share of test images")
    given = words.parse_args()
    try:
        counts = make(Path(given.faces), given.tags, Path(given.out), given.test_percent)
    except (OSError, KeyError) as error:
        print(f"make_hair_domains.py: {error}", file=sys.stderr)
        return 1
    for folder, count in sorted(counts.items()):
        print(f"{Path(given.out) / folder}: {count} images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
