"""The collections of the REST API that are nothing but their calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.sdk.client.endpoints import endpoint
from dioptra_worker.sdk.client.errors import IllegalArgumentError
from dioptra_worker.sdk.client.files import DioptraFile
from dioptra_worker.sdk.client.resources import Collection, Resource

if TYPE_CHECKING:
    from dioptra_worker.sdk.client.transport import Transport

PAGE = "index=0 page_length=10"
SORTED = f"{PAGE} sort_by? descending? search?"
GROUPED = f"group_id? {SORTED}"


class Auth(Collection):
    """Logging in and out."""

    path = "/auth"
    logout = endpoint("POST logout", query="everywhere=False")

    def login(self, username: str, password: str) -> Any:
        """Log in; from then on this client speaks for that user.

        Args:
            username: The user.
            password: The user's password.
        """
        # In a runner, the worker's session must neither answer for a refused login nor
        # take this user's place when theirs runs out.
        self.transport.forget_worker()
        return self.transport.send(
            "POST",
            f"{self.path}/login",
            json={"username": username, "password": password},
        )


class Users(Collection):
    """The users of the platform."""

    path = "/users"
    get = endpoint("GET", query=f"{PAGE} search?")
    get_by_id = endpoint("GET {user_id}")
    get_current = endpoint("GET current")
    modify_current_user = endpoint("PUT current", body="username email")
    delete_current_user = endpoint("DELETE current", body="password")

    def create(self, username: str, email: str, password: str) -> Any:
        """Make a user.

        Args:
            username: The name to log in with.
            email: The address.
            password: The password; it is sent twice, as the API wants it.
        """
        body = {
            "username": username,
            "email": email,
            "password": password,
            "confirmPassword": password,
        }
        return self.transport.send("POST", self.path, json=body)

    def change_password_by_id(
        self, user_id: str | int, old_password: str, new_password: str
    ) -> Any:
        """Change a user's password, also one that has run out.

        Args:
            user_id: The user.
            old_password: The present password.
            new_password: The next one.
        """
        body = {
            "oldPassword": old_password,
            "newPassword": new_password,
            "confirmNewPassword": new_password,
        }
        return self.transport.send("POST", f"{self.path}/{user_id}/password", json=body)

    def change_current_user_password(self, old_password: str, new_password: str) -> Any:
        """Change the password of the user who is logged in.

        Args:
            old_password: The present password.
            new_password: The next one.
        """
        return self.change_password_by_id("current", old_password, new_password)


class Groups(Collection):
    """The groups that own resources."""

    path = "/groups"
    get = endpoint("GET", query=f"{PAGE} search?")
    get_by_id = endpoint("GET {group_id}")


class TagsCollection(Collection):
    """The tags that resources may have."""

    path = "/tags"
    get = endpoint("GET", query=GROUPED)
    get_by_id = endpoint("GET {tag_id}")
    create = endpoint("POST", body="group_id:group name")
    modify_by_id = endpoint("PUT {tag_id}", body="name")
    delete_by_id = endpoint("DELETE {tag_id}")
    get_resources_for_tag = endpoint(
        "GET {tag_id}/resources", query=f"resource_type? {PAGE}"
    )


class Queues(Resource):
    """The queues that workers watch."""

    path = "/queues"
    get = endpoint("GET", query=f"{GROUPED} show_deleted?")
    get_by_id = endpoint("GET {queue_id}")
    create = endpoint("POST", body="group_id:group name description?")
    modify_by_id = endpoint("PUT {queue_id}", body="name description")
    delete_by_id = endpoint("DELETE {queue_id}")


class PluginParameterTypes(Resource):
    """The types of parameters of plugin tasks."""

    path = "/pluginParameterTypes"
    draft_fields = frozenset({"name", "description", "structure"})
    get = endpoint("GET", query=f"{GROUPED} show_deleted?")
    get_by_id = endpoint("GET {plugin_parameter_type_id}")
    create = endpoint("POST", body="group_id:group name description? structure?")
    modify_by_id = endpoint(
        "PUT {plugin_parameter_type_id}", body="name description structure"
    )
    delete_by_id = endpoint("DELETE {plugin_parameter_type_id}")


class ModelVersions(Collection):
    """The versions of a model."""

    path = "/models/{model_id}/versions"
    get = endpoint("GET", query=f"{PAGE} search?")
    get_by_id = endpoint("GET {version_number}")
    create = endpoint("POST", body="artifact_id:artifact description?")
    modify_by_id = endpoint("PUT {version_number}", body="description?")


class Models(Resource):
    """The models, each a series of artifacts."""

    path = "/models"
    get = endpoint("GET", query=GROUPED)
    get_by_id = endpoint("GET {model_id}")
    create = endpoint("POST", body="group_id:group name description?")
    modify_by_id = endpoint("PUT {model_id}", body="name description")
    delete_by_id = endpoint("DELETE {model_id}")

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.versions = ModelVersions(transport)


class Workflows(Collection):
    """Calls that do more than one thing."""

    path = "/workflows"
    analyze_plugin_task_signatures = endpoint(
        "POST pluginTaskSignatureAnalysis", body="python_code"
    )
    commit_draft = endpoint("POST draftCommit/{draft_id}")

    def import_resources(
        self,
        group_id: int,
        source: str | DioptraFile | list[DioptraFile],
        config_path: str | None = None,
        resolve_name_conflicts_strategy: str | None = None,
    ) -> Any:
        """Import plugins, types and entrypoints.

        Args:
            group_id: The group that will own them.
            source: The address of a git repository, an archive, or a list of files.
            config_path: The toml file in the source that lists what to import.
            resolve_name_conflicts_strategy: ``fail``, ``update`` or ``overwrite``.

        Raises:
            IllegalArgumentError: The source is something else.
        """
        form = {"group": str(group_id)}
        files: dict[str, DioptraFile | list[DioptraFile]] = {}
        if isinstance(source, str):
            form |= {"sourceType": "git", "gitUrl": source}
        elif isinstance(source, DioptraFile):
            form["sourceType"], files["archiveFile"] = "upload_archive", source
        elif isinstance(source, list) and all(
            isinstance(file, DioptraFile) for file in source
        ):
            form["sourceType"], files["files"] = "upload_files", source
        else:
            raise IllegalArgumentError(
                "'source' must be the address of a git repository, a DioptraFile with "
                f"an archive, or a list of DioptraFile, not {source!r}"
            )
        if config_path is not None:
            form["configPath"] = config_path
        if resolve_name_conflicts_strategy is not None:
            form["resolveNameConflictsStrategy"] = resolve_name_conflicts_strategy
        return self.transport.send(
            "POST", f"{self.path}/resourceImport", form=form, files=files
        )
