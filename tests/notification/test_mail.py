"""Mails as text, and the ways they leave, with a real SMTP server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from services.notification.mail import MailNotSentError, compose
from services.notification.mailer import retry_delay
from services.notification.store import QueuedMail
from services.notification.transports import FileTransport, SmtpServer, SmtpTransport

SENDER = Address(display_name="Zoco", addr_spec="no-reply@zoco.local")
NOTIFICATION = "0190a000-0000-7000-8000-00000000cccc"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def queued(**changes: Any) -> QueuedMail:
    values: dict[str, Any] = {
        "notification_id": NOTIFICATION,
        "email": "alice@example.com",
        "display_name": "Alice",
        "title": "Your order is confirmed",
        "body": "2 x Mug\nTotal: 25.50 EUR",
        "create_time": NOON,
        "attempts": 1,
    }
    return QueuedMail(**{**values, **changes})


def read(content: bytes) -> EmailMessage:
    assert b"\n" not in content.replace(b"\r\n", b""), "lines end as SMTP wants them"
    content = content.replace(b"\r\n", b"\n")
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_a_mail_is_plain_text_with_the_notification_as_its_id() -> None:
    message = read(compose(queued(), sender=SENDER).as_bytes())

    assert message["From"] == "Zoco <no-reply@zoco.local>"
    assert message["To"] == "Alice <alice@example.com>"
    assert message["Subject"] == "Your order is confirmed"
    assert message["Message-ID"] == f"<{NOTIFICATION}@zoco.local>"
    assert message["Date"].datetime == NOON
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert not message.is_multipart()
    assert message.get_content() == "Hello Alice,\n\nYour order is confirmed.\n\n2 x Mug\nTotal: 25.50 EUR\n\nZoco\n"


def test_every_attempt_has_the_same_message_id() -> None:
    first, second = compose(queued(), sender=SENDER), compose(queued(attempts=7), sender=SENDER)

    assert first.as_bytes() == second.as_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"display_name": "Alice\r\nBcc: everyone@example.com"},
        {"display_name": 'Alice" <other@example.com>, "Bob'},
        {"display_name": "Alice\r\n\r\n<html>"},
        {"title": "Hello\r\nBcc: everyone@example.com\r\n\r\nother body"},
        {"title": "Hello\nContent-Type: text/html"},
        {"body": ".\r\nQUIT\r\nBcc: everyone@example.com"},
        {"body": "<script>alert(1)</script>"},
    ],
)
def test_nobody_writes_a_header_of_ours(changes: dict[str, str]) -> None:
    message = read(compose(queued(**changes), sender=SENDER).as_bytes())

    assert sorted(name.lower() for name in message) == [
        "auto-submitted", "content-transfer-encoding", "content-type", "date", "from", "message-id", "mime-version",
        "subject", "to",
    ]  # fmt: skip
    assert [address.addr_spec for address in message["To"].addresses] == ["alice@example.com"]
    assert message.get_content_type() == "text/plain"


@pytest.mark.parametrize(
    "email", ["alice@example.com\r\nBcc: x@y.z", "alice", "a b@example.com", "alice@example.com, b@c.d"]
)
def test_an_address_that_is_none_is_given_up(email: str) -> None:
    with pytest.raises(MailNotSentError) as refusal:
        compose(queued(email=email), sender=SENDER)

    assert refusal.value.is_final
    assert "\n" not in refusal.value.reason


def test_names_in_every_script_survive() -> None:
    message = read(
        compose(queued(display_name="Zoë 李雷", title="Grüße", body="¡Olé! " * 40), sender=SENDER).as_bytes()
    )

    assert message["To"].addresses[0].display_name == "Zoë 李雷"
    assert message["Subject"] == "Grüße"
    assert "¡Olé! ¡Olé!" in message.get_content()


async def test_a_mail_in_a_file_is_there_once_and_whole(tmp_path: Path) -> None:
    transport = FileTransport(tmp_path / "mail")
    message = compose(queued(), sender=SENDER)

    for _ in range(2):
        await transport.send(message, mail_id=NOTIFICATION)

    (file,) = (tmp_path / "mail").iterdir()
    assert file.name == f"{NOTIFICATION}.eml"
    assert file.stat().st_mode & 0o077 == 0
    assert read(file.read_bytes())["To"] == "Alice <alice@example.com>"


async def test_a_directory_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file in the way")

    with pytest.raises(MailNotSentError) as refusal:
        await FileTransport(tmp_path / "mail").send(compose(queued(), sender=SENDER), mail_id=NOTIFICATION)

    assert not refusal.value.is_final


class Inbox:
    """What a mail server took; answers as it is told."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.recipients: list[str] = []
        self.answers: dict[str, str] = {}

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.answers.get("RCPT", "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        answer = self.answers.get("DATA", "250 OK")
        if answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.messages.append(envelope.content)
            self.recipients += envelope.rcpt_tos
        return answer


@asynccontextmanager
async def mail_server(inbox: Inbox, **settings: Any) -> AsyncIterator[str]:
    """A real SMTP server on a port of its own, in the test's loop; gives its address."""
    sessions: list[SMTP] = []

    def session() -> SMTP:
        sessions.append(SMTP(inbox, hostname="localhost", loop=asyncio.get_running_loop(), **settings))
        return sessions[-1]

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
        for each in sessions:
            if each.transport is not None:
                each.transport.close()


@pytest.fixture
async def inbox() -> AsyncIterator[tuple[Inbox, str]]:
    received = Inbox()
    async with mail_server(received) as address:
        yield received, address


def smtp(address: str, *, credentials: str = "", starttls: str = "never") -> SmtpTransport:
    return SmtpTransport(SmtpServer.from_url(f"smtp://{credentials}{address}?starttls={starttls}"))


async def test_a_mail_server_gets_the_mail(inbox: tuple[Inbox, str]) -> None:
    received, address = inbox

    await smtp(address).send(compose(queued(body=".\nleading dots\n..stay"), sender=SENDER), mail_id=NOTIFICATION)

    assert received.recipients == ["alice@example.com"]
    message = read(received.messages[0])
    assert message["Message-ID"] == f"<{NOTIFICATION}@zoco.local>"
    assert ".\nleading dots\n..stay" in message.get_content()


@pytest.mark.parametrize(
    ("command", "answer", "is_final"),
    [
        ("RCPT", "550 no such person", True),
        ("RCPT", "450 try later", False),
        ("DATA", "554 no spam here", True),
        ("DATA", "451 try later", False),
    ],
)
async def test_a_refusal_is_final_where_the_server_says_so(
    inbox: tuple[Inbox, str], command: str, answer: str, is_final: bool
) -> None:
    received, address = inbox
    received.answers[command] = answer

    with pytest.raises(MailNotSentError) as refusal:
        await smtp(address).send(compose(queued(), sender=SENDER), mail_id=NOTIFICATION)

    assert refusal.value.is_final is is_final
    assert received.messages == []


async def test_a_server_that_is_not_there_is_asked_again() -> None:
    with pytest.raises(MailNotSentError) as refusal:
        await smtp("127.0.0.1:1").send(compose(queued(), sender=SENDER), mail_id=NOTIFICATION)

    assert not refusal.value.is_final


async def test_a_password_does_not_travel_in_clear(inbox: tuple[Inbox, str]) -> None:
    received, address = inbox
    insisting = SmtpTransport(SmtpServer.from_url(f"smtp://shop:secret@{address}"))

    with pytest.raises(MailNotSentError) as refusal:
        await insisting.send(compose(queued(), sender=SENDER), mail_id=NOTIFICATION)

    assert not refusal.value.is_final
    assert "secret" not in refusal.value.reason
    assert received.messages == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")  # TLS is another test's matter
async def test_a_server_that_wants_a_password_gets_it() -> None:
    seen: list[LoginPassword] = []

    def authenticate(server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        seen.append(data)
        return AuthResult(success=data == LoginPassword(b"shop", b"p@ss word"))

    received, message = Inbox(), compose(queued(), sender=SENDER)
    async with mail_server(received, authenticator=authenticate, auth_required=True, auth_require_tls=False) as address:
        await smtp(address, credentials="shop:p%40ss%20word@").send(message, mail_id=NOTIFICATION)
        with pytest.raises(MailNotSentError) as refusal:
            await smtp(address, credentials="shop:wrong@").send(message, mail_id=NOTIFICATION)

    assert len(received.messages) == 1
    assert not refusal.value.is_final
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", SmtpServer("mail.example.com", 25, None, None, False, None)),
        ("smtp://u:p%40w@mail.example.com", SmtpServer("mail.example.com", 587, "u", "p@w", False, True)),
        (
            "smtp://u:p@mail.example.com:2525?starttls=never",
            SmtpServer("mail.example.com", 2525, "u", "p", False, False),
        ),
        ("smtps://u:p@mail.example.com", SmtpServer("mail.example.com", 465, "u", "p", True, False)),
    ],
)
def test_the_url_says_how_to_reach_a_server(url: str, server: SmtpServer) -> None:
    assert SmtpServer.from_url(url) == server
    assert "p@w" not in repr(server)


@pytest.mark.parametrize(
    "url", ["", "mail.example.com", "http://mail.example.com", "smtp://", "smtp://h?starttls=perhaps"]
)
def test_what_is_no_mail_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must"):
        SmtpServer.from_url(url)


def test_the_pause_between_attempts_grows_up_to_an_hour() -> None:
    delays = [retry_delay(attempts).total_seconds() for attempts in (1, 2, 3, 10, 11, 1000)]

    assert delays == [5, 10, 20, 2560, 3600, 3600]
    assert retry_delay(1) == timedelta(seconds=5)
