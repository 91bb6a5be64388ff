"""The page of `jobs serve` is its user's alone, though anybody can connect to it.

Attack: another account of the machine, or a page of another site, connects to the port.
Promise: nothing but "open the address that was printed" is answered, whatever is asked
for and whatever cookie or token is made up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.unit.tools.jobs.browsing import TOKEN, Browser, serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="browser")
def _browser() -> Iterator[Browser]:
    with serving_page(Dioptra()) as browser:
        yield browser


@pytest.mark.parametrize("cookie", ["", "dioptra-jobs", "{name}=x", "{name}=", "\x7f="])
@pytest.mark.parametrize(
    "path", ["/", "/jobs/7", "/jobs/7/log", "/static/page.js", "/?token=", "/?token=é"]
)
def test_nothing_is_shown_to_who_has_not_the_secret(
    path: str, cookie: str, browser: Browser
) -> None:
    """Neither a page nor a part of one, whatever is made up."""
    made_up = cookie.format(name=browser.server.cookie)
    found = browser.get(path.replace("é", "%C3%A9"), Cookie=made_up)
    assert found.status == 401
    assert "jobs serve" in found.text
    assert browser.server.secret not in str(found.headers) + found.text


def test_nothing_is_done_for_who_has_not_the_secret(browser: Browser) -> None:
    """Not even with the token of a form, nor with the secret in a form's address."""
    secret = urlsplit(browser.server.sign_in).query
    for path in ("/jobs/7/rerun", f"/jobs/7/cancel?{secret}"):
        found = browser.post(path, {"token": TOKEN}, Cookie="")
        assert found.status == 401
        assert "Set-Cookie" not in found.headers


@pytest.mark.parametrize("path", ["/jobs/7", "//evil.example/", "/?queue=a"])
def test_the_printed_address_lets_in(path: str, browser: Browser) -> None:
    """The secret becomes a cookie that no script reads, and leaves the address."""
    joint = "&" if "?" in path else "?"
    secret = urlsplit(browser.server.sign_in).query
    found = browser.get(f"{path}{joint}{secret}", Cookie="")
    assert found.status == 303
    assert found.headers["Location"] == "/" + path.lstrip("/")
    assert browser.server.secret in found.headers["Set-Cookie"]
    assert "HttpOnly; SameSite=Lax" in found.headers["Set-Cookie"]
    host = browser.get(f"/?{secret}", Cookie="", Host="evil.example")
    assert host.status == 403
