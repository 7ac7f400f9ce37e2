"""One HTML file out of the page's parts and the values that it shows."""

import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

# In the order in which they use each other.
_SCRIPTS = (
    "dom.js",
    "format.js",
    "colours.js",
    "chart.js",
    "summary.js",
    "adaptation.js",
    "replay_scene.js",
    "replay_player.js",
    "trajectories.js",
    "fits.js",
    "task_table.js",
    "learning.js",
    "main.js",
)


def render_page(data: Mapping[str, Any]) -> str:
    """The report's page, which needs nothing beside itself.

    Args:
        data: plain values, as ``report_data`` gathers them; ``title`` names the page.

    Raises:
        ValueError: a number in it is not finite.
    """
    script = "\n".join(_part(name) for name in _SCRIPTS)
    contents = {
        "title": html.escape(data["title"]),
        "style": _part("report.css"),
        "data": _json_inside_html(data),
        # A scope of its own: names of the script and of the browser do not meet.
        "script": f"(() => {{\n{script}\n}})();",
    }
    # In one pass, so that nothing that looks like a placeholder in the contents is one.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: contents[match[1]], _part("report.html"))


def _part(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")


def _json_inside_html(data: Mapping[str, Any]) -> str:
    """JSON in which nothing can end the script element around it or open another."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
