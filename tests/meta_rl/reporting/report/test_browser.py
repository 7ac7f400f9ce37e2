"""The report in a real browser, without a network: what a reader sees, clicks and types."""

import math
import re
import shutil

import pytest
from rich.console import Console

from meta_rl.config import load_config
from meta_rl.evaluation.evaluation_job import TaskChoice, load_groups
from meta_rl.reporting.report.job import make_report
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.training.jobs import start_run

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.needs("chromium")

SMALL = [
    *("run.device=cpu", "run.meta_iterations=2", "rollout.num_threads=1"),
    *("rollout.meta_batch_size=2", "rollout.episodes_per_task=2", "rollout.horizon=40"),
    *("policy.hidden_sizes=[8]", "meta_update.curvature_stride=1", "evaluation.every=1"),
    *("evaluation.num_tasks=8", "evaluation.episodes_per_task=3"),
    "evaluation.num_adaptation_steps=2",
]
SINE = [
    *("run.device=cpu", "run.meta_iterations=6", "run.log_every=2", "run.compile=false"),
    *("network.hidden_sizes=[8]", "run.meta_batch_size=2", "evaluation.every=2"),
    *("evaluation.num_tasks=9", "evaluation.num_adaptation_steps=7"),
]
# Below a folder whose name ends in "<", the path holds an end tag.
HOSTILE = "script x><b>x&y"


def report(folder, name, preset, settings=SMALL):
    """A real run and its report."""
    with single_torch_thread():
        start_run(
            load_config(preset, [*settings, f"run.dir={folder / name}"]), name, Console(quiet=True)
        )
        groups = load_groups([folder / name], ["random"], {})
        page = make_report(groups, TaskChoice(), lambda note: None)
    path = folder.parent / f"{preset}.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports") / "runs"
    plane = report(folder.parent / "a<", HOSTILE, "navigation")
    thinned = plane.with_name("thinned.html")
    # As if the run had been so long that its two points are what is left of many.
    text = plane.read_text(encoding="utf-8")
    text = text.replace('"num_recorded":{"training":2', '"num_recorded":{"training":100000')
    thinned.write_text(text, encoding="utf-8")
    return {
        "plane": plane,
        "thinned": thinned,
        "solids": report(folder, "cheetah", "half_cheetah_vel"),
        "functions": report(folder, "waves", "sine", SINE),
    }


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, reports):
    """Opens a report; at the end, nothing has gone wrong and nothing was asked of a network."""
    opened = []

    def open_page(view, width=1100, **context_options):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, offline=True, **context_options
        )
        page = context.new_page()
        problems, requests = [], []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(reports[view].as_uri())
        opened.append((context, problems, requests, reports[view].as_uri()))
        return page

    yield open_page
    for context, problems, requests, address in opened:
        context.close()
        assert problems == []
        assert requests == [address]


VIEWS = pytest.mark.parametrize("view", ["plane", "solids"])


def test_a_curve_that_was_thinned_says_so(open_page):
    words = "Picture and table are thinned to 2 of 100000 points: the ends, and the least and the"
    assert words in open_page("thinned").locator("#learning").inner_text()
    assert "thinned" not in open_page("plane").locator("#learning").inner_text()


def picture(page):
    return page.locator("canvas").evaluate("canvas => canvas.toDataURL()")


def said(page):
    return page.locator(".readout").inner_text()


@VIEWS
def test_the_replay_moves_after_play_alone_and_rests_after_pause(open_page, view):
    page = open_page(view)
    at_first = picture(page)
    page.wait_for_timeout(200)
    assert picture(page) == at_first, "it plays by itself"
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(
        "first => document.querySelector('canvas').toDataURL() !== first", arg=at_first
    )
    page.get_by_role("button", name="Pause").click()
    paused, words = picture(page), said(page)
    assert paused != at_first
    page.wait_for_timeout(200)
    assert (picture(page), said(page)) == (paused, words)


@VIEWS
def test_scrubbing_and_the_choices_change_what_is_drawn_and_said(open_page, view):
    page = open_page(view)
    seen = [(picture(page), said(page))]

    def changed():
        seen.append((picture(page), said(page)))
        return seen[-1][0] not in [picture for picture, _ in seen[:-1]] and (
            seen[-1][1] not in [words for _, words in seen[:-1]]
        )

    page.get_by_label("Time in the episode").fill("12")
    assert changed()
    assert "12 of " in said(page)
    page.get_by_role("radio", name="0", exact=True).check()
    assert changed()
    assert "before adapting" in said(page)
    page.get_by_role("combobox", name="Task", exact=True).select_option(index=2)
    assert changed()


def test_what_is_read_off_is_what_was_recorded(open_page):
    page = open_page("solids")
    data = page.evaluate("JSON.parse(document.getElementById('report-data').textContent)")
    task = data["replays"]["tasks"][0]
    step = task["steps"][-1]
    page.get_by_label("Time in the episode").fill("7")
    words = said(page).replace("\u2212", "-")
    assert f"{sum(step['reward'][:7]):.2f}" in words
    assert f"{step['signal'][6]:.2f} m/s" in words
    assert f"{task['target']:.2f} m/s" in words


def test_the_end_is_said_once_and_nothing_while_it_plays(open_page):
    page = open_page("plane")
    page.evaluate("""() => {
        window.heard = [];
        new MutationObserver(() => heard.push(document.getElementById("replay-status").textContent))
            .observe(document.getElementById("replay-status"), {childList: true});
    }""")
    page.get_by_label("Speed").select_option("4")
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).wait_for()
    heard = page.evaluate("heard")
    assert heard[0] == "Playing."
    assert len(heard) == 2
    assert "Return so far" in heard[1]


@pytest.mark.parametrize(
    # The torso's colour in Gymnasium's model, and that of the second adaptation step.
    ("view", "colour", "least"),
    [("solids", (204, 153, 102), 1000), ("plane", (0, 114, 178), 40)],
)
def test_the_robot_is_in_the_picture(open_page, view, colour, least):
    page = open_page(view, color_scheme="light")
    count = page.locator("canvas").evaluate(
        """(canvas, colour) => {
            const pixels = canvas.getContext("2d")
                .getImageData(0, 0, canvas.width, canvas.height).data;
            let count = 0;
            for (let at = 0; at < pixels.length; at += 4) {
                count += colour.every((value, index) => pixels[at + index] === value);
            }
            return count;
        }""",
        colour,
    )
    assert count > least


def column(page, index):
    cells = page.locator(f"#task-table tbody tr > :nth-child({index + 1})").all_inner_texts()
    return [float(re.split(" ±", cell)[0].replace("\u2212", "-")) for cell in cells]


def test_the_table_sorts_by_mouse_and_by_keyboard(open_page):
    page = open_page("solids")
    before = page.locator("#task-table th", has_text="before")
    button = before.get_by_role("button")
    button.click()
    assert column(page, 2) == sorted(column(page, 2))
    assert before.get_attribute("aria-sort") == "ascending"
    button.press("Enter")
    assert column(page, 2) == sorted(column(page, 2), reverse=True)
    assert before.get_attribute("aria-sort") == "descending"
    gain = page.locator("#task-table th", has_text="gain")
    gain.get_by_role("button").press("Space")
    assert column(page, 5) == sorted(column(page, 5))
    assert page.locator("#task-table th[aria-sort]").count() == 1


def test_a_button_in_the_table_shows_the_replay_of_its_task(open_page):
    page = open_page("solids")
    row = page.locator("#task-table tbody tr", has=page.get_by_role("button")).last
    velocity = float(row.locator("td").first.inner_text())
    row.get_by_role("button").click()
    assert f"velocity {round(velocity, 2):.4g}" in said(page)


@pytest.mark.parametrize(
    ("view", "scheme"), [("plane", "dark"), ("solids", "light"), ("functions", "dark")]
)
def test_a_telephone_shows_it_without_sideways_scrolling(open_page, view, scheme):
    page = open_page(view, width=360, color_scheme=scheme, reduced_motion="reduce")
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert (
        page.locator("svg text").first.evaluate(
            "text => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a"
        )
        >= 11
    )


@pytest.mark.parametrize("view", ["plane", "solids", "functions"])
def test_every_picture_has_words_and_every_chart_its_numbers(open_page, view):
    page = open_page(view)
    nameless = page.evaluate("""() => [...document.querySelectorAll("canvas, svg")].filter(
        (picture) => picture.getAttribute("aria-hidden") !== "true"
            && !(picture.getAttribute("role") === "img"
                 && (picture.getAttribute("aria-label") ?? "").length > 20)).length""")
    assert nameless == 0
    charts = page.locator("figure.chart")
    assert charts.count() > 5
    for chart in charts.all():
        chart.locator("summary").click()
        chart.locator("tbody tr").first.wait_for()
        assert "NaN" not in chart.inner_text()
        assert "undefined" not in chart.inner_text()


def test_the_tab_key_reaches_every_control_and_shows_where_it_is(open_page):
    page = open_page("plane")
    reached = []
    while len(reached) < 200:
        page.keyboard.press("Tab")
        # A radio button is drawn by the text beside it.
        name, outline = page.evaluate("""() => {
            const node = document.activeElement;
            if (node === document.body) return ["", ""];
            const drawn = node.type === "radio" ? node.nextElementSibling : node;
            const name = node.id || node.getAttribute("aria-label") || drawn.textContent;
            return [name.trim(), getComputedStyle(drawn).outlineStyle];
        }""")
        if reached and name in ("", reached[0]):
            break
        assert outline != "none", name
        reached.append(name)
    in_order = [
        *("Skip to the results", "Adaptation", "replay-task", "2", "Play"),
        *("Time in the episode", "replay-speed", "Table of tasks", "task", "meta-iterations"),
    ]
    assert [name for name in reached if name in in_order] == in_order


def test_a_hostile_run_name_is_text(open_page):
    page = open_page("plane")
    assert HOSTILE in page.locator("#subtitle").inner_text()
    assert f"a</{HOSTILE}" in page.locator("#settings").inner_text()
    assert page.locator("b").count() == 0
    assert page.locator("script").count() == 2


def test_the_reference_is_drawn_and_told(open_page):
    page = open_page("plane")
    chart = page.locator("figure.chart").first
    assert "random" in chart.locator(".legend").inner_text()
    chart.locator("summary").click()
    assert "random" in chart.locator("thead").inner_text()


def test_a_supervised_run_shows_losses_and_the_functions_that_its_network_says(open_page):
    page = open_page("functions")
    data = page.evaluate("JSON.parse(document.getElementById('report-data').textContent)")
    shown = [0, 1, 2, 5, 7]
    assert data["adaptation"]["steps"] == shown
    figures = page.locator("#key-figures").inner_text()
    assert "Loss before adapting" in figures and "Loss after 7 steps" in figures
    assert "Return" not in page.locator("body").inner_text()
    assert page.locator("#replays, #trajectories").count() == 0
    assert page.locator("nav a").all_inner_texts() == [
        *("Adaptation", "Functions", "Tasks", "Learning", "Settings")
    ]
    panels = page.locator("#fits figure.chart")
    assert panels.count() == len(data["fits"]["tasks"]) == 6
    # The truth, the network at each of the steps shown, and the support examples.
    assert panels.first.locator("path.line").count() == 1 + len(shown)
    task = data["fits"]["tasks"][0]
    assert panels.first.locator("path.mark").count() == len(task["support"]["x"]) == 5
    row = data["tasks"]["rows"][task["task_index"]]
    amplitude, phase = row["task"]
    assert task["truth"][50] == pytest.approx(amplitude * math.sin(0 - phase), abs=2e-3)
    # What it says comes nearer to the truth, as the curve of losses has it.
    errors = [
        sum((a - b) ** 2 for a, b in zip(task["truth"], said, strict=True))
        for said in task["predictions"]
    ]
    assert (errors[-1] < errors[0]) == (row["values"][-1] < row["values"][0])
    learned = page.locator("#learning")
    assert "as training lowers it" in learned.inner_text()
    assert learned.get_by_role("radio").count() == 0, "there are no env steps to choose"
    gain = page.locator("#task-table th", has_text="gain").get_by_role("button")
    gain.click()
    assert column(page, 8) == sorted(column(page, 8))
