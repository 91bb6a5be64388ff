"""What a check finds: frozen records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What it is, such as ``"Redis persistence"``.
        status: ``ok``, ``warn`` when a worker runs but should not stay so, ``fail``
            when it cannot work.
        detail: What was seen.
        fix: What to do about it; empty when it is ok.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class Result(Finding):
    """A finding, and how long it took.

    Attributes:
        seconds: How long.
    """

    seconds: float

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}" + (f"; {self.fix}" if self.fix else "")


def ok(name: str, detail: str) -> Finding:
    """All is well."""
    return Finding(name=name, status="ok", detail=detail)


def warn(name: str, detail: str, fix: str) -> Finding:
    """A worker runs, but should not stay so."""
    return Finding(name=name, status="warn", detail=detail, fix=fix)


def fail(name: str, detail: str, fix: str) -> Finding:
    """A worker cannot work."""
    return Finding(name=name, status="fail", detail=detail, fix=fix)
