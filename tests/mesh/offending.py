"""Small contracts that break one rule each, and what the lints say of them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler.lints import Finding, lint
from mesh.compiler.protos import describe
from mesh.tuning import Tuning

MESH_PROTOS = Path(__file__).parents[2] / "protos" / "zoco" / "mesh"

HEADER = """
syntax = "proto3";
package {package};
import "google/api/annotations.proto";
import "zoco/mesh/v1/policy.proto";
import "zoco/mesh/v1/stream.proto";
"""

LIMIT = 'rate_limit: {by: RATE_LIMIT_KEY_IP requests: 1 per: {seconds: 1} tier: "other"}'
PUBLIC = f"access: {{edge: EDGE_AUDIENCE_PUBLIC}} deadline: {{seconds: 1}} {LIMIT}"
USER = f"access: {{edge: EDGE_AUDIENCE_USER}} deadline: {{seconds: 1}} {LIMIT}"
READ = "option idempotency_level = NO_SIDE_EFFECTS;"

MESSAGES = """
message Thing { string id = 1; string owner_id = 2; }
message DoRequest { string id = 1; Thing thing = 2; }
message DoResponse {}
"""


def internal(*callers: str, deadline: int = 1, more: str = "") -> str:
    """The policy of a method for workloads."""
    names = ", ".join(f'"{name}"' for name in callers)
    return f"access: {{edge: EDGE_AUDIENCE_NONE callers: [{names}]}} deadline: {{seconds: {deadline}}} {more}"


def rpc(name: str, policy: str, *options: str, request: str = "DoRequest", response: str = "DoResponse") -> str:
    """A method."""
    said = f"option (zoco.mesh.v1.method) = {{{policy}}};" if policy else ""
    return f"  rpc {name}({request}) returns ({response}) {{ {said} {' '.join(options)} }}\n"


def rest(verb: str, path: str, body: str = "") -> str:
    """A REST rule."""
    return f'option (google.api.http) = {{{verb}: "{path}" {f"""body: "{body}" """ if body else ""}}};'


def service(workload: str, *rpcs: str, calls: Sequence[str] = (), more: str = "") -> str:
    """A contract with one service `<Workload>Service` in the package `<workload>.v1`."""
    called = " ".join(f'calls: "{name}"' for name in calls)
    return (
        HEADER.format(package=f"{workload}.v1")
        + MESSAGES
        + f"service {workload.title()}Service {{\n"
        + f'  option (zoco.mesh.v1.service) = {{workload: "{workload}" {called} {more}}};\n'
        + "".join(rpcs)
        + "}\n"
    )


def findings(directory: Path, *contracts: str, tuning: Tuning | None = None, name: str = "service") -> list[Finding]:
    """Compiles contracts and lints them."""
    shutil.copytree(MESH_PROTOS, directory / "zoco" / "mesh", dirs_exist_ok=True)
    for contract in contracts:
        package = contract.split("package ")[1].split(";")[0]
        path = directory / package.replace(".", "/") / f"{name}.proto"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(contract)
    return list(lint(FileDescriptorSet.FromString(describe(directory)), tuning))


def said(directory: Path, *contracts: str, tuning: Tuning | None = None, name: str = "service") -> list[str]:
    """The findings as a person reads them."""
    return [str(each) for each in findings(directory, *contracts, tuning=tuning, name=name)]
