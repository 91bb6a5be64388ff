"""The client as a whole, and the two ways to connect it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from dioptra_worker.sdk.client.artifacts import Artifacts
from dioptra_worker.sdk.client.collections import (
    Auth,
    Groups,
    Models,
    PluginParameterTypes,
    Queues,
    TagsCollection,
    Users,
    Workflows,
)
from dioptra_worker.sdk.client.entrypoints import Entrypoints
from dioptra_worker.sdk.client.jobs import Experiments, Jobs
from dioptra_worker.sdk.client.plugins import Plugins
from dioptra_worker.sdk.client.transport import DioptraResponseProtocol, Transport

if TYPE_CHECKING:
    from dioptra_worker.sdk.worker.bridge import Bridge

ADDRESS_VARIABLE: Final = "DIOPTRA_API"

T = TypeVar("T")


class DioptraClient(Generic[T]):
    """A client of the REST API; one attribute per collection.

    They are ``users``, ``auth``, ``queues``, ``tags``, ``groups``, ``plugins``,
    ``plugin_parameter_types``, ``experiments``, ``jobs``, ``entrypoints``, ``models``,
    ``artifacts`` and ``workflows``.

    Args:
        transport: What sends its requests.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.users = Users(transport)
        self.auth = Auth(transport)
        self.queues = Queues(transport)
        self.tags = TagsCollection(transport)
        self.groups = Groups(transport)
        self.plugins = Plugins(transport)
        self.plugin_parameter_types = PluginParameterTypes(transport)
        self.experiments = Experiments(transport)
        self.jobs = Jobs(transport)
        self.entrypoints = Entrypoints(transport)
        self.models = Models(transport)
        self.artifacts = Artifacts(transport)
        self.workflows = Workflows(transport)

    def close(self) -> None:
        """Close the connections; the client can be used again."""
        self._transport.close()


def connect_json_dioptra_client(
    address: str | None = None,
) -> DioptraClient[dict[str, Any]]:
    """Connect a client that returns parsed JSON and raises `StatusCodeError`.

    Args:
        address: The platform's address, such as ``https://dioptra.example.org``; by
            default the environment variable ``DIOPTRA_API``.

    Raises:
        ValueError: There is neither an address nor the variable.
    """
    return DioptraClient(Transport(_address(address), parse=True))


def connect_response_dioptra_client(
    address: str | None = None,
) -> DioptraClient[DioptraResponseProtocol]:
    """Connect a client that returns response objects, whatever their status.

    Args:
        address: The platform's address, such as ``https://dioptra.example.org``; by
            default the environment variable ``DIOPTRA_API``.

    Raises:
        ValueError: There is neither an address nor the variable.
    """
    return DioptraClient(Transport(_address(address), parse=False))


def connect_worker_client(
    bridge: Bridge, client_type: Literal["json", "response"]
) -> DioptraClient[Any]:
    """Connect a client that speaks with the worker's session, in a runner.

    Args:
        bridge: The runner's bridge.
        client_type: The flavour of its answers.
    """
    transport = Transport(None, parse=client_type == "json", bridge=bridge)
    return DioptraClient(transport)


def _address(address: str | None) -> str:
    found = address or os.environ.get(ADDRESS_VARIABLE)
    if not found:
        raise ValueError(
            f"no address of the Dioptra API: give one, or set {ADDRESS_VARIABLE}, such "
            "as http://localhost:5000"
        )
    return found
