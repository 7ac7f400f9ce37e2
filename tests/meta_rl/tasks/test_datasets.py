"""Readers of datasets, on generated files; on the real Omniglot where this machine has it."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meta_rl.tasks import glyphs, omniglot
from meta_rl.tasks.glyphs import distinct_code_points, draw_glyphs, load_glyphs
from meta_rl.tasks.image_classes import DatasetError
from meta_rl.tasks.mini_imagenet import load_mini_imagenet
from meta_rl.tasks.omniglot import load_omniglot, shrink, split_parts

CHARACTERS = {
    "images_background": ("Greek/character01", "Greek/character02", "Hebrew/character01"),
    "images_evaluation": ("Gurmukhi/character41", "Gurmukhi/character42", "Tibetan/character01"),
}


def drawing(seed: int, size: int = 105) -> np.ndarray:
    """True where there is ink."""
    return np.random.default_rng(seed).random((size, size)) < 0.1


def png(ink: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(~ink).save(file, "PNG")
    return file.getvalue()


def archives(folder: Path, change=lambda name, content: (name, content)) -> Path:
    seed = 0
    for archive_name, characters in CHARACTERS.items():
        with zipfile.ZipFile(folder / f"{archive_name}.zip", "w") as archive:
            archive.writestr(f"{archive_name}/", "")
            for character in characters:
                for drawer in range(2):
                    name = f"{archive_name}/{character}/0001_{drawer + 1:02d}.png"
                    archive.writestr(*change(name, png(drawing(seed))))
                    seed += 1
    return folder


def npz(path: Path, **changes) -> Path:
    names = [name for characters in CHARACTERS.values() for name in characters]
    alphabets = sorted({name.split("/")[0] for name in names})
    ink = np.stack([[shrink(drawing(2 * c + d)) for d in range(2)] for c in range(len(names))])
    arrays = {
        "ink_bits": np.packbits(ink.reshape(len(names), 2, -1), axis=-1),
        "alphabets": np.array(alphabets),
        "alphabet": np.array([alphabets.index(name.split("/")[0]) for name in names], np.uint8),
        "character": np.array([int(name[-2:]) for name in names], np.uint8),
    } | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_both_layouts_of_omniglot_give_the_same(tmp_path):
    (tmp_path / "zips").mkdir()
    first = load_omniglot(archives(tmp_path / "zips"), split="vinyals", download=False)
    second = load_omniglot(npz(tmp_path / "o.npz"), split="vinyals", download=False)
    for part in ("train", "validation", "test"):
        ours, theirs = getattr(first, part), getattr(second, part)
        assert ours.names == theirs.names
        np.testing.assert_array_equal(ours.images, theirs.images)
    assert first.train.names == ("Greek/character01", "Greek/character02", "Gurmukhi/character41")
    assert first.validation.names == ("Hebrew/character01",)
    assert first.test.names == ("Gurmukhi/character42", "Tibetan/character01")
    # Ink is 255.
    assert first.train.images.shape == (6, 28, 28, 1)
    assert set(np.unique(first.train.images)) == {0, 255}
    assert first.train.images.mean() < 0.2 * 255


def test_shrinking_is_pillows():
    ink = drawing(0)
    by_pillow = Image.fromarray(ink).resize((28, 28), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(shrink(ink), np.asarray(by_pillow))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name, content: (name, content[:60]), "is not an image"),
        (lambda name, content: (name, b"text"), "is not an image"),
        (lambda name, content: (name, png(drawing(0, 20))), "20 x 20 pixels, not 105 x 105"),
        (lambda name, content: (name.replace("character", "x"), content), "no Omniglot archive"),
    ],
)
def test_foreign_archives(tmp_path, change, message):
    with pytest.raises(DatasetError, match=message):
        load_omniglot(archives(tmp_path, change), split="vinyals", download=False)


def test_a_truncated_archive(tmp_path):
    path = archives(tmp_path) / "images_evaluation.zip"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=r"images_evaluation.zip is damaged"):
        load_omniglot(tmp_path, split="vinyals", download=False)


def test_a_missing_archive_says_where_it_is(tmp_path):
    with pytest.raises(DatasetError, match=r"https://.*few_shot.download=true"):
        load_omniglot(tmp_path, split="vinyals", download=False)
    with pytest.raises(DatasetError, match=r"no Omniglot at .*https://"):
        load_omniglot(tmp_path / "none", split="vinyals", download=False)
    with pytest.raises(DatasetError, match=r"few_shot.path is not set: .*https://"):
        load_omniglot(None, split="vinyals", download=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"ink_bits": None},
        {"ink_bits": np.zeros((6, 2, 97), np.uint8)},
        {"ink_bits": np.zeros((6, 2), np.uint8)},
        {"character": np.zeros(2, np.uint8)},
        {"alphabet": np.full(6, 9, np.uint8)},
    ],
)
def test_foreign_npz(tmp_path, changes):
    with pytest.raises(DatasetError, match=r"damaged or is no Omniglot file"):
        load_omniglot(npz(tmp_path / "o.npz", **changes), split="vinyals", download=False)


def test_a_damaged_npz(tmp_path):
    path = npz(tmp_path / "o.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DatasetError, match="damaged"):
        load_omniglot(path, split="vinyals", download=False)


def test_a_character_that_comes_twice_is_an_overlap(tmp_path):
    path = npz(tmp_path / "o.npz", character=np.array([1, 1, 1, 1, 42, 1], np.uint8))
    with pytest.raises(DatasetError, match=r"overlaps: class Greek/character01 is twice in train"):
        load_omniglot(path, split="vinyals", download=False)


def test_splits_by_number():
    names = tuple(f"A/character{number:04d}" for number in range(1623))
    assert np.bincount(split_parts(names, "reptile")).tolist() == [1100, 100, 423]
    assert np.bincount(split_parts(names, "maml")).tolist() == [1100, 100, 423]


def test_download_checks_what_it_gets(tmp_path, monkeypatch):
    (tmp_path / "server").mkdir()
    source = archives(tmp_path / "server")
    monkeypatch.setattr(omniglot, "URL", f"{source.as_uri()}/")
    with pytest.raises(DatasetError, match="not the official archive"):
        load_omniglot(tmp_path / "data", split="vinyals", download=True)
    assert list((tmp_path / "data").iterdir()) == []
    checksums = {
        name: hashlib.md5((source / name).read_bytes()).hexdigest() for name in omniglot.ARCHIVES
    }
    monkeypatch.setattr(omniglot, "ARCHIVES", checksums)
    split = load_omniglot(tmp_path / "data", split="vinyals", download=True)
    assert len(split.train.names) == 3
    # What is there is not fetched again.
    monkeypatch.setattr(omniglot, "URL", "file:///nowhere/")
    load_omniglot(tmp_path / "data", split="vinyals", download=True)
    (tmp_path / "data" / "images_background.zip").unlink()
    with pytest.raises(DatasetError, match="cannot be downloaded"):
        load_omniglot(tmp_path / "data", split="vinyals", download=True)


@pytest.mark.needs("Omniglot")
def test_the_real_omniglot():
    path = Path(os.environ["META_RL_OMNIGLOT"])
    for name, sizes, key in (
        ("vinyals", (1028, 172, 423), "vinyals_split"),
        ("reptile", (1100, 100, 423), "reptile_seed0_split"),
    ):
        split = load_omniglot(path, split=name, download=False)
        parts = (split.train, split.validation, split.test)
        assert tuple(len(part.names) for part in parts) == sizes
        with np.load(path) as archive:
            test = np.flatnonzero(archive[key] == archive[key].max())
            expected = {
                f"{archive['alphabets'][archive['alphabet'][c]]}"
                f"/character{archive['character'][c]:02d}"
                for c in test
            }
        assert set(split.test.names) == expected
    ink = np.concatenate([part.images for part in parts])
    assert ink.mean() / 255 == pytest.approx(0.0805107, abs=1e-7)


def image_folder(folder: Path, labels=("a", "b"), size=lambda file: (8, 8)) -> Path:
    """Three images of each class, every set with classes of its own."""
    (folder / "images").mkdir(parents=True)
    for part in ("train", "val", "test"):
        lines = ["filename,label"]
        for label in labels:
            for instance in range(3):
                name = f"{part}-{label}-{instance}.png"
                Image.new("RGB", size(name), (instance, 7, 9)).save(folder / "images" / name)
                lines.append(f"{name},{part}-{label}")
        (folder / f"{part}.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_mini_imagenet(tmp_path):
    split = load_mini_imagenet(image_folder(tmp_path / "m"))
    assert split.train.names == ("train-a", "train-b")
    assert split.test.names == ("test-a", "test-b")
    assert split.validation.class_sizes.tolist() == [3, 3]
    assert split.train.images.shape == (6, 8, 8, 3)
    assert split.train.images[4, 0, 0].tolist() == [1, 7, 9]


def test_mini_imagenet_of_unequal_size(tmp_path):
    one = image_folder(tmp_path / "m", size=lambda file: (8, 9) if "val-b-1" in file else (8, 8))
    with pytest.raises(DatasetError, match=r"val\.csv are of unequal size: 8 x 8, 9 x 8"):
        load_mini_imagenet(one)
    other = image_folder(tmp_path / "n", size=lambda file: (8, 9) if "test" in file else (8, 8))
    with pytest.raises(DatasetError, match="unequal size"):
        load_mini_imagenet(other)


def test_mini_imagenet_that_cannot_be_read(tmp_path):
    with pytest.raises(DatasetError, match=r"there is no folder .*mini-ImageNet .*image-net\.org"):
        load_mini_imagenet(tmp_path / "none")
    folder = image_folder(tmp_path / "m")
    (folder / "test.csv").write_text("filename,label\ntrain-a-0.png,train-a\n")
    with pytest.raises(DatasetError, match="class train-a is in both train and test"):
        load_mini_imagenet(folder)
    (folder / "test.csv").write_text("name\nx\n")
    with pytest.raises(DatasetError, match="columns filename,label"):
        load_mini_imagenet(folder)
    (folder / "test.csv").write_text("filename,label\nnone.png,x\n")
    with pytest.raises(DatasetError, match=r"none.png cannot be read: No such file"):
        load_mini_imagenet(folder)
    (folder / "test.csv").write_text("filename,label\n")
    with pytest.raises(DatasetError, match="names no images"):
        load_mini_imagenet(folder)
    (folder / "test.csv").unlink()
    with pytest.raises(DatasetError, match="No such file"):
        load_mini_imagenet(folder)


def test_code_points_of_equal_shape_are_one_class():
    code_points = distinct_code_points()
    assert 2000 < len(code_points) < 2200
    kept = set(map(chr, code_points))
    assert "A" in kept
    assert "\N{GREEK CAPITAL LETTER ALPHA}" not in kept
    assert "\N{CYRILLIC CAPITAL LETTER A}" not in kept
    assert {"a", "ß", "7", "+", "\N{GREEK SMALL LETTER OMEGA}"} <= kept
    assert " " not in kept


def test_glyphs_are_the_same_at_every_drawing():
    first, again = (draw_glyphs([0x41, 0x42], 2) for _ in range(2))
    np.testing.assert_array_equal(first.images, again.images)
    assert first.names == ("U+0041", "U+0042")
    assert first.class_sizes.tolist() == [24, 24]
    # A glyph does not depend on which others are drawn.
    np.testing.assert_array_equal(draw_glyphs([0x42], 2).images, first.images[24:])
    pictures = {image.tobytes() for image in first.images}
    assert len(pictures) == 48
    assert 0.02 < first.images.mean() / 255 < 0.4
    assert (first.images.reshape(48, -1).max(1) > 150).all()


def test_glyphs_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(glyphs, "distinct_code_points", lambda: list(range(0x41, 0x4D)))
    monkeypatch.setattr(glyphs, "NUM_VALIDATION", 3)
    monkeypatch.setattr(glyphs, "NUM_TEST", 4)
    drawn = load_glyphs()
    assert [len(part.names) for part in (drawn.train, drawn.validation, drawn.test)] == [5, 3, 4]
    (file,) = (tmp_path / "meta-rl").iterdir()

    def refuse(*arguments):
        raise AssertionError("drawn again")

    with monkeypatch.context() as patch:
        patch.setattr(glyphs, "draw_glyphs", refuse)
        kept = load_glyphs()
    np.testing.assert_array_equal(kept.test.images, drawn.test.images)
    assert kept.test.names == drawn.test.names
    file.write_bytes(file.read_bytes()[:100])
    again = load_glyphs()
    np.testing.assert_array_equal(again.test.images, drawn.test.images)
    # A cache that cannot be written is done without.
    file.unlink()
    (tmp_path / "meta-rl").rmdir()
    (tmp_path / "meta-rl").write_text("a file is in the way")
    np.testing.assert_array_equal(load_glyphs().test.images, drawn.test.images)
