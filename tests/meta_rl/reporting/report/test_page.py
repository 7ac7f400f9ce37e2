"""The page is one file whose data cannot become part of its code."""

import html.parser
import json
import re

import pytest

from meta_rl.reporting.palette import step_colour
from meta_rl.reporting.report.page import render_page

HOSTILE = "</script x></script><b>&<!--{{style}} \u2028 ${x}"


class Elements(html.parser.HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scripts, self._inside = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "script"

    def handle_data(self, data):
        if self._inside:
            self.scripts[-1] += data


def test_hostile_names_stay_data():
    page = Elements(render_page({"title": HOSTILE, "runs": [HOSTILE]}))
    assert json.loads(page.scripts[0]) == {"title": HOSTILE, "runs": [HOSTILE]}
    assert len(page.scripts) == 2
    # Browsers end a script at more than Python's parser does, for example at "</script x>".
    assert "<" not in page.scripts[0]
    assert "b" not in [tag for tag, _ in page.tags]


def test_the_page_refers_to_nothing_outside_itself():
    page = render_page({"title": "t"})
    for tag, attributes in Elements(page).tags:
        for name in ("src", "href", "action", "poster"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:")), (tag, target)
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttpRequest|import\(", page)
    assert "default-src 'none'" in page


def test_an_adaptation_step_has_one_colour_in_the_page_and_in_the_figures():
    page = render_page({"title": "t"})
    for step in range(8):
        in_daylight = re.search(rf"--step-{step}: (#\w+)", page)
        assert in_daylight[1] == step_colour(step)


def test_every_placeholder_is_filled():
    assert not re.search(r"\{\{\w+\}\}", render_page({"title": "t"}))


def test_a_number_that_json_does_not_know_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        render_page({"title": "t", "value": float("nan")})
