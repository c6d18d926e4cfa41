"""The ways mail leaves: into files, or to a mail server."""

import asyncio
import os
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from services.notification.mail import MailNotSentError

TIMEOUT_SECONDS: Final = 20.0
"""How long a mail server may take, all in all."""

_PERMANENT: Final = 500


class FileTransport:
    """Writes each mail into a directory, as `<notification id>.eml`: what a machine without a mail server does.

    A file is there as a whole or not at all, and a mail that is sent twice is one file.

    Args:
        directory: where; made if it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def send(self, message: EmailMessage, *, mail_id: str) -> None:
        """Writes a mail.

        Raises:
            MailNotSentError: the directory cannot be written to.
        """
        try:
            await asyncio.to_thread(self._write, message.as_bytes(), f"{mail_id}.eml")
        except OSError as error:
            raise MailNotSentError(str(error), is_final=False) from error

    def _write(self, content: bytes, name: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = self._directory / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        unfinished.replace(self._directory / name)


@dataclass(frozen=True)
class SmtpServer:
    """A mail server, as SMTP_URL names it."""

    host: str
    port: int
    username: str | None
    password: str | None
    implicit_tls: bool
    start_tls: bool | None
    """True: insist on it; None: take it where it is offered."""

    def __repr__(self) -> str:
        return f"SmtpServer({self.host}:{self.port})"

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Reads `smtp://[user:password@]host[:port]` or `smtps://...`.

        `smtps` speaks TLS from the first byte (port 465). `smtp` (port 25, or 587 with a user) takes STARTTLS where it
        is offered, and insists on it where a password would travel; `?starttls=always` or `never` says otherwise.

        Raises:
            ValueError: it is no such URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise ValueError("must look like smtp://user:password@host:port")
        username = unquote(parts.username) if parts.username else None
        implicit_tls = parts.scheme == "smtps"
        asked = parse_qs(parts.query).get("starttls", ["always" if username else "offered"])[0]
        if asked not in {"always", "offered", "never"}:
            raise ValueError("starttls must be always, offered or never")
        usual_port = 465 if implicit_tls else 587 if username else 25
        return cls(
            host=parts.hostname,
            port=parts.port or usual_port,
            username=username,
            password=unquote(parts.password) if parts.password else None,
            implicit_tls=implicit_tls,
            start_tls=False if implicit_tls else {"always": True, "offered": None, "never": False}[asked],
        )


class SmtpTransport:
    """Hands each mail to a mail server.

    Args:
        server: which one.
    """

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def send(self, message: EmailMessage, *, mail_id: str) -> None:  # noqa: ARG002 - the Message-ID says it
        """Sends a mail.

        Raises:
            MailNotSentError: the server refused it (finally where it answered with a 5xx), or could not be asked.
        """
        server = self._server
        try:
            await aiosmtplib.send(
                message,
                hostname=server.host,
                port=server.port,
                username=server.username,
                password=server.password,
                use_tls=server.implicit_tls,
                start_tls=server.start_tls,
                timeout=TIMEOUT_SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise MailNotSentError(str(error), is_final=all(_is_final(each) for each in error.recipients)) from error
        except aiosmtplib.SMTPAuthenticationError as error:
            raise MailNotSentError(str(error), is_final=False) from error  # settings can be put right
        except aiosmtplib.SMTPResponseException as error:
            raise MailNotSentError(str(error), is_final=_is_final(error)) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailNotSentError(str(error) or type(error).__name__, is_final=False) from error


def _is_final(error: aiosmtplib.SMTPResponseException) -> bool:
    return error.code >= _PERMANENT
