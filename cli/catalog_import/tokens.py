"""Where the access token of an import comes from."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import grpc

from mesh.errors import from_rpc_error
from zoco.user.v1.auth_service_pb2 import LoginRequest, LoginResponse, LogoutRequest, RefreshRequest, RefreshResponse
from zoco.user.v1.auth_service_pb2_grpc import AuthServiceStub

_CALL_SECONDS = 10.0
_RENEWED_AT = 0.6  # of a token's life, so that a batch that is tried again does not outlive it


class TokenSource(Protocol):
    """Gives access tokens that are still good for a while."""

    async def token(self) -> str:
        """Return an access token.

        Raises:
            MeshError: there is none to be had.
        """
        ...

    def refuse(self, token: str) -> None:
        """Learn that the shop did not take `token`: do not give it again."""
        ...


class AdminLogin:
    """Logs in as an administrator, renews the token in time, and logs out.

    Args:
        channel: to the edge.
        email: the administrator's address.
        password: the administrator's password.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        email: str,
        password: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._auth = AuthServiceStub(channel)
        self._email = email
        self._password = password
        self._clock = clock
        self._given: LoginResponse | RefreshResponse | None = None
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """Return a token with a good part of its life ahead; the first call logs in.

        Raises:
            Unauthenticated: the shop does not know the credentials.
            Unavailable: the shop does not answer.
        """
        async with self._lock:
            if self._given is None or self._clock() >= self._renew_at:
                asked_at = self._clock()
                self._given = await self._renewed()
                self._renew_at = asked_at + self._given.expires_in * _RENEWED_AT
            return self._given.access_token

    def refuse(self, token: str) -> None:
        """Forget `token`, if it is still the one that is given out: batches in flight may refuse the same one."""
        if self._given is not None and self._given.access_token == token:
            self._given = None

    async def close(self) -> None:
        """Revoke what was given. That the shop is gone by now is no failure: tokens end by themselves."""
        given, self._given = self._given, None
        if given is not None:
            try:
                await self._auth.Logout(LogoutRequest(refresh_token=given.refresh_token), timeout=_CALL_SECONDS)
            except grpc.aio.AioRpcError:
                return

    async def _renewed(self) -> LoginResponse | RefreshResponse:
        spent, self._given = self._given, None
        if spent is not None:
            try:
                return await self._auth.Refresh(
                    RefreshRequest(refresh_token=spent.refresh_token), timeout=_CALL_SECONDS
                )
            except grpc.aio.AioRpcError:
                # A refresh token is spent by the attempt: showing it again would revoke its family. Logging in is safe.
                pass
        try:
            return await self._auth.Login(
                LoginRequest(email=self._email, password=self._password), timeout=_CALL_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
