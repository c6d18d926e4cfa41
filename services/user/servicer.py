"""AuthService and UserService on the wire: requests into use cases, results into responses."""

from typing import Any

from mesh.call import current_call
from mesh.paging import next_token, read_page, uuid_key
from mesh.tokens import ACCESS_LIFETIME
from mesh.wire import masked_fields
from services.user.app import Accounts
from services.user.domain import Delete, Disable, Enable, SetRole, Update
from services.user.sessions import Sessions
from services.user.tokens import KeyRing
from services.user.wire import key_to_proto, role_from_proto, user_to_proto
from zoco.user.v1 import auth_service_pb2 as auth
from zoco.user.v1 import user_pb2
from zoco.user.v1 import user_service_pb2 as service
from zoco.user.v1.auth_service_pb2_grpc import AuthServiceServicer
from zoco.user.v1.user_service_pb2_grpc import UserServiceServicer

_EXPIRES_IN = int(ACCESS_LIFETIME.total_seconds())


class AuthServicer(AuthServiceServicer):
    """The RPCs of log-in."""

    def __init__(self, sessions: Sessions, *, keys: KeyRing) -> None:
        self._sessions = sessions
        self._keys = keys

    async def Login(self, request: auth.LoginRequest, context: Any) -> auth.LoginResponse:
        """Tokens for an address and a password."""
        session = await self._sessions.log_in(request.email, request.password)
        return auth.LoginResponse(
            access_token=session.access_token,
            refresh_token=session.refresh_token,
            expires_in=_EXPIRES_IN,
            user=user_to_proto(session.user),
        )

    async def Refresh(self, request: auth.RefreshRequest, context: Any) -> auth.RefreshResponse:
        """New tokens for a refresh token."""
        session = await self._sessions.refresh(request.refresh_token)
        return auth.RefreshResponse(
            access_token=session.access_token,
            refresh_token=session.refresh_token,
            expires_in=_EXPIRES_IN,
            user=user_to_proto(session.user),
        )

    async def Logout(self, request: auth.LogoutRequest, context: Any) -> auth.LogoutResponse:
        """The end of a refresh token's family."""
        await self._sessions.log_out(request.refresh_token)
        return auth.LogoutResponse()

    async def GetJwks(self, request: auth.GetJwksRequest, context: Any) -> auth.GetJwksResponse:
        """The keys that verify access tokens."""
        # In an order that every process of this service has: whoever remembers the answer sees no change in it.
        keys = sorted(self._keys.keys, key=lambda key: key.kid)
        return auth.GetJwksResponse(keys=[key_to_proto(key) for key in keys])


class UserServicer(UserServiceServicer):
    """The RPCs of accounts."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def Register(self, request: service.RegisterRequest, context: Any) -> user_pb2.User:
        """A new account."""
        user = await self._accounts.register(
            email=request.email, password=request.password, display_name=request.display_name
        )
        return user_to_proto(user)

    async def GetUser(self, request: service.GetUserRequest, context: Any) -> user_pb2.User:
        """One account."""
        return user_to_proto(await self._accounts.user(current_call().resolve_me(request.id)))

    async def ListUsers(self, request: service.ListUsersRequest, context: Any) -> service.ListUsersResponse:
        """A page of accounts, newest first."""
        page = read_page(request, uuid_key)
        after = page.after[0] if page.after else None
        users, total = await self._accounts.users(after=after, limit=page.size + 1)
        shown = users[: page.size]
        more = len(users) > page.size
        return service.ListUsersResponse(
            users=[user_to_proto(user) for user in shown],
            next_page_token=next_token(request, [shown[-1].id]) if more else "",
            total_size=total,
        )

    async def UpdateUser(self, request: service.UpdateUserRequest, context: Any) -> user_pb2.User:
        """Another address, another name."""
        changed = masked_fields(request.user, request.update_mask, {"email", "display_name"})
        command = Update(
            email=request.user.email if "email" in changed else None,
            display_name=request.user.display_name if "display_name" in changed else None,
        )
        user_id = current_call().resolve_me(request.user.id)
        return user_to_proto(await self._accounts.change(user_id, command, etag=request.user.etag))

    async def ChangePassword(
        self, request: service.ChangePasswordRequest, context: Any
    ) -> service.ChangePasswordResponse:
        """Another password, and the end of every session."""
        user_id = current_call().resolve_me(request.id)
        await self._accounts.change_password(user_id, current=request.current_password, new=request.new_password)
        return service.ChangePasswordResponse()

    async def SetRole(self, request: service.SetRoleRequest, context: Any) -> user_pb2.User:
        """Another role."""
        return user_to_proto(await self._accounts.change(request.id, SetRole(role_from_proto(request.role))))

    async def DisableUser(self, request: service.DisableUserRequest, context: Any) -> user_pb2.User:
        """An account that is switched off."""
        return user_to_proto(await self._accounts.change(request.id, Disable()))

    async def EnableUser(self, request: service.EnableUserRequest, context: Any) -> user_pb2.User:
        """An account that is switched on again."""
        return user_to_proto(await self._accounts.change(request.id, Enable()))

    async def DeleteUser(self, request: service.DeleteUserRequest, context: Any) -> service.DeleteUserResponse:
        """An account without a person."""
        await self._accounts.change(current_call().resolve_me(request.id), Delete(), etag=request.etag)
        return service.DeleteUserResponse()
