"""The contracts a command is about: those of this checkout, of a file, or of a git revision."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from cli.failures import Failure
from cli.local.settings import PROJECT
from mesh.compiler.history import COMMITTED, image_at
from mesh.policy import DESCRIPTORS, MethodPolicy, Policy, read_policy


@dataclass(frozen=True)
class Contracts:
    """Compiled contracts and the policy in them."""

    descriptors: FileDescriptorSet

    @cached_property
    def policy(self) -> Policy:
        """The policy, without the RPCs that leave something out."""
        return read_policy(self.descriptors, skip_incomplete=True)

    def find(self, name: str) -> MethodPolicy:
        """The RPC of a name, in full (`/zoco.order.v1.OrderService/GetOrder`) or as much of its end as tells it apart.

        Raises:
            Failure: there is none, or there are several.
        """
        wanted = name.strip("/").lower()
        found = [
            method
            for path, method in sorted(self.policy.methods.items())
            if any(path.lower().endswith(f"{mark}{wanted}") for mark in "/.")
            or path.replace("/", ".").lower().endswith(f".{wanted}")
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise Failure(f"{name} may be {' or '.join(short(each) for each in found)}; say which.")
        raise Failure(f"{name} is no RPC of the contracts; `zoco policy show` lists them.")


def short(method: MethodPolicy) -> str:
    """An RPC's name without its package."""
    return f"{method.service.rpartition('.')[2]}/{method.name}"


def present() -> Contracts:
    """The contracts of this checkout, as they were last compiled.

    Raises:
        Failure: there are none, or they cannot be read.
    """
    if not DESCRIPTORS.is_file():
        raise Failure(f"{DESCRIPTORS} is missing; `make gen` makes it.")
    return _parse(DESCRIPTORS.read_bytes(), str(DESCRIPTORS))


def read(name: str) -> Contracts:
    """The contracts that a file or a git revision holds.

    Raises:
        Failure: it is neither, or holds no contracts.
    """
    if Path(name).is_dir():
        raise Failure(f"{name} is a directory; name a git revision, or a file like {COMMITTED}.")
    if Path(name).is_file():
        return _parse(Path(name).read_bytes(), name)
    # What begins with a dash would be an option to git, not a revision.
    image = None if name.startswith("-") else image_at(PROJECT, name)
    if image is None:
        raise Failure(f"{name} is neither a file nor a git revision that has {COMMITTED}.")
    return _parse(image, name)


def _parse(image: bytes, name: str) -> Contracts:
    try:
        descriptors = FileDescriptorSet.FromString(image)
    except DecodeError:
        raise Failure(f"{name} holds no compiled contracts; {COMMITTED} of each revision does.") from None
    contracts = Contracts(descriptors)
    if not contracts.policy.methods:
        raise Failure(f"{name} holds no contract with a policy.")
    return contracts
