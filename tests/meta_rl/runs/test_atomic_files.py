"""A folder is there with everything in it, or not at all."""

from pathlib import Path

import pytest

from meta_rl.runs.atomic_files import (
    NewFolderError,
    new_folder,
    new_numbered_folder,
)


def test_a_folder_appears_when_it_is_complete(tmp_path: Path):
    path = tmp_path / "deep" / "er"
    with new_folder(path) as temporary:
        (temporary / "a").write_text("all of it")
        assert not path.exists()
    assert [file.name for file in path.iterdir()] == ["a"]
    assert [folder.name for folder in path.parent.iterdir()] == ["er"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_folder_that_could_not_be_filled(tmp_path: Path, error):
    expected = NewFolderError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as raised, new_folder(tmp_path / "new") as temporary:
        (temporary / "a").write_text("half of")
        raise error
    assert list(tmp_path.iterdir()) == []
    if expected is NewFolderError:
        message = f"{tmp_path / 'new'} cannot be written: No space left on device"
        assert str(raised.value) == message


def test_what_exists_is_kept(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "file", "link"):
        message = f"{name} exists and is not overwritten"
        with pytest.raises(NewFolderError, match=message), new_folder(tmp_path / name):
            pytest.fail("entered")
    assert (tmp_path / "file").read_text() == "mine"


def test_one_that_appeared_meanwhile_is_kept(tmp_path: Path):
    path = tmp_path / "new"
    with pytest.raises(NewFolderError, match="cannot be written"), new_folder(path) as temporary:
        (temporary / "a").write_text("theirs")
        path.mkdir()
        (path / "b").write_text("mine")
    assert [file.name for file in path.iterdir()] == ["b"]
    assert [folder.name for folder in tmp_path.iterdir()] == ["new"]


def test_of_several_folders_of_one_name_each_gets_a_number_when_it_is_complete(tmp_path: Path):
    path = tmp_path / "evaluation-20300101"
    with new_numbered_folder(path) as first:
        (first.temporary / "file").write_text("first")
        # Another process was faster.
        path.mkdir()
        (path / "file").write_text("other")
    assert first.path == tmp_path / "evaluation-20300101-2"
    assert (first.path / "file").read_text() == "first"
    assert (path / "file").read_text() == "other"
    with pytest.raises(NewFolderError, match="cannot be written"), new_numbered_folder(path):
        raise OSError(28, "No space left on device")
    assert len(list(tmp_path.iterdir())) == 2
