"""The sheet of real images beside generated ones, and the page that reloads itself."""

import numpy as np
import pytest

import utils
from runs import film, page, plots


@pytest.mark.parametrize("size", [8, 128])
def test_real_and_generated_images_are_equally_large(size, tmp_path):
    reals = np.full((8 * size, 8 * size, 1), 90, np.uint8)
    utils.save_image(tmp_path / "reals.png", reals)
    for step, name, level in ((9, "train_09_0000", 20), (10, "train_03_0001", 200)):
        images = np.full((64, size, size, 1), level / 127.5 - 1)
        film.save_sheet(tmp_path / f"{name}.png", step, images, 8, ())
    film.save_pair(tmp_path, np.zeros((4, 4, 1), np.uint8))
    pair, head, wide = utils.read_image(tmp_path / "real_vs_fake.png"), plots.HEAD, 8 * size
    assert pair.shape == (head + wide, 2 * wide + 8, 1)
    assert (pair[head:, :wide] == 90).all() and (pair[head:, -wide:] == 200).all()
    assert pair[:head, :wide].min() < 100 > pair[:head, -wide:].min()  # captions


@pytest.mark.parametrize("live", [True, False])
def test_the_page_of_a_training_reloads_itself(live, tmp_path):
    grid = np.zeros((8, 8, 1), np.uint8)
    path = utils.save_image(tmp_path / "00000005.png", grid)
    names = {"name": "r", "rows": [], "settings": {}, "best": {}}
    page.write(
        tmp_path / "p.html", grids=[(path, grid)], film=tmp_path / "no.gif", live=live, **names
    )
    assert f"if ({str(live).lower()}) setTimeout(reload" in (tmp_path / "p.html").read_text()
