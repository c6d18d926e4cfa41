"""What a cluster would decide: NetworkPolicies and Istio's AuthorizationPolicies, evaluated by their documented rules.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
https://istio.io/latest/docs/reference/config/security/authorization-policy/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """An end of a connection."""

    labels: Mapping[str, str]
    namespace: str = "zoco"
    namespace_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkPolicies:
    """All policies of one namespace."""

    documents: Sequence[Document]
    namespace: str = "zoco"

    def allow(self, source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection is let out at its source and let in at its target."""
        leaves = self._allows("Egress", "to", source, target, port, protocol)
        return leaves and self._allows("Ingress", "from", target, source, port, protocol)

    def _allows(self, way: str, peers: str, pod: Pod, other: Pod, port: int, protocol: str) -> bool:
        isolating = [
            each["spec"]
            for each in self.documents
            if pod.namespace == self.namespace
            and way in each["spec"]["policyTypes"]
            and selects(each["spec"]["podSelector"], pod.labels)
        ]
        if not isolating:
            return True
        rules = [rule for spec in isolating for rule in spec.get(way.lower(), [])]
        return any(
            (peers not in rule or any(self._is_peer(peer, other) for peer in rule[peers]))
            and ("ports" not in rule or {"protocol": protocol, "port": port} in rule["ports"])
            for rule in rules
        )

    def _is_peer(self, peer: Document, pod: Pod) -> bool:
        assert peer.keys() <= {"podSelector", "namespaceSelector"}, f"{peer} says what is not evaluated here"
        if "namespaceSelector" in peer:
            named = {"kubernetes.io/metadata.name": pod.namespace, **pod.namespace_labels}
            if not selects(peer["namespaceSelector"], named):
                return False
        elif pod.namespace != self.namespace:
            return False
        return selects(peer.get("podSelector", {}), pod.labels)


@dataclass(frozen=True)
class AuthorizationPolicies:
    """All authorization policies of one namespace."""

    documents: Sequence[Document]

    def allowing(self, target: Mapping[str, str], principal: str, method: str, path: str, port: int) -> int:
        """By how many rules a request is allowed."""
        request = {"principals": principal, "methods": method, "paths": path, "ports": str(port)}
        applying = [each["spec"] for each in self.documents if selects(each["spec"].get("selector", {}), target)]
        assert applying, "a workload without any policy is open to everybody"
        assert {spec.get("action", "ALLOW") for spec in applying} == {"ALLOW"}
        return sum(_matches(rule, request) for spec in applying for rule in spec.get("rules", []))


def selects(selector: Document, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes an object; an empty one takes all."""
    assert selector.keys() <= {"matchLabels", "matchExpressions"}, f"{selector} says what is not evaluated here"
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(_holds(each, labels) for each in selector.get("matchExpressions", []))


def _holds(expression: Document, labels: Mapping[str, str]) -> bool:
    within = labels.get(expression["key"]) in expression["values"]
    match expression["operator"]:
        case "In":
            return within
        case "NotIn":
            return not within
        case other:
            raise AssertionError(f"{other} is not evaluated here")


def _matches(rule: Document, request: Mapping[str, str]) -> bool:
    assert rule.keys() <= {"from", "to"}, f"{rule} says what is not evaluated here"
    comes = "from" not in rule or any(_fits(each["source"], request) for each in rule["from"])
    return comes and ("to" not in rule or any(_fits(each["operation"], request) for each in rule["to"]))


def _fits(conditions: Document, request: Mapping[str, str]) -> bool:
    """Whether each named field has the request's value; only exact values are written, so `*` fits nothing here."""
    return all(request[name] in values for name, values in conditions.items())
