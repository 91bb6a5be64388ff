"""What a job relies on in the system: files, folders, devices, with which rights.

All of it is looked up as the worker, which sees it all; the trial then asks the same as
a job's user. Some of it every job needs. The rest is what a job may have relied on as
long as it was the worker's own user: nobody has said so, but it can be seen.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dioptra_worker.credentials import PERSONAL_NAMES, SECRET_NAMES
from dioptra_worker.homes import KEPT
from dioptra_worker.supervision.job_users.gpus import gpu_devices

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

FILES = (
    *("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
    *("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"),
    *("GOOGLE_APPLICATION_CREDENTIALS", "SSL_CERT_DIR"),
)
"""Variables that name files which a job's libraries read."""

OPEN_TO_READ = "let others read it and enter each folder above it"
OPEN_TO_WRITE = "let others write to it"
_READ, _USE = os.R_OK, os.R_OK | os.X_OK
_MAX_ENTRIES = 2000
"""How many entries of one folder are looked at."""

_OF_SESSIONS = {
    *("HOME", "PWD", "OLDPWD", "SHELL", "MAIL", "_", "TMPDIR", "TEMP", "TMP"),
    *("XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "XAUTHORITY", "ICEAUTHORITY"),
    *("PIP_CACHE_DIR", "UV_CACHE_DIR"),
}
"""Variables whose folders are nobody's need, or are looked at by themselves."""
_WRITTEN = ("CACHE", "CACHE_DIR", "CACHE_PATH", "CACHE_HOME", "CONFIGDIR", "OUTPUT_DIR")
"""Ends of the names of variables whose folders programs write to."""
_PSEUDO = {
    *("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "devtmpfs", "debugfs"),
    *("tracefs", "securityfs", "pstore", "bpf", "configfs", "fusectl", "hugetlbfs"),
    *("efivarfs", "binfmt_misc", "autofs", "nsfs", "rpc_pipefs", "squashfs", "ramfs"),
}
"""File systems that hold no data."""
_OF_SYSTEM = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/nix", "/proc"),
    *("/run", "/sbin", "/snap", "/sys", "/tmp", "/usr"),  # noqa: S108
    *("/var/lib", "/var/run", "/var/tmp"),  # noqa: S108
)
"""Where what is mounted is the system's; below it, too."""
_ROOMS = (
    *("/", "/home", "/media", "/mnt", "/opt", "/srv"),
    *("/var", "/var/cache", "/var/log"),
)
"""Where what is mounted holds others' folders, and is itself the system's."""
_SECRETS = ("/run/secrets", "/var/run/secrets")
"""Where containers are given secrets."""
_ADDRESSES = ("file://", "sqlite:///")
"""How the addresses of files begin, which programs write to."""
_IN_HOME = (".ssh",)
"""Hidden folders of a home that programs use, whatever `HOME` says."""


class Need(NamedTuple):
    """A file or folder that a job relies on.

    Attributes:
        path: Where it is.
        rights: As `os.access` takes them.
        why: What it is to a job, after the file's name.
        remedy: What to do where a job's user has not these rights.
    """

    path: str
    rights: int
    why: str
    remedy: str = OPEN_TO_READ


def needs_of_all_jobs(environment: Mapping[str, str]) -> Iterator[Need]:
    """What a job's process needs: Python, all that is installed, files named to it.

    Args:
        environment: What runners see.
    """
    why = "which jobs need"
    yield Need(sys.executable, _USE, why)
    yield Need(os.path.realpath(sys.executable), _USE, why)
    searched = environment.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    for place in (*sys.path, *searched):
        if place.startswith("/"):
            yield from _readable(place, why)
            yield from (Need(entry, rights, why) for entry, rights in _entries(place))
    for name in FILES:
        if path := environment.get(name):
            yield from _readable(path, why)
    shared_memory = "/dev/shm"  # noqa: S108 - as Linux calls it
    if Path(shared_memory).is_dir():
        yield Need(shared_memory, _USE | os.W_OK, why, "it should have mode 1777")


def needs_of_gpus() -> Iterator[Need]:
    """The files of GPUs."""
    remedy = "let others, or a group other than root's, use it"
    for device in gpu_devices():
        yield Need(str(device), os.R_OK | os.W_OK, "which is a GPU", remedy)


def needs_of_the_workers_user(
    environment: Mapping[str, str],
    *,
    private: Collection[Path],
    mounts: Path = Path("/proc/self/mountinfo"),
) -> Iterator[Need]:
    """What a job may have relied on as the worker's user, as far as it can be seen.

    Args:
        environment: What runners see.
        private: Files and folders that are the worker's own, and none of a job's.
        mounts: Says what is mounted, as `proc(5)` has it.
    """
    homes = {environment.get("HOME") or "/"}
    with contextlib.suppress(KeyError):  # a user without an account
        homes.add(pwd.getpwuid(os.geteuid()).pw_dir)
    homes.discard("/")
    found = [*_named(environment), *_mounted(mounts, homes)]
    found += [need for home in homes for need in _in_home(home)]
    above = {parent for path in private for parent in path.parents}
    for need in found:
        path = Path(need.path)
        if path not in above and not {path, *path.parents}.intersection(private):
            yield need


def _named(environment: Mapping[str, str]) -> Iterator[Need]:
    """Files and folders that variables name."""
    of_secrets = {f"{name}_FILE" for name in (*SECRET_NAMES, *PERSONAL_NAMES)}
    for name, value in environment.items():
        if name in _OF_SESSIONS | of_secrets or name.startswith("DIOPTRA_WORKER_"):
            continue
        why = f"which {name} names"
        is_address = value.startswith(_ADDRESSES)
        for text in [value] if is_address else value.split(os.pathsep):
            for beginning in _ADDRESSES:
                text = text.removeprefix(beginning)  # noqa: PLW2901
            if not text.startswith("/"):
                continue
            if is_address or name in KEPT or name.endswith(_WRITTEN):
                yield _writable(_nearest(text), why)
            else:
                yield from _readable(text, why)


def _nearest(path: str) -> str:
    """The path itself, or what of it is there."""
    while not _is_there(path):
        path = str(Path(path).parent)
    return path


def _is_there(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - `Path` raises for names too long


def _writable(path: str, why: str) -> Need:
    rights = _USE if Path(path).is_dir() else _READ
    return Need(path, rights | os.W_OK, why, OPEN_TO_WRITE)


def _readable(path: str, why: str) -> Iterator[Need]:
    if _is_there(path):
        yield Need(path, _USE if Path(path).is_dir() else _READ, why)


def _mounted(mounts: Path, homes: Collection[str]) -> Iterator[Need]:
    """Volumes and secrets of a container, data disks of a machine."""
    for place in map(Path, _mount_points(mounts)):
        above = {str(each) for each in (place, *place.parents)}
        is_secret = bool(above & set(_SECRETS))
        is_systems = str(place) in _ROOMS or bool(above & {*_OF_SYSTEM, *homes})
        if is_systems and not is_secret and not place.is_socket():  # as Docker's
            continue
        yield from _contents(str(place), "which is mounted", are_written=not is_secret)


def _mount_points(mounts: Path) -> Iterator[str]:
    try:
        text = mounts.read_text(errors="surrogateescape")
    except OSError:
        return
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) > 4 and kinds and kinds[0] not in _PSEUDO:
            yield re.sub(
                r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4]
            )


def _in_home(home: str) -> Iterator[Need]:
    """What a home has beside what every home has."""
    for entry, _ in _entries(home):
        name = Path(entry).name
        if not name.startswith(".") or name in _IN_HOME:
            yield from _contents(entry, "which is in the worker's home")


def _contents(place: str, why: str, *, are_written: bool = True) -> Iterator[Need]:
    """Something, and what is in it if it is a folder."""
    for path in (place, *(entry for entry, _ in _entries(place))):
        if Path(path).name == "lost+found":
            continue
        if are_written and _is_there(path):
            yield _writable(path, why)
        else:
            yield from _readable(path, why)


def _entries(folder: str) -> list[tuple[str, int]]:
    """What is in a folder, and how it is used; of links, those that lead somewhere."""
    try:
        with os.scandir(folder) as entries:
            return [
                (entry.path, _USE if entry.is_dir() else _READ)
                for entry in islice(entries, _MAX_ENTRIES)
                if not entry.is_symlink() or _is_there(entry.path)
            ]
    except OSError:
        return []


def within_our_rights(need: Need) -> Need:
    """The same without rights that we have not ourselves: nobody has missed those."""
    ours = (os.R_OK, os.W_OK, os.X_OK)
    held = [r for r in ours if need.rights & r and os.access(need.path, r)]
    return need._replace(rights=sum(held))
