"""The seeded order of training images, and batches of it."""

import dataclasses
import types

import numpy as np
import pytest

import console
from commands import sources
from config.resolve import resolve
from datasets import packed
from datasets.packed import Batches
from messages import opening


def batches(count=10, seed=0, **options):
    """Return Batches of images filled with their index, labelled with ten times their index."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(2, 1).repeat(3, 2)
    return Batches(images, 10 * np.arange(count, dtype=np.int32), seed=seed, **options)


def test_each_pass_is_a_new_permutation():
    b = batches(50)
    passes = [tuple(b.indices(50 * i, 50).tolist()) for i in range(4)]
    assert [sorted(p) for p in passes] == [list(range(50))] * 4
    assert len({*passes, tuple(range(50))}) == 5  # all differ, and none is in order


def test_order_depends_on_the_seed_alone():
    orders = [batches(50, seed=s).indices(0, 120).tolist() for s in (0, 0, 1, 2)]
    assert orders[0] == orders[1]
    assert len({tuple(o) for o in orders}) == 3


def test_order_is_pinned():
    """A run that is resumed with a later release continues with the same images."""
    second = [4, 3, 1, 6, 0, 2, 5, 7]
    assert batches(8, seed=3).indices(0, 16).tolist() == [6, 7, 2, 1, 4, 5, 3, 0, *second]


def test_take_does_not_depend_on_the_calls_before():
    places = [(0, 7), (21, 7), (7, 7), (33, 40), (0, 7), (3, 1), (10, 10), (9, 2), (21, 7)]
    b = batches()
    for position, count in places:
        images, labels = b.take(position, (count,))
        fresh = batches().take(position, (count,))
        np.testing.assert_array_equal(images, fresh[0])
        np.testing.assert_array_equal(labels, fresh[1])


@pytest.mark.parametrize("step", [1, 3, 4, 10, 23])
def test_stream_does_not_depend_on_the_batch_size(step):
    whole = batches().indices(0, 92)
    b = batches()
    parts = [b.indices(i, min(step, 92 - i)) for i in range(0, 92, step)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_batch_larger_than_the_set_wraps():
    images, labels = batches(3).take(0, (8,))
    assert sorted(labels[:3]) == sorted(labels[3:6]) == [0, 10, 20]
    np.testing.assert_array_equal(labels, 10 * images[:, 0, 0, 0].astype(int))
    assert len(labels) == 8 and len(batches(3)) == 3


def test_batch_of_a_single_image():
    assert batches(1).take(5, (4,))[1].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(4,), (2, 3), (5, 1), (2, 2, 3)])
def test_take_shapes_and_labels_aligned(shape):
    images, labels = batches().take(6, shape)
    assert images.shape == (*shape, 2, 3, 1) and images.dtype == np.uint8
    assert labels.shape == shape and labels.dtype == np.int32
    np.testing.assert_array_equal(images[..., 0, 0, 0].astype(int) * 10, labels)
    flat = batches().take(6, (int(np.prod(shape)),))[1]
    np.testing.assert_array_equal(labels.ravel(), flat)


def test_take_reads_a_memory_mapped_array(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1))
    images = np.load(tmp_path / "a.npy", mmap_mode="r")
    b = Batches(images, np.arange(12), seed=0)
    taken, labels = b.take(0, (12,))
    assert taken.ravel().tolist() == labels.tolist()
    taken[:] = 0  # it is a copy: the mapped array cannot be written


def test_train_size_is_the_first_of_a_seeded_permutation():
    subsets = {n: set(batches(50, train_size=n).subset.tolist()) for n in (1, 5, 20, 50)}
    assert {n: len(s) for n, s in subsets.items()} == {1: 1, 5: 5, 20: 20, 50: 50}
    assert subsets[1] < subsets[5] < subsets[20] < subsets[50]
    assert subsets[20] != set(range(20))
    assert subsets[20] != set(batches(50, seed=1, train_size=20).subset.tolist())


def test_train_size_bounds_what_is_taken():
    b = batches(50, train_size=7)
    taken = b.indices(0, 21)
    assert len(b) == 7 and sorted(taken[:7]) == sorted(taken[7:14]) == b.subset.tolist()


@pytest.mark.parametrize("train_size, taken", [(0, 46), (7, 7), (50, 46)])
def test_held_out_images_are_never_taken(train_size, taken):
    held = np.array([0, 3, 20, 49])
    b = batches(50, train_size=train_size, held=held)
    assert len(b) == taken and set(b.indices(0, 150)) == set(b.subset)
    assert not set(b.subset) & set(held)


def source_of(count):
    """The arguments of `packed.Packed` for images named "0", "1" and so on."""
    images = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    spec = packed.ImageSpec(1, 1, 1, count, 2)
    return packed.Packed(images, np.arange(count) % 2, spec, [], names=list(map(str, range(count))))


def held(monkeypatch, count, **given):
    """The set of the images of `source_of` that a call holds out."""
    monkeypatch.setattr("datasets.packed.load", lambda *_, **__: source_of(count))
    data = sources.load_data(resolve({"dataset": "pics", **given}))
    stream = data.stream(seed=given.get("seed", 0), train_size=given.get("train_size", 0))
    assert set(data.held) | set(stream.subset) <= set(range(count))
    assert not set(data.held) & set(stream.subset) and list(data.held) == sorted(set(data.held))
    counts = sources.class_counts(data)
    assert counts.sum() == count - len(data.held) and counts[1] == sum(
        i % 2 for i in range(count) if i not in set(data.held)
    )
    return set(data.held)


def test_which_images_are_held_out(monkeypatch):
    """It does not depend on the seed. Images that are added leave none that was trained on."""
    first = held(monkeypatch, 100, holdout=20)
    assert len(first) == 20 and first != set(range(20))
    assert held(monkeypatch, 100, holdout=20, seed=5, train_size=30) == first
    assert held(monkeypatch, 100, holdout=10) < first
    later = held(monkeypatch, 200, holdout=20)
    assert len(later) == 20 and later != first and {i for i in later if i < 100} <= first
    assert held(monkeypatch, 8, holdout=3) == {1, 2, 5}  # pinned: a resumed run has the same


def test_classes_whose_images_are_all_held_out_are_named(monkeypatch):
    """Images 1, 2 and 5 are held out, see above."""
    data = source_of(8)
    data.spec = dataclasses.replace(data.spec, class_names=("a", "b"))
    monkeypatch.setattr("datasets.packed.load", lambda *_, **__: data)
    for labels, lost in (([0, 1, 1, 0, 0, 1, 0, 0], ["b"]), ([0, 1, 1, 1, 0, 1, 0, 0], [])):
        data.labels, lines = np.array(labels), []
        c = resolve({"dataset": "pics", "holdout": 3})
        sources.load_training(c, types.SimpleNamespace(say=lines.append), resume=False)
        assert [line for line in lines if "note" in line] == list(map(opening.lost_classes, lost))
    assert "all images of b are held out" in opening.lost_classes(["b"])


@pytest.mark.parametrize(
    "count, given, expected",
    [
        (999, {}, 0),
        (1000, {}, 100),
        (19_999, {}, 1999),
        (60_000, {}, 2000),
        (60_000, {"holdout": 0}, 0),
        (5, {"holdout": 4}, 4),
        (60_000, {"dataset": "mnist"}, 0),
        (60_000, {"arch": "cyclegan"}, 0),
        (0, {"holdout": 4}, 0),  # unknown
    ],
)
def test_how_many_images_are_held_out(count, given, expected):
    assert sources.count_held_out(resolve({"dataset": "pics", **given}), count) == expected


def test_an_image_is_left_to_train_on():
    for count in (4, 3):
        with pytest.raises(console.Failed, match=f"--holdout=4 leaves no image .*, of {count}$"):
            sources.count_held_out(resolve({"dataset": "pics", "holdout": 4}), count)


@pytest.mark.parametrize("train_size", [0, 10, 11, 999])
def test_train_size_of_all(train_size):
    b = batches(train_size=train_size)
    assert len(b) == 10
    np.testing.assert_array_equal(b.indices(0, 30), batches().indices(0, 30))
