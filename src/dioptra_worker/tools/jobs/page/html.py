"""Makes HTML out of templates, escaping all that is not HTML already."""

from __future__ import annotations

import html
import string
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.text.printable import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable


class Html(str):
    """Text that is HTML; only this module and templates make it."""

    __slots__ = ()


class _Escaping(string.Formatter):
    """Fills in values, escaped for text and for attributes in double quotes."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Html):
            return str(value)
        return html.escape(harmless(format(value, format_spec)), quote=True)


_escaping = _Escaping()


def fill(template: str, /, **values: object) -> Html:
    """Fill in a template.

    Args:
        template: HTML with ``{name}`` where a value goes: between tags, or in an
            attribute in double quotes.
        **values: The values. What is not `Html` is escaped, and does no harm.
    """
    return Html(_escaping.vformat(template, (), values))


def join(parts: Iterable[Html], between: str = "\n") -> Html:
    """Put HTML together."""
    return Html(between.join(parts))


NOTHING = Html("")
