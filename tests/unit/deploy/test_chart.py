"""The Helm chart, rendered by Helm itself: the plain manifests, and what changes."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dioptra_worker import __version__
from dioptra_worker.cli.start import start

pytest.importorskip("helm_python", reason="Helm is not installed as a library")
pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/dioptra-worker"
PLAIN = ROOT / "deploy/kubernetes"
SCHEMAS = Path(__file__).with_name("schemas")
DEFINITIONS = {
    "ConfigMap": ("kubernetes.json", "core.v1.ConfigMap"),
    "Secret": ("kubernetes.json", "core.v1.Secret"),
    "Deployment": ("kubernetes.json", "apps.v1.Deployment"),
    "NetworkPolicy": ("kubernetes.json", "networking.v1.NetworkPolicy"),
    "ScaledJob": ("keda.json", "ScaledJob"),
    "ScaledObject": ("keda.json", "ScaledObject"),
    "TriggerAuthentication": ("keda.json", "TriggerAuthentication"),
}
# In a process of its own: a library written in Go changes how signals are heard.
RENDER = """
import json, sys
import helm_python
chart, release, values = sys.argv[1:]
with helm_python.Chart.load(chart) as chart:
    print(json.dumps(chart.render(json.loads(values), name=release, namespace="lab")))
"""
EVERYTHING = {
    "imagePrefix": "registry.example.org/lab/",
    "imageTag": "0.1.0",
    "imagePullSecrets": ["pull"],
    "settings": {"DIOPTRA_API": "https://dioptra.example.org"},
    "secret": {
        "existing": "",
        "values": {
            "worker-password": "1: # {{ odd }}",
            "redis-uri": "redis://x",
            "store-access-key": "007",
            "store-secret-key": 'a"b',
        },
    },
    "networkPolicy": {"enabled": False},
    "workers": {
        "tensorflow-cpu": None,
        "pytorch-cpu": None,
        "pytorch-gpu": None,
        "tab": {
            "image": "tabular",
            "queues": ["urgent", "two words", "123"],
            "scaling": "fixed",
            "replicas": 0,
            "gpus": 2,
            "settings": {"DIOPTRA_WORKER_PRELOAD": "pandas"},
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
        },
        "each": {
            "image": "tabular",
            "queues": ["urgent", "123"],
            "scaling": "job",
        },
    },
}
WORKER = {"image": "x", "queues": ["q"], "scaling": "fixed"}

Manifest = dict[str, Any]


def _helm(release: str, values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RENDER, str(CHART), release, values],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@functools.cache
def _rendered(values: str, release: str = "dioptra") -> str:
    done = _helm(release, values)
    assert done.returncode == 0, done.stderr
    texts = json.loads(done.stdout)
    return "\n---\n".join(text for name, text in texts.items() if name.endswith("yaml"))


def _manifests(text: str) -> dict[tuple[str, str], Manifest]:
    found = [manifest for manifest in yaml.safe_load_all(text) if manifest]
    named = {(each["kind"], each["metadata"]["name"]): each for each in found}
    assert len(named) == len(found)
    return named


def _without_instance(value: Any) -> Any:
    """The same without the label that tells the releases of a chart apart."""
    if isinstance(value, dict):
        return {
            key: _without_instance(each)
            for key, each in value.items()
            if key != "app.kubernetes.io/instance"
        }
    if isinstance(value, list):
        return [_without_instance(each) for each in value]
    return value


def test_it_is_the_plain_manifests() -> None:
    """With its own values, and the release called dioptra, it says what those say."""
    plain = _manifests(
        "\n---\n".join(path.read_text() for path in sorted(PLAIN.glob("*.yaml")))
    )
    secret = plain["Secret", "dioptra-worker"]["stringData"]
    values = {"secret": {"existing": "", "values": secret}}
    ours = _without_instance(_manifests(_rendered(json.dumps(values))))
    assert ours.keys() == plain.keys()
    for name, manifest in plain.items():
        assert ours[name] == manifest, name


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "everything"])
def test_schemas(values: Manifest) -> None:
    """Whatever the values are, each manifest is what its schema allows."""
    manifests = _manifests(_rendered(json.dumps(values)))
    assert manifests
    for (kind, _), manifest in manifests.items():
        file, definition = DEFINITIONS[kind]
        schema = json.loads((SCHEMAS / file).read_text(encoding="utf-8"))
        jsonschema.validate(manifest, {**schema, "$ref": f"#/$defs/{definition}"})


def test_values_arrive() -> None:
    """Names, numbers and secrets of all forms stay what they are."""
    manifests = _manifests(_rendered(json.dumps(EVERYTHING), "lab"))
    names = {kind: name for kind, name in manifests if kind != "ConfigMap"}
    assert names == {
        "Secret": "lab-worker",
        "Deployment": "lab-tab",
        "ScaledJob": "lab-each",
        "TriggerAuthentication": "lab-queue",
    }
    given = EVERYTHING["secret"]["values"]  # type: ignore[index]
    secret = manifests["Secret", "lab-worker"]["stringData"]
    assert {**secret, **given} == secret
    deployment = manifests["Deployment", "lab-tab"]["spec"]
    assert deployment["replicas"] == 0
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example.org/lab/tabular:0.1.0"
    context = start.make_context("dioptra-worker-v1", list(container["args"]))
    assert context.params["queues"] == ("urgent", "two words", "123")
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    told = {each["name"]: each.get("value") for each in container["env"]}
    assert told["DIOPTRA_WORKER_PRELOAD"] == "pandas"
    triggers = manifests["ScaledJob", "lab-each"]["spec"]["triggers"]
    lists = [trigger["metadata"]["listName"] for trigger in triggers]
    assert lists == ["rq:queue:urgent", "rq:queue:123"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"secret": {"existing": ""}}, "secret.values.worker-password is missing"),
        ({"worker": {}}, "worker"),
        ({"settings": {"RQ_REDIS_URI": "redis://x"}}, "RQ_REDIS_URI"),
        (
            {"workers": {"a": {"image": "x", "queues": [], "scaling": "fixed"}}},
            "queues",
        ),
        (
            {"workers": {"a": {"image": "x", "queues": ["q"], "scaling": "x"}}},
            "scaling",
        ),
        (
            {"workers": {"A_b": {"image": "x", "queues": ["q"], "scaling": "job"}}},
            "A_b",
        ),
    ],
)
def test_refused(values: Manifest, said: str) -> None:
    """What cannot work is refused by Helm, and named, before anything is applied."""
    done = _helm("dioptra", json.dumps(values))
    assert done.returncode != 0
    assert said in done.stderr


def test_version() -> None:
    """The chart is of the worker's version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
