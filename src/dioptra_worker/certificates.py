"""Which variables say whose certificates are believed, and which turn that off.

They are those of MLflow, boto3 and requests, which jobs use, too. To some of these an
empty variable means to look at no certificate at all. Here, as in Compose and in a
shell, it is one that nobody has set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

S3_SWITCH = "MLFLOW_S3_IGNORE_TLS"
_SWITCHES = {
    "MLFLOW_TRACKING_INSECURE_TLS": ("MLflow", "MLFLOW_TRACKING_SERVER_CERT_PATH"),
    S3_SWITCH: ("S3", "AWS_CA_BUNDLE"),
}
"""What each of them turns off, and what names certificates to believe instead."""
_BUNDLES = (
    *("AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
)


def is_on(switch: str, environment: Mapping[str, str]) -> bool:
    """Whether a variable is set to what MLflow takes for true."""
    return environment.get(switch, "").lower() in {"true", "1"}


def unverified(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is set such that a certificate is not looked at.

    Args:
        environment: The worker's, or of whoever wants a run.

    Yields:
        One sentence for each, which names the variable and what comes of it, and what
        to do instead.
    """
    for name, (service, bundle) in _SWITCHES.items():
        if is_on(name, environment):
            yield (
                not_looked_at(f"{name}={environment[name]}", service),
                f"unset it; {bundle} can name the certificates to believe",
            )


def not_looked_at(what: str, service: str) -> str:
    """What comes of a setting that turns the check of certificates off."""
    return (
        f"{what}: the certificate of {service} is not looked at, so whoever answers at"
        " its address is believed, and is sent what is meant for it, passwords included"
    )


def emptied(environment: Mapping[str, str]) -> set[str]:
    """The variables that are empty, and would turn the check off by that."""
    names = {*_SWITCHES, *_BUNDLES}
    return {name for name in names if environment.get(name) == ""}


def without_empty(environment: Mapping[str, str]) -> dict[str, str]:
    """The same without those."""
    gone = emptied(environment)
    return {name: value for name, value in environment.items() if name not in gone}
