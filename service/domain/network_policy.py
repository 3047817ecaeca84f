"""The Cilium documents that let a sentinel reach a deployment and nobody else.

Members, their order and their spelling are the reference's, byte for byte in compact form (03 · 5).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.topology import SENTINEL_NAMESPACE
from service.errors import FailedPrecondition

Document = dict[str, Any]

_NAME_LENGTH = 64  # cilium_network_policies.k8s_name

_COMPONENT = "app.kubernetes.io/component"
_MANAGED_BY = "app.kubernetes.io/managed-by"
_POD_NAMESPACE = "io.kubernetes.pod.namespace"
_DEPLOYMENT_ID = "unkey.com/deployment.id"
_ENVIRONMENT_ID = "unkey.com/environment.id"
_POLICY_ID = "unkey.com/networkpolicy.id"
_WORKSPACE_ID = "unkey.com/workspace.id"


@dataclass(frozen=True, slots=True)
class PolicyInput:
    """A deployment in one region. `port` is the container's; the policy ids are those of the two rows."""

    workspace_id: str
    environment_id: str
    deployment_id: str
    k8s_name: str
    k8s_namespace: str
    port: int
    ingress_policy_id: str
    egress_policy_id: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A document with the id, name and namespace that its row repeats."""

    policy_id: str
    name: str
    namespace: str
    document: Document

    @property
    def text(self) -> str:
        """The document as compact JSON."""
        return json.dumps(self.document, separators=(",", ":"), ensure_ascii=False)


def names(k8s_name: str) -> tuple[str, str]:
    """Name a deployment's ingress and egress policy, in this order; `k8s_name` is the deployment's."""
    return f"sentinel-ingress-to-{k8s_name}", f"sentinel-egress-to-{k8s_name}"


def policies(of: PolicyInput) -> tuple[Policy, Policy]:
    """Write the ingress and the egress policy, in this order.

    Raises FailedPrecondition when their names would not fit: `k8s_name` has more than 44 characters.
    """
    ingress, egress = names(of.k8s_name)
    if len(ingress) > _NAME_LENGTH:
        raise FailedPrecondition(
            f"the deployment's k8s_name has {len(of.k8s_name)} characters, its network policies allow 44: "
            "create the deployment again with a shorter one",
            reason="K8S_NAME_TOO_LONG",
        )
    return _ingress(of, ingress), _egress(of, egress)


def same(one: str | bytes | Mapping[str, Any], other: str | bytes | Mapping[str, Any]) -> bool:
    """Compare two documents as JSON values; text that is not JSON is the same as nothing."""
    try:
        return _canonical(one) == _canonical(other)
    except ValueError:
        return False


def _canonical(document: str | bytes | Mapping[str, Any]) -> str:
    value = document if isinstance(document, Mapping) else json.loads(document)
    return json.dumps(value, sort_keys=True)


def _ingress(of: PolicyInput, name: str) -> Policy:
    sentinel = {
        _POD_NAMESPACE: SENTINEL_NAMESPACE,
        _ENVIRONMENT_ID: of.environment_id,
        _WORKSPACE_ID: of.workspace_id,
    }
    deployment = {_COMPONENT: "deployment", _MANAGED_BY: "krane", _DEPLOYMENT_ID: of.deployment_id}
    spec = {
        "endpointSelector": {"matchLabels": deployment},
        "ingress": [{"fromEndpoints": [{"matchLabels": sentinel}], "toPorts": _ports(of.port)}],
        "description": (f"Allow ingress from sentinel for workspace {of.workspace_id} deployment {of.deployment_id}"),
    }
    policy_id, namespace = of.ingress_policy_id, of.k8s_namespace
    labels = _labels(of, "deployment", policy_id)
    return Policy(policy_id, name, namespace, _document(name, namespace, labels, spec))


def _egress(of: PolicyInput, name: str) -> Policy:
    sentinel = {
        _COMPONENT: "sentinel",
        _ENVIRONMENT_ID: of.environment_id,
        _WORKSPACE_ID: of.workspace_id,
    }
    deployment = {
        _COMPONENT: "deployment",
        _MANAGED_BY: "krane",
        _POD_NAMESPACE: of.k8s_namespace,
        _DEPLOYMENT_ID: of.deployment_id,
    }
    spec = {
        "endpointSelector": {"matchLabels": sentinel},
        "egress": [{"toEndpoints": [{"matchLabels": deployment}], "toPorts": _ports(of.port)}],
        "description": (f"Allow sentinel egress to deployment {of.deployment_id} for workspace {of.workspace_id}"),
    }
    policy_id, namespace = of.egress_policy_id, SENTINEL_NAMESPACE
    labels = _labels(of, "sentinel", policy_id)
    return Policy(policy_id, name, namespace, _document(name, namespace, labels, spec))


def _document(name: str, namespace: str, labels: dict[str, str], spec: Document) -> Document:
    return {
        "kind": "CiliumNetworkPolicy",
        "apiVersion": "cilium.io/v2",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
        "status": {},
    }


def _labels(of: PolicyInput, component: str, policy_id: str) -> dict[str, str]:
    return {
        _COMPONENT: component,
        _MANAGED_BY: "krane",
        _DEPLOYMENT_ID: of.deployment_id,
        _ENVIRONMENT_ID: of.environment_id,
        _POLICY_ID: policy_id,
        _WORKSPACE_ID: of.workspace_id,
    }


def _ports(port: int) -> list[Document]:
    return [{"ports": [{"port": str(port), "protocol": "TCP"}]}]
