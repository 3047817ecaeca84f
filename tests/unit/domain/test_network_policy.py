"""Policy documents equal the reference's byte for byte and are compared as values."""

import json
from dataclasses import replace

import pytest

from service.domain.network_policy import PolicyInput, names, policies, same
from service.errors import FailedPrecondition

INPUT = PolicyInput(
    workspace_id="ws_1",
    environment_id="env_1",
    deployment_id="d_1",
    k8s_name="abcdefghijkl",
    k8s_namespace="tenant01",
    port=8080,
    ingress_policy_id="net_in",
    egress_policy_id="net_out",
)

INGRESS = (
    '{"kind":"CiliumNetworkPolicy","apiVersion":"cilium.io/v2","metadata":{"name":"sentinel-ingress-to-abcdefghijkl",'
    '"namespace":"tenant01","labels":{"app.kubernetes.io/component":"deployment","app.kubernetes.io/managed-by":"krane",'
    '"unkey.com/deployment.id":"d_1","unkey.com/environment.id":"env_1","unkey.com/networkpolicy.id":"net_in",'
    '"unkey.com/workspace.id":"ws_1"}},"spec":{"endpointSelector":{"matchLabels":{"app.kubernetes.io/component":'
    '"deployment","app.kubernetes.io/managed-by":"krane","unkey.com/deployment.id":"d_1"}},"ingress":[{"fromEndpoints":'
    '[{"matchLabels":{"io.kubernetes.pod.namespace":"sentinel","unkey.com/environment.id":"env_1",'
    '"unkey.com/workspace.id":"ws_1"}}],"toPorts":[{"ports":[{"port":"8080","protocol":"TCP"}]}]}],'
    '"description":"Allow ingress from sentinel for workspace ws_1 deployment d_1"},"status":{}}'
)

EGRESS = (
    '{"kind":"CiliumNetworkPolicy","apiVersion":"cilium.io/v2","metadata":{"name":"sentinel-egress-to-abcdefghijkl",'
    '"namespace":"sentinel","labels":{"app.kubernetes.io/component":"sentinel","app.kubernetes.io/managed-by":"krane",'
    '"unkey.com/deployment.id":"d_1","unkey.com/environment.id":"env_1","unkey.com/networkpolicy.id":"net_out",'
    '"unkey.com/workspace.id":"ws_1"}},"spec":{"endpointSelector":{"matchLabels":{"app.kubernetes.io/component":'
    '"sentinel","unkey.com/environment.id":"env_1","unkey.com/workspace.id":"ws_1"}},"egress":[{"toEndpoints":'
    '[{"matchLabels":{"app.kubernetes.io/component":"deployment","app.kubernetes.io/managed-by":"krane",'
    '"io.kubernetes.pod.namespace":"tenant01","unkey.com/deployment.id":"d_1"}}],"toPorts":[{"ports":'
    '[{"port":"8080","protocol":"TCP"}]}]}],'
    '"description":"Allow sentinel egress to deployment d_1 for workspace ws_1"},"status":{}}'
)


def test_documents_byte_for_byte() -> None:
    ingress, egress = policies(INPUT)
    assert ingress.text == INGRESS
    assert egress.text == EGRESS


def test_ids_names_and_namespaces_of_the_rows() -> None:
    ingress, egress = policies(INPUT)
    assert (ingress.policy_id, egress.policy_id) == ("net_in", "net_out")
    assert (ingress.name, ingress.namespace) == ("sentinel-ingress-to-abcdefghijkl", "tenant01")
    assert (egress.name, egress.namespace) == ("sentinel-egress-to-abcdefghijkl", "sentinel")
    assert (ingress.name, egress.name) == names(INPUT.k8s_name)


def test_longest_name_fits_its_column() -> None:
    ingress, _ = policies(replace(INPUT, k8s_name="a" * 44))
    assert len(ingress.name) == 64


def test_name_that_does_not_fit_is_refused() -> None:
    with pytest.raises(FailedPrecondition, match="has 45 characters") as caught:
        policies(replace(INPUT, k8s_name="a" * 45))
    assert caught.value.reason == "K8S_NAME_TOO_LONG"


def test_same_whatever_the_text_looks_like() -> None:
    ingress, _ = policies(INPUT)
    as_a_database_prints_it = json.dumps(ingress.document, sort_keys=True, indent=2)
    assert same(ingress.document, as_a_database_prints_it)
    assert same(as_a_database_prints_it.encode(), ingress.text)
    assert same(ingress.document, ingress.document)


def test_different_in_anything_is_different() -> None:
    ingress, egress = policies(INPUT)
    other_port, _ = policies(replace(INPUT, port=8081))
    assert not same(ingress.document, egress.document)
    assert not same(ingress.text, other_port.document)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ('{"a":1}', '{"a":true}', False),
        ('{"a":1}', '{"a":"1"}', False),
        ('{"a":[1,2]}', '{"a":[2,1]}', False),
        ('{"a":{"b":1,"c":2}}', {"a": {"c": 2, "b": 1}}, True),
        ("null", "{}", False),
        ("", "", False),
        ("not json", "not json", False),
        (b"\xff", "{}", False),
    ],
)
def test_same_compares_json_values(one: str, other: str, *, expected: bool) -> None:
    assert same(one, other) is expected
