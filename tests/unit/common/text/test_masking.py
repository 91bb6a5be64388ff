"""A mask hides whole secrets, and nothing else."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from requests.utils import requote_uri

from dioptra_worker.common.text.masking import SHORTEST_SECRET, Mask
from dioptra_worker.protocol.messages import Metric

if TYPE_CHECKING:
    from collections.abc import Callable


def test_mask_hides_the_longest_first() -> None:
    """Where one secret begins with another, nothing of the longer one stays."""
    mask = Mask(["swordfish", "swordfish-and-more"])
    assert mask("a swordfish-and-more b swordfish c") == "a *** b *** c"


def test_mask_leaves_short_values_alone() -> None:
    """A secret so short that innocent words hold it hides nothing."""
    short = "a" * (SHORTEST_SECRET - 1)
    assert Mask([short, ""])(f"{short} banana") == f"{short} banana"
    assert Mask([short + "a"])(f"is {short}a") == "is ***"


PASSWORDS = ["p@ss/w+rd%21", "swordfish", "with blank & <tag>", 'qu"o\\te', "pässwörd→"]


@pytest.mark.parametrize("secret", PASSWORDS)
@pytest.mark.parametrize(
    "spelling",
    [
        lambda s: quote(s, safe=""),
        quote,
        quote_plus,
        lambda s: quote(quote(s, safe=""), safe=""),
        lambda s: requote_uri(f"http://h/?{s}").partition("?")[2],
        lambda s: re.sub("%..", lambda code: code[0].lower(), quote(s, safe="")),
        html.escape,
        lambda s: json.dumps({"a": s}),
        lambda s: json.dumps(json.dumps(s)),
        repr,
        lambda s: repr({"a": [s]}),
        lambda s: base64.b64encode(s.encode()).decode(),
        lambda s: base64.b64encode(f"user:{s}".encode()).decode(),
        lambda s: base64.b64encode(f"a:{s}".encode()).decode(),
        lambda s: base64.urlsafe_b64encode(f"ab:{s} and more".encode()).decode(),
    ],
)
def test_spellings(secret: str, spelling: Callable[[str], str]) -> None:
    """However a secret is written, not half of it is left."""
    text = spelling(secret)
    hidden = Mask([secret])(f"before {text} after")
    assert "***" in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")
    left = hidden.removeprefix("before ").removesuffix(" after").replace("***", "")
    assert len(left) <= max(20, len(text) // 2) or secret.isascii() is False
    assert secret not in hidden
    assert text not in hidden


def test_learn() -> None:
    """A mask that learns a secret hides those before it, too, but of one source."""
    mask = Mask(["swordfish"])
    mask.learn("swordfish-and-more", "", source="session")
    assert mask("a swordfish-and-more b swordfish c") == "a *** b *** c"
    mask.learn("correct-horse", source="session")
    assert mask("swordfish-and-more correct-horse") == "***-and-more ***"


def test_record() -> None:
    """Every text of a record is masked, and nothing else is changed."""
    metric = Metric(name="loss of swordfish", value=0.5, step=3)
    mask = Mask(["swordfish"])
    assert mask.record(metric) == Metric(name="loss of ***", value=0.5, step=3)
    other = Metric(name="loss", value=0.5, step=3)
    assert mask.record(other) is other
