"""One mail out of one notification, in plain text, and the port through which it leaves."""

from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final, Protocol

from services.notification.domain import one_line
from services.notification.store import QueuedMail

# Lines end as SMTP wants them, a header that holds a line break is refused, what is not ASCII is encoded (RFC 2047).
_POLICY: Final = SMTP.clone(utf8=False, raise_on_defect=True)


class MailNotSentError(Exception):
    """A mail did not go out, or it is not known whether it did.

    Attributes:
        reason: what was said, on one line.
        is_final: trying again would end the same way.
    """

    def __init__(self, reason: str, *, is_final: bool) -> None:
        super().__init__(reason)
        self.reason = one_line(reason)
        self.is_final = is_final


class MailTransport(Protocol):
    """How mail leaves."""

    async def send(self, message: EmailMessage, *, mail_id: str) -> None:
        """Hands a message over.

        Args:
            message: the mail, complete.
            mail_id: the notification's id; the same at each attempt.

        Raises:
            MailNotSentError: it was not taken, or nobody said so.
        """


def compose(mail: QueuedMail, *, sender: Address) -> EmailMessage:
    """The mail of a notification. Whatever its text, it is text: no HTML, and no header of somebody else's making.

    Every attempt has the same Message-ID, so that a mail which went out twice, since the first answer was lost, can be
    told for one (RFC 5322, 3.6.4).

    Raises:
        MailNotSentError: the address cannot be written into a header; finally.
    """
    message = EmailMessage(policy=_POLICY)
    try:
        message["From"] = sender
        message["To"] = Address(display_name=one_line(mail.display_name), addr_spec=mail.email)
        message["Subject"] = one_line(mail.title)
        message["Date"] = format_datetime(mail.create_time)
        message["Message-ID"] = f"<{mail.notification_id}@{sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"  # so that nobody's absence note answers (RFC 3834)
        message.set_content(_text(mail), cte="quoted-printable")
    except (ValueError, MessageError) as error:
        raise MailNotSentError(f"the mail cannot be written: {error}", is_final=True) from error
    return message


def _text(mail: QueuedMail) -> str:
    name = one_line(mail.display_name)
    greeting = f"Hello {name}," if name else "Hello,"
    return f"{greeting}\n\n{mail.title}.\n\n{mail.body}\n\nZoco\n"
