"""What is asked before something is done to several jobs, and what came of it.

The question is a page of its own, with its answer's form; a script shows it in a dialog
of the list instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from dioptra_worker.common.text.humanize import size
from dioptra_worker.tools.jobs.page.chosen.selection import field, jobs_in_words
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill, join
from dioptra_worker.tools.jobs.page.layout import pill

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dioptra_worker.api.models import Artifact
    from dioptra_worker.tools.jobs.job_row import JobRow
    from dioptra_worker.tools.jobs.page.chosen.acts import Outcome, Said

ARCHIVE = "/chosen/artifacts.zip"
"""Where artifacts of several jobs are had in one file."""

_ASK = """\
<section class="card ask" id="ask" aria-labelledby="ask-title">
<h1 id="ask-title">{title}</h1>
<p>{text}</p>
{jobs}{left_out}
{form}
</section>"""
_JOBS = """\
<ul class="named" tabindex="0" aria-label="{label}">{lines}</ul>"""
_JOB = '<li>{name} <span class="id">#{id}</span> {more}</li>'
_FORM = """\
<form method="{method}" action="{action}">
{fields}
<div class="actions">
<a class="button back" href="{back}" autofocus>{leave}</a>
{do}
</div></form>"""
_HIDDEN = '<input type="hidden" name="{name}" value="{value}">'
_DO = '<button type="submit" class="{kind}">{words}</button>'

_OUTCOME = """\
<section class="card ask" aria-labelledby="ask-title">
<h1 id="ask-title">{title}</h1>
{failed}{done}
<div class="actions"><a class="button" href="{back}">Back to the jobs</a></div>
</section>"""
_DONE = '<ul class="named">{lines}</ul>'
_FAILED = '<ul class="problems" role="alert">{lines}</ul>'


@dataclass(frozen=True)
class _Kind:
    """What can be done to jobs, in words.

    Attributes:
        verb: What a title begins with.
        after: What stands behind the jobs in it.
        text: What comes of it.
        done: What jobs are when it is done.
        button: How its button looks.
        leave: What its other button says.
        not_of: Why it is not done to a job of that status, by whether it has ended.
    """

    verb: str
    text: str
    done: str
    after: str = ""
    button: str = "primary"
    leave: str = "Go back"
    not_of: tuple[str, bool] | None = None

    def of(self, count: int) -> str:
        """It, of so many jobs."""
        return f"{self.verb} {jobs_in_words(count)}{self.after}"

    def applies(self, job: JobRow) -> bool:
        """Whether it can be done to a job."""
        return self.not_of is None or job.has_ended != self.not_of[1]


KINDS = {
    "cancel": _Kind(
        verb="Cancel",
        text="What waits is taken out of its queue, and what runs is stopped now. What"
        " was stored so far stays; each has failed then, and its log says who"
        " cancelled it.",
        done="cancelled",
        button="danger",
        leave="Let them be",
        not_of=("has ended already", True),
    ),
    "rerun": _Kind(
        verb="Run",
        after=" again",
        text="For each a new job is submitted, with the same entrypoint snapshot,"
        " values, inputs and swaps. A job's own page has Re-run with other values.",
        done="submitted again",
    ),
    "delete": _Kind(
        verb="Delete",
        text="The API forgets them, and no list shows them any more. What they have"
        " stored stays in MLflow and in the artifact store.",
        done="deleted",
        button="danger",
        leave="Keep them",
        not_of=("has not ended: cancel it first", False),
    ),
}


def question_page(
    kind: str,
    jobs: Sequence[JobRow],
    gone: Sequence[int],
    *,
    token: str,
    back: Mapping[str, str],
) -> Html:
    """Whether something is to be done to jobs.

    Args:
        kind: One of `KINDS`.
        jobs: The jobs that were chosen.
        gone: Those of them that there are not.
        token: What the form must bring.
        back: The query of the list in which they were chosen.
    """
    words = KINDS[kind]
    fit = [job for job in jobs if words.applies(job)]
    why = words.not_of[0] if words.not_of else ""
    left_out = [f"{job.name} #{job.id} {why}" for job in jobs if job not in fit]
    left_out += [f"#{job_id} is no longer there" for job_id in gone]
    hidden = {"token": token, "do": kind, "back": urlencode(back)}
    do = fill(_DO, kind=words.button, words=words.of(len(fit)))
    form = _form("post", "/chosen", hidden, fit, back, words.leave, do if fit else None)
    return _ask(
        f"{words.of(len(fit))}?" if fit else f"There is nothing to {kind}",
        words.text if fit else "",
        [(job, pill(job.status)) for job in fit],
        left_out,
        form,
    )


def download_page(
    found: Sequence[tuple[JobRow, Sequence[Artifact]]],
    gone: Sequence[int],
    *,
    back: Mapping[str, str],
) -> Html:
    """Whether the artifacts of jobs are to be had in one file.

    Args:
        found: The jobs that were chosen, and their artifacts.
        gone: Those of them that there are not.
        back: The query of the list in which they were chosen.
    """
    fit = [(job, artifacts) for job, artifacts in found if artifacts]
    left_out = [f"{job.name} #{job.id} has none" for job, has in found if not has]
    left_out += [f"#{job_id} is no longer there" for job_id in gone]
    jobs = [job for job, _ in fit]
    do = fill(_DO, kind="primary", words=f"Download from {jobs_in_words(len(fit))}")
    form = _form("get", ARCHIVE, {}, jobs, back, "Go back", do if fit else None)
    text = (
        "They come in one zip file, with a folder for each job; what was a folder is a"
        " .tar.gz in it. `dioptra-worker jobs capsule` puts all of a job into one file,"
        " code and log, too."
    )
    return _ask(
        f"Download the artifacts of {jobs_in_words(len(fit))}?"
        if fit
        else "There is nothing to download",
        text if fit else "",
        [(job, _sizes(artifacts)) for job, artifacts in fit],
        left_out,
        form,
    )


def outcome_page(outcome: Outcome) -> Html:
    """What came of each job; what failed comes first."""
    failed = [said for said in outcome.said if not said.is_done]
    done = [said for said in outcome.said if said.is_done]
    count = jobs_in_words(len(outcome.said))
    all_of = count if len(done) == len(outcome.said) else f"{len(done)} of {count}"
    verb = "was" if len(outcome.said) == 1 else "were"
    return fill(
        _OUTCOME,
        title=f"{all_of} {verb} {KINDS[outcome.kind].done}",
        failed=_list(_FAILED, failed),
        done=_list(_DONE, done),
        back=list_address(outcome.back),
    )


def list_address(query: Mapping[str, str]) -> str:
    """Where the list is that jobs were chosen in."""
    return f"/?{urlencode(query)}" if query else "/"


def _list(template: str, said: Iterable[Said]) -> Html:
    lines = [_said(one) for one in said]
    return fill(template, lines=join(lines)) if lines else NOTHING


def _said(said: Said) -> Html:
    new = fill('<a href="/jobs/{id}">#{id}</a>', id=said.new)
    return fill(
        "<li>{mark}{name} #{id}: {words} {new}</li>",
        mark=Html('<span aria-hidden="true">✓</span> ') if said.is_done else NOTHING,
        name=said.name or "Job",
        id=said.job_id,
        words=said.words,
        new=new if said.new is not None else NOTHING,
    )


def _ask(
    title: str,
    text: str,
    jobs: Iterable[tuple[JobRow, Html]],
    left_out: Sequence[str],
    form: Html,
) -> Html:
    lines = [fill(_JOB, name=job.name, id=job.id, more=more) for job, more in jobs]
    not_so = [fill("<li>{line}</li>", line=line) for line in left_out]
    return fill(
        _ASK,
        title=title,
        text=text,
        jobs=fill(_JOBS, label="Jobs", lines=join(lines)) if lines else NOTHING,
        left_out=fill(
            '<p class="note">Left out:</p>{list}',
            list=fill(_JOBS, label="Left out", lines=join(not_so)),
        )
        if not_so
        else NOTHING,
        form=form,
    )


def _form(
    method: str,
    action: str,
    hidden: Mapping[str, str],
    jobs: Iterable[JobRow],
    back: Mapping[str, str],
    leave: str,
    do: Html | None,
) -> Html:
    fields = {**hidden, **{field(job.id): "on" for job in jobs}}
    return fill(
        _FORM,
        method=method,
        action=action,
        fields=join(fill(_HIDDEN, name=k, value=v) for k, v in fields.items()),
        back=list_address(back),
        leave=leave if do else "Go back",
        do=do or NOTHING,
    )


def _sizes(artifacts: Sequence[Artifact]) -> Html:
    known = [artifact.size for artifact in artifacts if artifact.size is not None]
    words = "1 artifact" if len(artifacts) == 1 else f"{len(artifacts)} artifacts"
    if len(known) == len(artifacts):
        words += f", {size(sum(known))}"
    return fill('<span class="size">{words}</span>', words=words)
