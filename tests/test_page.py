"""The page of a run: its contents, its size, and how a browser shows it."""

import base64
import html
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

import utils
from runs import checkpoints, film, page

LEVELS = (0, 100, 200)
ROWS = [
    {"step": str(10 * i), "epoch": "0", "seconds": str(30 * i), "loss": str(i), "eval/fid": f}
    for i, f in enumerate(("", "4.5", "3.25"))
]
SETTINGS = {"dataset": "a/pics", "arch": "dcgan", "mode": "gp", "g_width": [4]}
SETTINGS |= {"data": {"count": 70, "classes": 0}}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def put_grids(folder, levels=LEVELS, shape=(16, 16, 1)):
    """Save a gray grid for each level; return [(path, grid)]."""
    found = []
    for i, level in enumerate(levels):
        image = np.full(shape, level, np.uint8)
        found.append((utils.save_image(folder / "frames" / f"{100 * i:08d}.png", image), image))
    return found


def put_page(folder, grids=None, **given):
    path = folder / "index.html"
    grids = grids or put_grids(folder)
    utils.save_animation(folder / "training.gif", [image for _, image in grids])
    given = {"name": "r", "rows": ROWS, "settings": SETTINGS, "best": {}, "per_epoch": 50, **given}
    page.write(path, grids=grids, film=folder / "training.gif", **given)
    return path.read_text()


def frames(text):
    """Return (caption, Pillow image) of each grid of a page."""
    found = json.loads(re.search(r'id="frames">(.*?)</script>', text, re.S)[1])
    bodies = [(caption, base64.b64decode(source.partition(",")[2])) for caption, source in found]
    return [(caption, Image.open(io.BytesIO(body))) for caption, body in bodies]


@pytest.mark.parametrize(
    "settings, count",
    [
        ({}, 70),  # of a run older than both settings
        ({"train_size": 0, "holdout": 0}, 70),
        ({"train_size": 20, "holdout": 7}, 20),
        ({"train_size": 65, "holdout": 7}, 63),
        ({"data": {}}, "?"),
    ],
)
def test_the_number_of_training_images(settings, count):
    assert page.count_trained({**SETTINGS, **settings}) == count


def test_the_page_needs_no_other_file(tmp_path):
    text = put_page(tmp_path)
    shown = frames(text)
    captions = ["update 0, epoch 0.0", "update 100, epoch 2.0", "update 200, epoch 4.0"]
    assert [caption for caption, _ in shown] == captions
    assert [image.getpixel((3, 3)) for _, image in shown] == [*LEVELS]
    gif = base64.b64encode((tmp_path / "training.gif").read_bytes()).decode()
    assert f'src="data:image/gif;base64,{gif}"' in text
    assert "dcgan, gp: 70 images of pics; update 200, epoch 4.0, 1.0 minutes of training" in text
    assert "Over the updates 0 to 20 of the generator." in text
    assert "<dt>g_width</dt> <dd>[4]</dd>" in text and "<dt>data.count</dt> <dd>70</dd>" in text
    assert re.findall(r"<td>(.*?)</td>", text) == ["fid", "3.25"]
    outside = re.sub(r"data:[\w/]+;base64,[\w+/=]+", "", text)
    assert not re.search(r"https?:|//|src=\"[^\"]|@import|url\(", outside.replace("</", ""))


def test_a_page_before_the_first_log_row(tmp_path):
    (path, image) = put_grids(tmp_path, [7])[0]
    out = tmp_path / "index.html"
    given = {"settings": {}, "best": {}, "film": tmp_path / "none.gif"}
    page.write(out, name="r", grids=[(path, image)], rows=[], **given)
    text = out.read_text()
    assert [caption for caption, _ in frames(text)] == ["update 0"]
    assert "There is no film yet." in text and "None yet." in text and "No evaluation yet." in text


def test_the_best_checkpoint_has_a_column(tmp_path):
    text = put_page(tmp_path, best={"step": 10, "fid": 2.125})
    assert re.findall(r"<th scope=col>(.*?)</th>", text) == [
        "measure",
        "update 20",
        "best, update 10",
    ]
    assert re.findall(r"<td>(.*?)</td>", text) == ["fid", "3.25", "2.125"]


def test_the_best_grid_is_beside_the_newest(tmp_path, monkeypatch):
    """The newest grid may be newer than the last evaluation, or older than the best checkpoint."""
    grids = put_grids(tmp_path)
    settings, best = {**SETTINGS, "best_by": "fid"}, {"step": 100, "kid_a": 1.0, "fid_a": 2.125}
    plateau = checkpoints.Plateau("fid_<a>", 100, 0.5)
    rows = [{"step": step, "eval/fid_a": f} for step, f in (("100", "2.125"), ("150", "3.5"))]
    given = {"settings": settings, "best": best, "best_grid": grids[1], "rows": rows}
    text = put_page(tmp_path, plateau=plateau, **given)
    section = text[text.index("<h2>Best and newest</h2>") : text.index("The grids over time")]
    captions = ["Best: update 100, epoch 2.0, fid_a 2.125"]
    captions += ["Newest: update 200, epoch 4.0, fid_a 3.5 at update 150"]
    assert re.findall(r"<figcaption>(.*?)</figcaption>", section) == captions
    shown = re.findall(r'src="data:image/png;base64,(.*?)" alt="(.*?)"', section)
    assert [alt for _, alt in shown] == captions
    bodies = [io.BytesIO(base64.b64decode(body)) for body, _ in shown]
    assert [Image.open(body).getpixel((3, 3)) for body in bodies] == [*LEVELS[1:]]
    assert "<p>fid_&lt;a&gt; has not improved since update 100, for 50 % of the updates" in section
    rows[1]["step"] = "200"
    short = checkpoints.Plateau("fid_a", 100, 0.3)
    monkeypatch.setattr(page, "MAX_PAIR_BYTES", 10)
    text = put_page(tmp_path, plateau=short, **given)
    assert "Newest: update 200, epoch 4.0, fid_a 3.5<" in text and "has not improved" not in text
    assert text.count('src="data:image/jpeg;') == 2
    assert "Best and newest" not in put_page(tmp_path, **{**given, "best_grid": None})


def test_names_are_escaped(tmp_path):
    name, path = "<b>$x&", 'a"</script><script>alert(1)</script>'
    text = put_page(tmp_path, name=name, settings={**SETTINGS, "dataset": path})
    assert f"<h1>{html.escape(name)}</h1>" in text
    assert text.count("<script") == 2 and "<b>$x" not in text


def test_a_curve_goes_through_its_points():
    steps, values = np.array([10, 20, 40]), np.array([1.0, 3.0, 2.0])
    assert page._path(steps, values, 1.0, 3.0) == "M0.0 100.0L100.0 0.0L300.0 50.0"
    assert page._path(steps, values * 0, 0.0, 0.0).count(" 0.0") == 3
    many = page._path(np.arange(5000), np.arange(5000.0), 0.0, 4999.0)
    assert many.count("L") == page.MAX_POINTS - 1
    assert many.endswith("300.0 0.0")


def test_curves_skip_values_that_are_not_finite():
    rows = [{"step": str(i), "loss": v} for i, v in enumerate(("1", "nan", "inf", "3", "2"))]
    text = page._figure(rows, "loss")
    assert "1 to 3, last 2" in text and "nan" not in text
    assert page._figure(rows[:3], "loss") == ""


def test_the_size_of_the_page_is_limited(tmp_path, monkeypatch):
    """Small grids stay PNGs, large ones become JPEGs, and of too many some are left out."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(20)]
    grids = []
    for i, image in enumerate(noise):
        grids.append((utils.save_image(tmp_path / "frames" / f"{i}.png", image), image))
    kinds, counts = [], []
    sizes = {".png": grids[0][0].stat().st_size, ".jpg": len(page._jpeg(noise[0]))}
    for limit in (21 * sizes[".png"], 21 * sizes[".jpg"], 11 * sizes[".jpg"], 1):
        monkeypatch.setattr(page, "MAX_GRID_BYTES", limit)
        found = page._fit(grids)
        kinds.append({kind for _, kind, _ in found})
        counts.append(len(found))
        assert found[-1][0] == grids[-1][0]
        assert page._size(found) <= limit or len(found) == 1
    assert kinds == [{".png"}, {".jpg"}, {".jpg"}, {".jpg"}]
    assert (counts[0], counts[1], counts[3]) == (20, 20, 1) and 8 <= counts[2] <= 11
    monkeypatch.undo()
    assert (page.MAX_GRID_BYTES + film.MAX_BYTES) * 4 / 3 < 6e6


# Moves the slider, and after each move notes the gray level in the middle of the picture and the
# texts below it.
HOOK = """
<script>
const seen = [], at = [0, 2, 1];
// Not grid.decode(): a budget of virtual time does not wait for that.
const loaded = () => grid.complete || new Promise((done) => { grid.onload = done; });
function note() {
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
  pen.drawImage(grid, 0, 0);
  seen.push([pen.getImageData(8, 8, 1, 1).data[0], caption.textContent, play.textContent]);
}
async function all() {
  await loaded(); note();
  for (const i of at) {
    when.value = i;
    when.dispatchEvent(new Event("input", {bubbles: true}));
    await loaded(); note();
  }
  when.value = 0; show(); play.click();
  await new Promise((done) => setTimeout(done, 2000));
  await loaded(); note();
  document.body.dataset.seen = JSON.stringify(seen);
}
all();
</script>
"""


def test_the_page_shows_no_folders():
    found = page._settings({"dataset": "/home" + "/me/faces", "a": {"b": "~/x/y"}, "c": "d/e"})
    assert "me" not in found and "x/" not in found
    assert all(f"&quot;{name}&quot;" in found for name in ("faces", "y", "d/e"))


def test_a_browser_shows_what_the_slider_says(tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser to look with: one of {', '.join(BROWSERS)}")
    text = put_page(tmp_path)
    (tmp_path / "hooked.html").write_text(text.replace("</body>", HOOK + "</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    options += ["--virtual-time-budget=60000", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [browser, *options, (tmp_path / "hooked.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = re.search(r'data-seen="(.*?)"', done.stdout)
    assert found, done.stderr[-2000:]
    captions = ["update 0, epoch 0.0", "update 100, epoch 2.0", "update 200, epoch 4.0"]
    expected = [[LEVELS[i], captions[i], "Play"] for i in (2, 0, 2, 1, 2)]
    assert json.loads(html.unescape(found[1])) == expected
