"""Make two domains of the anime faces for CycleGAN: black hair (A) and blonde hair (B).

    python data/make_hair_domains.py

copies faces from data/faces into data/hair/{trainA,trainB,testA,testB}. The hair colours come from
data/faces-tags.csv, a table with the columns `file,hair,eyes`. Whether a face is a test image
depends on its file name alone.
"""

import argparse
import csv
import hashlib
import shutil
import sys
from pathlib import Path

DATA = Path(__file__).parent
DOMAINS = {"black": "A", "blonde": "B"}  # hair colour → domain


def is_test(name, percent):
    """Return whether a file is a test image; about `percent` of 100 files are."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100 < percent


def make(faces, tags, out, percent):
    """Copy the faces into the folders of their domains.

    Args:
      faces: Path of the folder of faces.
      tags: path of the table of hair colours.
      out: Path of the folder to make.
      percent: of the faces that become test images.

    Returns:
      {folder name: number of images}.
    """
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
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", default=str(DATA / "faces"), help="the folder of faces")
    parser.add_argument(
        "--tags", default=str(DATA / "faces-tags.csv"), help="the table of hair colours"
    )
    parser.add_argument("--out", default=str(DATA / "hair"), help="the folder to make")
    parser.add_argument("--test_percent", type=int, default=10, help="percentage of test images")
    args = parser.parse_args()
    try:
        counts = make(Path(args.faces), args.tags, Path(args.out), args.test_percent)
    except (OSError, KeyError) as error:
        print(f"make_hair_domains.py: {error}", file=sys.stderr)
        return 1
    for folder, count in sorted(counts.items()):
        print(f"{Path(args.out) / folder}: {count} images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
