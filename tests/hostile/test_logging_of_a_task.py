"""What a task does to logging silences the job's own words in no way.

Attack: `logging.config.dictConfig`, whose default disables the loggers that there are;
`logging.disable`; handlers that are removed; streams that are closed or led elsewhere;
hooks that are replaced. Promise: steps, and the traceback of the
failure, are in the job's log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.conftest import Ran

DEEDS = {
    "dictConfig": "logging.config.dictConfig({'version': 1})",
    "disable": "logging.disable(logging.CRITICAL)",
    "no handlers": "logging.getLogger().handlers.clear()",
    "our logger": "logging.getLogger('dioptra_worker').setLevel(100)",
    "our loggers": "[setattr(logging.getLogger(n), 'disabled', True) for n in"
    " list(logging.Logger.manager.loggerDict)]",
    "level": "logging.getLogger().setLevel(100)",
    "basicConfig": "logging.basicConfig(force=True, stream=open(os.devnull, 'w'))",
    "shutdown": "logging.shutdown()",
    "streams": "sys.stdout.close(); sys.stderr = sys.__stderr__ = None",
    "descriptors": "[os.dup2(os.open(os.devnull, os.O_WRONLY), fd) for fd in (1, 2)]",
    "hooks": "sys.excepthook = threading.excepthook = sys.unraisablehook = print;"
    " faulthandler.disable(); warnings.simplefilter('ignore')",
    "formatters": "[h.setFormatter(None) for h in logging.getLogger().handlers]",
}


@pytest.mark.parametrize("deed", DEEDS)
def test_the_traceback_is_told(deed: str, run_task: Callable[[str], Ran]) -> None:
    """Whatever a task did to logging, the line that failed is in the log."""
    ran = run_task(f"""
        import faulthandler, threading, warnings

        def inner(rows):
            return rows["no such column"]

        @pyplugs.register
        def act():
            {DEEDS[deed]}
            inner({{}})
        """)
    assert ran.status == "failed"
    assert 'return rows["no such column"]' in ran.text.replace('\\"', '"')
    assert "step 1 of 1: 'acting' runs task 'act'" in ran.text
