"""What is asked before a job is cancelled or run again.

Each question is a page of its own, with its answer's form; a script shows it in a
dialog of the job's page instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.common.text.printable import harmless
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill, join

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.tools.jobs.control.choices import Choice, Choices
    from dioptra_worker.tools.jobs.job_row import JobRow

MAX_VALUE = 20_000
"""Letters of a value that can be changed here."""
_VALUE = "value:"
"""Begins the name of a field of a parameter."""
_FEW_LETTERS = 60

_ASK = """\
<section class="card ask" id="ask" aria-labelledby="ask-title">
<h1 id="ask-title">{title}</h1>
{problems}
<p>{text}</p>
{answer}
</section>"""

_FORM = """\
<form method="post" action="/jobs/{id}/{action}">
<input type="hidden" name="token" value="{token}">
{fields}
<div class="actions">{buttons}</div>
</form>"""

_BACK = '<a class="button back" href="/jobs/{id}"{first}>{words}</a>'
_DO = '<button type="submit" class="{kind}">{words}</button>'
_FIELD = """\
<div class="field"><label for="{id}">{title} <span class="kind">{kind}</span></label>
{field}</div>"""
_TOO_LONG = """\
<p class="note">{name} has {count} letters, which is too much to be changed here: it
stays as it was.</p>"""


def cancel_page(job: JobRow, *, token: str) -> Html:
    """Whether a job is to be cancelled."""
    if job.has_ended:
        back = fill(_BACK, id=job.id, words="Go back", first=Html(" autofocus"))
        text = f"Job {job.id} has {job.status} already: there is nothing to cancel."
        return _ask("Cancel", text, back)
    text = (
        "Its worker stops it now. What it has stored so far stays, it has failed then,"
        " and its log says who cancelled it."
        if job.status == "started"
        else "It is taken out of its queue, has failed then, and its log says who"
        " cancelled it."
    )
    # Whoever presses Enter at once should not lose anything.
    buttons = [
        fill(_BACK, id=job.id, words="Let it be", first=Html(" autofocus")),
        fill(_DO, kind="danger", words="Cancel the job"),
    ]
    form = _form(job.id, "cancel", token, NOTHING, buttons)
    return _ask(f"Cancel {job.name} #{job.id}?", text, form)


def rerun_page(
    choices: Choices,
    *,
    token: str,
    form: Mapping[str, str] | None = None,
    problem: str = "",
) -> Html:
    """With what a job is to be run again.

    Args:
        choices: What it was given.
        token: What the form must bring.
        form: What was answered before, if that was wrong.
        problem: What was wrong with it, a sentence in each line.
    """
    job, form = choices.job, form or {}
    queue = _input("queue", form.get("queue", job.queue))
    fields = [
        *(_parameter(at, one, form) for at, one in enumerate(choices.parameters)),
        fill(_FIELD, id="queue", title="Queue", kind="", field=queue),
    ]
    buttons = [
        fill(_BACK, id=job.id, words="Go back", first=NOTHING),
        fill(_DO, kind="primary", words="Run again"),
    ]
    values = join(fields)
    text = (
        "A new job is submitted, with the same entrypoint snapshot, inputs and swaps"
        + (", and with these values:" if choices.parameters else ".")
    )
    return _ask(
        f"Run {job.name} #{job.id} again?",
        text,
        _form(job.id, "rerun", token, values, buttons),
        problem,
    )


def changed_values(choices: Choices, form: Mapping[str, str]) -> dict[str, str]:
    """The values of an answered form that are not those that it was shown with."""
    found = {}
    for one in choices.parameters:
        given = form.get(_VALUE + one.name)
        if given is not None and _lines(given) != _lines(harmless(one.text)):
            found[one.name] = _lines(given)
    return found


def changed_queue(choices: Choices, form: Mapping[str, str]) -> str | None:
    """The queue of an answered form, if it is another one."""
    given = form.get("queue", "").strip()
    return given if given not in {"", choices.job.queue} else None


def _ask(title: str, text: str, answer: Html, problem: str = "") -> Html:
    lines = (fill("<li>{line}</li>", line=_sentence(x)) for x in problem.splitlines())
    shown = fill('<ul class="problems" role="alert">{lines}</ul>', lines=join(lines))
    return fill(
        _ASK,
        title=title,
        problems=shown if problem else NOTHING,
        text=text,
        answer=answer,
    )


def _form(
    job_id: int, action: str, token: str, fields: Html, buttons: list[Html]
) -> Html:
    return fill(
        _FORM,
        id=job_id,
        action=action,
        token=token,
        fields=fields,
        buttons=join(buttons),
    )


def _parameter(number: int, one: Choice, form: Mapping[str, str]) -> Html:
    name = _VALUE + one.name
    if len(one.text) > MAX_VALUE:
        return fill(_TOO_LONG, name=one.name, count=f"{len(one.text):,}")
    text = form.get(name, one.text)
    key = f"value-{number}"
    if one.kind == "boolean":
        field = _select(key, name, text)
    elif one.kind in {"list", "mapping"} or len(text) > _FEW_LETTERS or "\n" in text:
        field = _area(key, name, text)
    else:
        field = _input(key, text, name)
    return fill(_FIELD, id=key, title=one.name, kind=one.kind, field=field)


def _input(key: str, text: str, name: str | None = None) -> Html:
    return fill(
        '<input id="{key}" name="{name}" value="{text}" autocomplete="off"'
        ' spellcheck="false">',
        key=key,
        name=name or key,
        text=text,
    )


def _area(key: str, name: str, text: str) -> Html:
    # A browser drops the line end that comes first.
    return fill(
        '<textarea id="{key}" name="{name}" rows="{rows}" autocomplete="off"'
        ' spellcheck="false">\n{text}</textarea>',
        key=key,
        name=name,
        rows=min(8, max(2, len(text) // _FEW_LETTERS + text.count("\n") + 1)),
        text=text,
    )


def _select(key: str, name: str, text: str) -> Html:
    known = ("true", "false")
    chosen = text.lower() if text.lower() in known else text
    values = known if chosen in known else (chosen, *known)
    options = (
        fill(
            '<option value="{value}"{selected}>{value}</option>',
            value=value,
            selected=Html(" selected") if value == chosen else NOTHING,
        )
        for value in values
    )
    return fill(
        '<select id="{key}" name="{name}">{options}</select>',
        key=key,
        name=name,
        options=join(options, ""),
    )


def _lines(text: str) -> str:
    """Text with the line ends of ours: a browser sends those of its own."""
    return text.replace("\r\n", "\n")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
