"""The manifests for Kubernetes and KEDA, against their schemas and the worker's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from dioptra_worker import settings as settings_module
from dioptra_worker.cli.start import start
from dioptra_worker.credentials import SECRET_NAMES
from dioptra_worker.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy/kubernetes"
SCHEMAS = Path(__file__).with_name("schemas")
DEFINITIONS = {
    "ConfigMap": "core.v1.ConfigMap",
    "Secret": "core.v1.Secret",
    "Deployment": "apps.v1.Deployment",
    "NetworkPolicy": "networking.v1.NetworkPolicy",
}

Manifest = dict[str, Any]


def _manifests() -> list[tuple[str, Manifest]]:
    return [
        (path.name, manifest)
        for path in sorted(FOLDER.glob("*.yaml"))
        for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


MANIFESTS = [
    pytest.param(manifest, id=f"{file}-{manifest['kind']}")
    for file, manifest in _manifests()
]


def _found(kind: str, name: str) -> Manifest:
    return next(
        m for _, m in _manifests() if (m["kind"], m["metadata"]["name"]) == (kind, name)
    )


def _pods() -> list[Any]:
    """Every pod, with the name of what makes it."""
    pods = []
    for _, manifest in _manifests():
        spec = manifest.get("spec", {})
        maker = spec.get("jobTargetRef", spec)
        if "template" in maker:
            pods.append(
                pytest.param(maker["template"], id=manifest["metadata"]["name"])
            )
    return pods


def _check(manifest: Any, file: str, definition: str) -> None:
    schema = json.loads((SCHEMAS / file).read_text(encoding="utf-8"))
    jsonschema.validate(manifest, {**schema, "$ref": f"#/$defs/{definition}"})


def _container(pod: Manifest) -> Manifest:
    (container,) = pod["spec"]["containers"]
    found: Manifest = container
    return found


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_schema(manifest: Manifest) -> None:
    """Each manifest is what its schema allows, and has no field that there is not."""
    kind = manifest["kind"]
    if kind in DEFINITIONS:
        _check(manifest, "kubernetes.json", DEFINITIONS[kind])
    else:
        _check(manifest, "keda.json", kind)
    if kind == "ScaledJob":
        _check(manifest["spec"]["jobTargetRef"], "kubernetes.json", "batch.v1.JobSpec")


def test_schemas_can_refuse() -> None:
    """A misspelt field deep in a pod is refused, and so is one of KEDA's."""
    deployment = _found("Deployment", "dioptra-tensorflow-cpu")
    probe = _container(deployment["spec"]["template"])["livenessProbe"]
    probe["periodSecond"] = probe.pop("periodSeconds")
    with pytest.raises(jsonschema.ValidationError, match="periodSecond"):
        _check(deployment, "kubernetes.json", DEFINITIONS["Deployment"])
    policy = _found("NetworkPolicy", "dioptra-worker")
    policy["spec"]["egress"][0]["port"] = policy["spec"]["egress"][0].pop("ports")
    with pytest.raises(jsonschema.ValidationError, match="port"):
        _check(policy, "kubernetes.json", DEFINITIONS["NetworkPolicy"])
    scaled = _found("ScaledObject", "dioptra-pytorch-gpu")
    scaled["spec"]["maxReplicas"] = scaled["spec"].pop("maxReplicaCount")
    with pytest.raises(jsonschema.ValidationError, match="maxReplicas"):
        _check(scaled, "keda.json", "ScaledObject")


@pytest.mark.parametrize("pod", _pods())
def test_pods_are_closed_off(pod: Manifest) -> None:
    """No pod runs as root, writes to its image, gains rights or asks Kubernetes."""
    spec, container = pod["spec"], _container(pod)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert (spec["securityContext"]["runAsUser"],) == (39000,)
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    writable = {
        m["mountPath"] for m in container["volumeMounts"] if "readOnly" not in m
    }
    assert writable == {"/work", "/tmp"}  # noqa: S108


@pytest.mark.parametrize("pod", _pods())
def test_grace_fits_the_shutdown(pod: Manifest) -> None:
    """A pod is killed only after the worker has had all the time that it may take."""
    told = _found("ConfigMap", "dioptra-worker")["data"]
    shutdown = float(told["DIOPTRA_WORKER_SHUTDOWN_GRACE"])
    kill = Settings.model_fields["kill_grace"].default
    assert pod["spec"]["terminationGracePeriodSeconds"] >= shutdown + kill + 30


@pytest.mark.parametrize("pod", _pods())
def test_command_line(pod: Manifest) -> None:
    """The daemon takes the arguments, and they name the queue of the pod's label."""
    arguments = _container(pod)["args"]
    context = start.make_context("dioptra-worker-v1", list(arguments))
    assert context.params["queues"] == (pod["metadata"]["labels"]["queue"],)


@pytest.mark.parametrize("pod", _pods())
def test_probes(pod: Manifest) -> None:
    """Probes ask the port that the settings open; a pod of one job needs none."""
    container = _container(pod)
    if pod["spec"].get("restartPolicy") == "Never":
        assert "livenessProbe" not in container
        return
    told = _found("ConfigMap", "dioptra-worker")["data"]
    (port,) = container["ports"]
    assert str(port["containerPort"]) == told["DIOPTRA_WORKER_HEALTH_PORT"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "health"}
    ready = container["readinessProbe"]["httpGet"]
    assert ready == {"path": "/readyz", "port": "health"}


@pytest.mark.parametrize("pod", _pods())
def test_gpus(pod: Manifest) -> None:
    """A pod of an image for GPUs asks for one, and no other does."""
    container = _container(pod)
    asked = "nvidia.com/gpu" in container["resources"]["limits"]
    assert asked == container["image"].endswith("-gpu")


@pytest.mark.parametrize("pod", _pods())
def test_settings(pod: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker starts with what the ConfigMap and the Secret tell it."""
    told = _found("ConfigMap", "dioptra-worker")["data"]
    secret = _found("Secret", "dioptra-worker")["stringData"]
    assert not {*told} & {*SECRET_NAMES}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    for variable in _container(pod)["env"]:
        reference = variable["valueFrom"]["secretKeyRef"]
        assert reference["name"] == "dioptra-worker"
        monkeypatch.setenv(variable["name"], secret[reference["key"]])
    settings = settings_module.load()
    assert settings.password.get_secret_value() == secret["worker-password"]
    assert urlsplit(settings.redis_url.get_secret_value()).password
    assert settings.health_port == 9187
    assert settings.shutdown_grace == 600


@pytest.mark.parametrize("pod", _pods())
def test_plugins_cannot_read_the_workers_secrets(pod: Manifest) -> None:
    """No secret is a file, which a plugin could read, as it has the worker's user."""
    volumes = pod["spec"]["volumes"]
    assert {*volumes[0], *volumes[1]} == {"name", "emptyDir"}
    assert len(volumes) == len(_container(pod)["volumeMounts"]) == 2
    told = _found("ConfigMap", "dioptra-worker")["data"]
    assert not [name for name in told if name.endswith("_FILE")]


def test_network_policy() -> None:
    """Workers reach the services that they are told of, and nothing else."""
    spec = _found("NetworkPolicy", "dioptra-worker")["spec"]
    assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
    for pod in _pods():
        (template,) = pod.values
        labels = template["metadata"]["labels"]
        assert spec["podSelector"]["matchLabels"].items() <= labels.items()
    told = _found("ConfigMap", "dioptra-worker")["data"]
    (rule,) = spec["ingress"]
    assert str(rule["ports"][0]["port"]) == told["DIOPTRA_WORKER_HEALTH_PORT"]
    assert rule["from"]
    secret = _found("Secret", "dioptra-worker")["stringData"]
    urls = [value for value in (*told.values(), secret["redis-uri"]) if "://" in value]
    wanted = {(urlsplit(url).hostname, urlsplit(url).port) for url in urls}
    dns, *services = spec["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    allowed = {
        (
            rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"],
            rule["ports"][0]["port"],
        )
        for rule in services
    }
    assert allowed == wanted
    assert all(len(rule["to"]) == len(rule["ports"]) == 1 for rule in services)


def test_scaling_looks_at_the_right_list() -> None:
    """KEDA counts RQ's list of the queue that the scaled pods serve."""
    target = _found("Deployment", "dioptra-pytorch-gpu")["spec"]["template"]
    (trigger,) = _found("ScaledObject", "dioptra-pytorch-gpu")["spec"]["triggers"]
    queue = target["metadata"]["labels"]["queue"]
    assert trigger["metadata"]["listName"] == f"rq:queue:{queue}"
    job = _found("ScaledJob", "dioptra-pytorch-cpu")["spec"]
    queue = job["jobTargetRef"]["template"]["metadata"]["labels"]["queue"]
    (trigger,) = job["triggers"]
    assert trigger["metadata"]["listName"] == f"rq:queue:{queue}"
    reference = trigger["authenticationRef"]["name"]
    given = {
        secret["parameter"]: _found("Secret", secret["name"])["stringData"][
            secret["key"]
        ]
        for secret in _found("TriggerAuthentication", reference)["spec"][
            "secretTargetRef"
        ]
    }
    address = urlsplit(_found("Secret", "dioptra-worker")["stringData"]["redis-uri"])
    assert given == {"username": address.username, "password": address.password}


def test_scaled_job_takes_one_job() -> None:
    """A pod of the ScaledJob takes one job and ends, also when there is none."""
    template = _found("ScaledJob", "dioptra-pytorch-cpu")["spec"]["jobTargetRef"]
    arguments = _container(template["template"])["args"]
    context = start.make_context("dioptra-worker-v1", list(arguments))
    assert context.params["burst"] is True
    assert context.params["max_jobs"] == 1
