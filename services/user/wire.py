"""Between the domain's accounts and the contract's messages."""

from typing import assert_never

from google.protobuf.message import Message

from mesh.wire import timestamp_to_proto
from services.user.domain import Deleted, Disabled, Event, Registered, Role, State, TokensRevoked, Updated, User
from services.user.tokens import SigningKey
from zoco.user.v1 import auth_service_pb2, user_events_pb2, user_pb2


def user_to_proto(user: User) -> user_pb2.User:
    """An account as its owner and administrators see it."""
    return user_pb2.User(
        id=user.id,
        email=user.email or "",
        display_name=user.display_name,
        role=role_to_proto(user.role),
        state=_state_to_proto(user.state),
        create_time=timestamp_to_proto(user.create_time),
        update_time=timestamp_to_proto(user.update_time),
        etag=user.etag,
    )


def event_to_proto(event: Event) -> Message:
    """An event as other services see it."""
    user = event.user
    time = timestamp_to_proto(user.update_time)
    match event:
        case Registered():
            return user_events_pb2.UserRegistered(
                user_id=user.id,
                email=user.email or "",
                display_name=user.display_name,
                role=role_to_proto(user.role),
                register_time=time,
            )
        case Updated():
            return user_events_pb2.UserUpdated(
                user_id=user.id,
                email=user.email or "",
                display_name=user.display_name,
                role=role_to_proto(user.role),
                state=_state_to_proto(user.state),
                update_time=time,
            )
        case Disabled():
            return user_events_pb2.UserDisabled(user_id=user.id, disable_time=time)
        case Deleted():
            return user_events_pb2.UserDeleted(user_id=user.id, delete_time=time)
        case TokensRevoked():
            return user_events_pb2.UserTokensRevoked(user_id=user.id, revoke_time=time)
        case _:
            assert_never(event)


def role_from_proto(role: user_pb2.User.Role.ValueType) -> Role:
    """A role as the domain names it. The contract lets no other value through."""
    return Role(user_pb2.User.Role.Name(role))


def role_to_proto(role: Role) -> user_pb2.User.Role.ValueType:
    """A role as the contract names it."""
    return user_pb2.User.Role.Value(role.value)


def key_to_proto(key: SigningKey) -> auth_service_pb2.JsonWebKey:
    """The public half of a signing key."""
    return auth_service_pb2.JsonWebKey(**key.public_jwk)


def _state_to_proto(state: State) -> user_pb2.User.State.ValueType:
    return user_pb2.User.State.Value(state.value)
