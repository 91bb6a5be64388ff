"""What an import says was there before."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from tests.unit.api.scripted import Answer, Request, ScriptedApi

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.user_client import UserClient
from dioptra_worker.tools.resources.changes import look
from dioptra_worker.tools.resources.folders import find_folders

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.tools.resources.changes import Changes

TOML = """
[[plugin_param_types]]
name = "numbers"
structure = { list = "integer" }
[[plugin_param_types]]
name = "model"
[[plugin_param_types]]
name = "new"
[[plugins]]
path = "greet"
"""
THERE: dict[str, list[dict[str, Any]]] = {
    "pluginParameterTypes/": [
        {"name": "numbers", "structure": {"list": "number"}, "group": {"id": 1}},
        {"name": "model", "structure": {}, "group": {"id": 1}},
        {"name": "new", "structure": None, "group": {"id": 2}},
        {"name": "else", "structure": None, "group": {"id": 1}},
        {"name": "MODEL", "structure": {"list": "any"}, "group": {"id": 1}},
        {"name": "  blanks", "structure": None, "group": {"id": 1}},
    ],
    "plugins/": [{"name": "greet", "group": {"id": 1}}],
}


def _answer(request: Request) -> Answer:
    """Search as the API does: by a pattern, blind to case and to blanks before it."""
    pattern = request.query["search"].removeprefix('name:"').removesuffix('"').strip()
    data = [
        {"id": i, **one}
        for i, one in enumerate(THERE[request.path], start=1)
        if fnmatch(one["name"].lower(), pattern.lower())
    ]
    return Answer(body={"data": data, "totalNumResults": len(data)})


def _look(folder: Path, toml: str) -> tuple[Changes, list[Request]]:
    """What an import of a folder finds there, and what it asks."""
    (folder / "greet").mkdir()
    (folder / "dioptra.toml").write_text(toml)
    (found,) = find_folders([folder])
    with (
        ScriptedApi(_answer).running() as server,
        DioptraApi(url=server.url, username="me", password="x") as api,
    ):
        return look(UserClient(api), found, group=1), server.requests


def test_types_that_mean_something_else(tmp_path: Path) -> None:
    """A type with another structure is redefined; what others own is not ours."""
    before, _ = _look(tmp_path, TOML)
    assert before.plugins == ("greet",)
    assert before.types == ("model",)
    assert before.redefined == {"numbers": ({"list": "number"}, {"list": "integer"})}
    (sentence,) = before.sentences()
    assert sentence.startswith('type \'numbers\' was {"list": "number"} and is {')


def test_each_name_is_one_request(tmp_path: Path) -> None:
    """Only what has a name is asked for: a platform may have thousands of others."""
    _, requests = _look(tmp_path, TOML)
    asked = [(request.path, request.query["search"]) for request in requests]
    assert asked == [
        ("pluginParameterTypes/", 'name:"numbers"'),
        ("pluginParameterTypes/", 'name:"model"'),
        ("pluginParameterTypes/", 'name:"new"'),
        ("plugins/", 'name:"greet"'),
    ]


def test_only_the_very_name(tmp_path: Path) -> None:
    """A name may begin with blanks, and another differ from it by case only."""
    toml = '[[plugin_param_types]]\nname = "  blanks"\n'
    assert _look(tmp_path, toml)[0].types == ("  blanks",)
