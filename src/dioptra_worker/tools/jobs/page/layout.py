"""What every page has: its head and its bar; and pages that say one sentence."""

from __future__ import annotations

from dioptra_worker.tools.jobs.page.html import Html, fill

_LAYOUT = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/style.css">
<link rel="stylesheet" href="/static/results.css">
<link rel="stylesheet" href="/static/print.css" media="print">
<script src="/static/page.js" defer></script>
<script src="/static/charts.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="bar">
<a class="brand" href="/"><img src="/static/icon.svg" alt="" width="22" height="22">
Jobs</a>
<span class="who">{user} <span class="where">at {place}</span></span>
</header>
<p id="trouble" class="trouble" role="alert" hidden></p>
<main id="main">
{body}
</main>
</body>
</html>
"""


def page(title: str, body: Html, *, user: str, place: str) -> Html:
    """A whole page."""
    return fill(_LAYOUT, title=title, body=body, user=user, place=place)


def sentence(text: str) -> Html:
    """A page's body that says why there is nothing else."""
    return fill(
        '<section class="card message"><h1>{text}</h1>'
        '<p><a href="/">All jobs</a></p></section>',
        text=text,
    )


def pill(status: str) -> Html:
    """A status, told by colour, mark and word."""
    marks = {"finished": "✓", "failed": "✗", "started": "▸"}
    return fill(
        '<span class="pill {status}"><span aria-hidden="true">{mark}</span>'
        " {status}</span>",
        status=status,
        mark=marks.get(status, "·"),
    )
