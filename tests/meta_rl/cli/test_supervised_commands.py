"""``train``, ``evaluate`` and ``visualize`` with supervised runs, as users meet them."""

import csv
import json
import re
import signal

import numpy as np
import pytest
from PIL import Image

from meta_rl.cli import app
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.tasks import glyphs

SINE = (
    *("network.hidden_sizes=[8]", "meta_update.meta_batch_size=2", "run.compile=false"),
    *("evaluation.num_tasks=4", "evaluation.num_adaptation_steps=3", "run.meta_iterations=2"),
    "run.device=cpu",
)
IMAGES = (
    *("network.num_filters=4", "meta_update.meta_batch_size=2", "evaluation.num_tasks=3"),
    *("evaluation.num_adaptation_steps=1", "run.meta_iterations=2", "run.device=cpu"),
)


@pytest.fixture(scope="module")
def few_glyphs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(glyphs, "distinct_code_points", lambda: list(range(0x41, 0x5F)))
        patch.setattr(glyphs, "NUM_VALIDATION", 8)
        patch.setattr(glyphs, "NUM_TEST", 8)
        yield


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    """The command in this process: exit status, stdout, stderr."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with single_torch_thread(), pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in arguments])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    shown = capsys.readouterr()
    return ended.value.code, shown.out, shown.err


@pytest.fixture(scope="module")
def runs(tmp_path_factory, few_glyphs):
    """Finished runs, only to be read."""
    folder = tmp_path_factory.mktemp("runs")
    presets = {
        "maml": ("sine", SINE),
        "reptile": ("sine_reptile", SINE),
        "pretrained": ("sine_pretrained", SINE),
        "oracle": ("sine_oracle", SINE),
        "letters": ("glyphs_5way_1shot", IMAGES),
        "inverted": ("glyphs_5way_1shot_reptile", IMAGES),
    }
    for name, (preset, settings) in presets.items():
        with single_torch_thread(), pytest.raises(SystemExit) as ended:
            app(["train", preset, *settings, f"run.dir={folder / name}"])
        assert ended.value.code == 0
    return folder


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("run", "quantity"), [("maml", "loss"), ("letters", "accuracy")])
def test_evaluate_repeats_the_numbers_of_training(runs, run, quantity, capsys, tmp_path):
    code, out, err = call(capsys, "evaluate", runs / run, "--out", tmp_path / "e")
    assert (code, err) == (0, "")
    assert quantity in out
    best = json.loads((runs / run / "best.json").read_text())["meta_iteration"]
    trained = [
        row[quantity]
        for row in rows(runs / run / "evaluation.csv")
        if row["split"] == "test" and row["meta_iteration"] == str(best)
    ]
    assert [row[quantity] for row in rows(tmp_path / "e" / "evaluation.csv")] == trained
    files = {path.name for path in (tmp_path / "e").iterdir()}
    assert files == {"evaluation.csv", "summary.json", "curve.png", "curve.svg"}
    (group,) = json.loads((tmp_path / "e" / "summary.json").read_text())["groups"]
    assert (group["name"], group["quantity"]) == (run, quantity)
    assert group["quantities"][quantity]["mean"] == group["mean"]
    by_step = np.array(trained, float).reshape(-1, len(group["mean"]))
    np.testing.assert_allclose(group["mean"], by_step.mean(0))


def test_runs_are_compared_on_the_tasks_of_the_first(runs, capsys, tmp_path):
    names = ("maml", "reptile", "pretrained", "oracle")
    out = tmp_path / "e"
    code, _, err = call(
        capsys, "evaluate", *(runs / n for n in names), "--out", out, "--num-tasks", 3, "--steps", 2
    )
    assert (code, err) == (0, "")
    table = rows(out / "evaluation.csv")
    tasks = {n: [(r["amplitude"], r["phase"]) for r in table if r["name"] == n] for n in names}
    assert len(tasks["maml"]) == 3 * 3
    assert all(tasks[name] == tasks["maml"] for name in names)


def test_references_stand_beside_runs(runs, capsys, tmp_path):
    out = tmp_path / "e"
    references = ("--reference", "random", "--reference", f"theirs={runs / 'reptile'}")
    code, shown, err = call(capsys, "evaluate", runs / "maml", *references, "--out", out)
    assert (code, err) == (0, "")
    groups = json.loads((out / "summary.json").read_text())["groups"]
    assert [(g["name"], g["kind"]) for g in groups] == [
        *(("maml", "run"), ("random", "reference"), ("theirs", "reference"))
    ]
    assert groups[1]["policies"][0]["meta_iteration"] == 0
    assert "loss, theirs" in shown


def test_pictures_of_sinusoids_and_episodes(runs, capsys, tmp_path):
    beside = [x for name in ("reptile", "pretrained") for x in ("--beside", runs / name)]
    code, _, err = call(
        capsys, "visualize", runs / "maml", *beside, "--num-tasks", 2, "--out", tmp_path / "s"
    )
    assert (code, err) == (0, "")
    with Image.open(tmp_path / "s" / "sinusoids.png") as image:
        assert image.width > 1.3 * image.height  # three columns, two rows
    text = (tmp_path / "s" / "sinusoids.svg").read_text()
    for word in ("maml", "reptile", "pretrained", "support", "before adapting", "3 steps"):
        assert word in text
    code, _, err = call(
        capsys,
        "visualize",
        runs / "letters",
        "--beside",
        runs / "inverted",
        "--num-tasks",
        1,
        "--out",
        tmp_path / "i",
    )
    assert (code, err) == (0, "")
    assert {path.name for path in (tmp_path / "i").iterdir()} == {
        "episode_letters_00.png",
        "episode_inverted_00.png",
    }


def test_a_report_of_images_has_accuracies_and_losses_of_every_method(runs, capsys, tmp_path):
    page = tmp_path / "report.html"
    code, out, _ = call(
        capsys, "report", runs / "letters", runs / "inverted", "--out", page, "--steps", 2
    )
    assert (code, out.strip()) == (0, str(page))
    match = re.search(r'type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)
    data = json.loads(match[1])
    assert (data["quantity"]["label"], data["quantity"]["lower_is_better"]) == ("accuracy", False)
    assert len(data["adaptation"]["mean"]) == 3
    assert [group["name"] for group in data["adaptation"]["references"]] == ["inverted"]
    (loss,) = data["adaptation"]["further"]
    assert loss["label"] == "loss"
    assert [curve["name"] for curve in loss["curves"]] == ["letters", "inverted"]
    assert [run["name"] for run in data["runs"]] == ["letters", "inverted"]
    for curves in data["learning"]:
        assert (curves["training"]["quantity"], curves["validation"]["quantity"]) == (
            *("loss", "accuracy"),
        )
    assert data["replays"] is data["fits"] is data["replays_missing"] is None
    assert all(0 <= value <= 1 for row in data["tasks"]["rows"] for value in row["values"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["evaluate", "maml", "letters"], "are not of the same kind of tasks"),
        (["evaluate", "maml", "maml"], "two of the runs are called maml"),
        (["evaluate", "maml", "--grid", "3"], "--grid is for runs of reinforcement learning"),
        (["evaluate", "maml", "--episodes", "3"], "evaluation.episodes_per_task is not a setting"),
        (["evaluate", "maml", "--reference", "maml=reptile"], "maml has the name of the runs"),
        (["evaluate", "maml", "--steps", "-1"], "evaluation.num_adaptation_steps should be"),
        (["visualize", "maml", "--gif"], "--gif is for runs of reinforcement learning"),
        (["visualize", "maml", "--num-tasks", "0"], "--num-tasks should be at least 1"),
        (["evaluate", "letters", "--num-tasks", "1"], "evaluation.num_tasks should be"),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence, runs, capsys, monkeypatch):
    monkeypatch.chdir(runs)
    code, _, err = call(capsys, *arguments)
    assert code == 1
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert sentence in err


@pytest.mark.parametrize(
    ("preset", "settings", "sentence"),
    [
        ("omniglot_5way_1shot", [], "few_shot.path is not set"),
        ("omniglot_5way_1shot", ["few_shot.path=README.md"], "is no Omniglot file"),
        ("mini_imagenet_5way_1shot", ["few_shot.path=nowhere"], "there is no folder nowhere"),
        ("glyphs_5way_1shot", ["few_shot.ways=9"], "8 classes, fewer than the 9 ways"),
        ("sine", ["adaptation.inner_step_size=1e30", "run.compile=false"], "is not finite"),
    ],
)
def test_training_refuses_bad_data(preset, settings, sentence, capsys, few_glyphs, tmp_path):
    code, _, err = call(capsys, "train", preset, *settings, f"run.dir={tmp_path / 'run'}")
    assert code == 1
    assert err.startswith("Error: ")
    assert sentence in err
