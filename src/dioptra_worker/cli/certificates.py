"""That a service's certificate is not looked at, told at the start."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import click

from dioptra_worker.broker import address
from dioptra_worker.certificates import unverified
from dioptra_worker.common.text.printable import spelt_out

if TYPE_CHECKING:
    from dioptra_worker.settings import Settings

log = logging.getLogger("dioptra_worker.daemon")


def log_unverified(settings: Settings) -> None:
    """Log which settings of a worker have a certificate not looked at."""
    url = settings.redis_url.get_secret_value()
    for words, instead in (*unverified(os.environ), *address.unverified(url)):
        log.warning("%s; %s", words, instead, extra={"event": "unverified-tls"})


def print_unverified() -> None:
    """Tell, where there is no daemon, which variables have that."""
    for words, instead in unverified(os.environ):
        click.echo(f"warning: {spelt_out(words)}; {instead}", err=True)
