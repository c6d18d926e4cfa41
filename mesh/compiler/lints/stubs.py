"""Holds the declared calls against the code: which methods do a program's stubs really call?

It reads the source, not a run: a call that only a rare failure makes counts too. A stub is followed from where it is
made or annotated (`OrderServiceStub(channel)`, `stub: "OrderServiceAsyncStub"`) through attributes and variables of its
module to the method that is called on it. Where one name stands for stubs of two services, the method tells them apart.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from mesh.compiler.lints.findings import Finding
from mesh.policy import Policy

ROOMS: Final = ("services", "gateway")
"""Directories with one directory a workload or client, named as the contract names it."""

_STUB: Final = re.compile(r"(?P<service>\w+?)(?:Async)?Stub")
_PATH: Final = re.compile(r"/(?P<service>[\w.]+\.v\d+\.\w+)/(?P<method>\w+)")


class Use(NamedTuple):
    """A call in the code."""

    file: str
    line: int
    path: str
    """gRPC path of what is called."""


def lint_stubs(root: Path, policy: Policy) -> list[Finding]:
    """Compares what the code calls with what the contracts declare.

    Args:
        root: the project directory.
        policy: of the contracts.

    Returns:
        A finding for each call that no contract declares, and for each that is declared and never made.
    """
    findings = []
    for room in ROOMS:
        for directory in sorted(path for path in (root / room).glob("*") if path.is_dir()):
            name = directory.name
            if name not in policy.workloads and name not in policy.clients:
                continue
            used = list(uses(root, directory, policy))
            declared = policy.calls_of(name) - ({policy.token_keys.path} if policy.token_keys else set())
            findings += [_undeclared(name, use) for use in used if use.path not in policy.calls_of(name)]
            unused = (declared & policy.methods.keys()) - {use.path for use in used}
            findings += [_unused(f"{room}/{name}", name, path) for path in unused]
    return sorted(findings)


def _undeclared(workload: str, use: Use) -> Finding:
    called = use.path.lstrip("/")
    remedy = f'add calls: "{called}" to its service, or to the RPC that makes the call'
    return Finding(use.file, use.line, called, "undeclared-call", f"{workload} calls it undeclared", remedy)


def _unused(file: str, workload: str, path: str) -> Finding:
    called = path.lstrip("/")
    problem = f"{workload} declares this call and never makes it"
    return Finding(file, 0, called, "unused-call", problem, "drop it from calls, and from the callers it has there")


def uses(root: Path, directory: Path, policy: Policy) -> Iterator[Use]:
    """Every call on a stub of a contract in the modules below a directory.

    Args:
        root: what the paths in the answer are relative to.
        directory: where to look.
        policy: says which methods a service has.
    """
    services = {method.service.rpartition(".")[2]: method.service for method in policy.methods.values()}
    for module in sorted(directory.rglob("*.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        stubs = _Stubs(services)
        stubs.read(tree)
        for node in ast.walk(tree):
            for path in stubs.called(node):
                if path in policy.methods:
                    yield Use(module.relative_to(root).as_posix(), getattr(node, "lineno", 0), path)


class _Stubs:
    """The names in a module that stand for stubs (variables, arguments, attributes), and the services of each."""

    def __init__(self, services: Mapping[str, str]) -> None:
        self._services = services
        self._names: dict[str, set[str]] = {}

    def read(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            match node:
                case ast.arg(arg=name, annotation=ast.expr() as annotation):
                    self._note(name, self._annotated(annotation))
                case ast.AnnAssign(target=target, annotation=annotation):
                    self._note(_name(target), self._annotated(annotation))
                case _:
                    pass
        # Assignments after: `self._stock = stock` needs to know the argument. Twice: a name may go on.
        for _ in range(2):
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign):
                    for assigned in node.targets:
                        self._note(_name(assigned), self._behind(node.value))

    def called(self, node: ast.AST) -> Iterator[str]:
        """The gRPC paths that a node may stand for: an attribute of a stub, or the path itself as a string."""
        match node:
            case ast.Attribute(value=value, attr=name):
                yield from (f"/{service}/{name}" for service in sorted(self._behind(value)))
            case ast.Constant(value=str(text)) if _PATH.fullmatch(text):
                yield text
            case _:
                pass

    def _note(self, name: str | None, services: set[str]) -> None:
        if name and services:
            self._names.setdefault(name, set()).update(services)

    def _behind(self, value: ast.expr) -> set[str]:
        match value:
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                return self._named(name)
            case _:
                return self._names.get(_name(value) or "", set())

    def _annotated(self, annotation: ast.expr) -> set[str]:
        text = str(annotation.value) if isinstance(annotation, ast.Constant) else ast.unparse(annotation)
        return {service for word in re.findall(r"\w+", text) for service in self._named(word)}

    def _named(self, class_name: str) -> set[str]:
        match = _STUB.fullmatch(class_name)
        return {self._services[match["service"]]} if match and match["service"] in self._services else set()


def _name(target: ast.expr) -> str | None:
    """The name by which a value is kept: the last word of `self._stock` or `stock`."""
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None
