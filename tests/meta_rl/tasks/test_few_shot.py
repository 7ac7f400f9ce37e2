"""Episodes: no image and no class twice, labels in order, turns, and what cannot be drawn."""

import numpy as np
import pytest
import torch

from meta_rl.tasks.few_shot import EpisodeShape, FewShotTasks
from meta_rl.tasks.image_classes import ClassSplit, DatasetError, ImageClasses, random_parts

CPU = torch.device("cpu")


def numbered(sizes: list[int], side: int = 3) -> ImageClasses:
    """Images whose first pixel is the class, second the instance, and third 0."""
    images = np.zeros((sum(sizes), side, side, 1), np.uint8)
    images[:, 0, 0, 0] = np.repeat(np.arange(len(sizes)), sizes)
    images[:, 0, 1, 0] = np.concatenate([np.arange(size) for size in sizes])
    return ImageClasses(images, np.array(sizes), tuple(f"c{i}" for i in range(len(sizes))))


def tasks(classes=None, *, rotations=False, invert=False) -> FewShotTasks:
    classes = classes or numbered([4, 5, 6, 4])
    return FewShotTasks(classes, rotations=rotations, invert=invert, name="training", device=CPU)


def pixels(images: torch.Tensor) -> np.ndarray:
    return np.rint(images.numpy() * 255).astype(int)


def test_episodes_hold_what_they_say():
    shape = EpisodeShape(num_ways=3, num_shots=2, num_queries=2)
    task, batch = tasks().sample(200, shape, np.random.default_rng(0))
    assert batch.support.input.shape == (200, 6, 3, 3, 1)
    for examples in batch:
        assert examples.target.tolist() == [[0, 0, 1, 1, 2, 2]] * 200
        shown = pixels(examples.input)[..., 0, 0, 0]
        np.testing.assert_array_equal(shown, np.take_along_axis(task, examples.target.numpy(), 1))
    for row, support, query in zip(task, *(pixels(e.input) for e in batch), strict=True):
        assert len(set(row)) == 3
        images = {(image[0, 0, 0], image[0, 1, 0]) for image in (*support, *query)}
        assert len(images) == 12  # none twice, none in both sets
    # Every class, at every label, and every instance of a class of unequal size.
    assert {(way, c) for row in task for way, c in enumerate(row)} == {
        (way, c) for way in range(3) for c in range(4)
    }
    instances = pixels(batch.support.input)[..., 0, :2, 0].reshape(-1, 2)
    assert {tuple(pair) for pair in instances} == {
        (c, i) for c, size in enumerate([4, 5, 6, 4]) for i in range(size)
    }


def test_turned_classes_are_classes_of_their_own():
    classes = numbered([2, 2])
    turned = tasks(classes, rotations=True)
    assert turned.num_classes == 8
    shape = EpisodeShape(num_ways=8, num_shots=1, num_queries=1)
    task, batch = turned.sample(5, shape, np.random.default_rng(0))
    for row, images in zip(task, pixels(batch.query.input), strict=True):
        assert sorted(row) == list(range(8))
        for c, image in zip(row, images, strict=True):
            upright = np.rot90(image[..., 0], -(c % 4))
            assert upright[0, 0] == c // 4
            assert not upright[1:].any()


def test_inverted_pixels():
    shape = EpisodeShape(2, 1, 1)
    plain, inverted = (
        tasks(invert=invert).sample(3, shape, np.random.default_rng(0))[1]
        for invert in (False, True)
    )
    torch.testing.assert_close(inverted.support.input, 1.0 - plain.support.input)
    assert plain.support.input.mean() < 0.1


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        (EpisodeShape(5, 1, 1), ("4 classes", "5 ways", "training")),
        (EpisodeShape(2, 3, 2), ("class c0", "4 examples", "3 shots and 2 queries")),
    ],
)
def test_what_cannot_be_drawn_is_said(shape, parts):
    with pytest.raises(DatasetError) as error:
        tasks().check(shape)
    assert all(part in str(error.value) for part in parts)
    tasks().check(EpisodeShape(4, 3, 1))


def test_only_square_images_are_turned():
    classes = ImageClasses(np.zeros((2, 3, 4, 1), np.uint8), np.array([1, 1]), ("a", "b"))
    with pytest.raises(DatasetError, match="3 x 4"):
        tasks(classes, rotations=True)


def test_a_split_that_overlaps_is_refused():
    one, two = numbered([2, 2]), numbered([2, 2, 2]).select(np.array([2]))
    with pytest.raises(DatasetError, match="overlaps: class c1 is in both train and test"):
        ClassSplit(one, two, one.select(np.array([1])))
    with pytest.raises(DatasetError, match="class c2 is twice in validation"):
        ClassSplit(one, numbered([2, 2, 2]).select(np.array([2, 2])), two)


def test_random_parts_have_their_sizes_and_stay():
    parts = random_parts(20, 3, 5)
    assert np.bincount(parts).tolist() == [12, 3, 5]
    np.testing.assert_array_equal(parts, random_parts(20, 3, 5))
    assert (np.diff(parts) != 0).any()
