"""`python -m services.notification`: puts the service together."""

from mesh.service import Runtime, Service, run
from services.notification.app import Notifications
from services.notification.consumers import subscriptions
from services.notification.mail import MailTransport
from services.notification.mailer import Mailer
from services.notification.metrics import NotificationMetrics
from services.notification.servicer import NotificationServicer
from services.notification.settings import NotificationSettings
from services.notification.transports import FileTransport, SmtpServer, SmtpTransport
from zoco.notification.v1.notification_service_pb2_grpc import add_NotificationServiceServicer_to_server


async def build(runtime: Runtime[NotificationSettings]) -> Service:
    """Notifications on a runtime; production and tests share it."""
    metrics = NotificationMetrics(runtime.registry)
    notifications = Notifications(database=runtime.database, clock=runtime.clock, metrics=metrics)
    mailer = Mailer(
        database=runtime.database,
        transport=_transport(runtime.settings),
        sender=runtime.settings.sender,
        clock=runtime.clock,
        wakes=runtime.wakes,
        metrics=metrics,
    )
    servicer = NotificationServicer(notifications, wakes=runtime.wakes)
    return Service(
        servicers=[(add_NotificationServiceServicer_to_server, servicer)],
        subscriptions=subscriptions(notifications),
        tasks=[mailer.run],
    )


def _transport(settings: NotificationSettings) -> MailTransport:
    if settings.smtp_url is not None:
        return SmtpTransport(SmtpServer.from_url(settings.smtp_url.get_secret_value()))
    if settings.mail_dir is None:
        raise ValueError("either ZOCO_MAIL_DIR or SMTP_URL must be set")
    return FileTransport(settings.mail_dir)


if __name__ == "__main__":
    run("notification", build, settings=NotificationSettings)
