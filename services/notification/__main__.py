"""`python -m services.notification`: puts the service together."""

from datetime import timedelta
from functools import partial

from mesh.service import Runtime, Service, run
from services.notification.app import Notifications
from services.notification.consumers import UseCases, subscriptions
from services.notification.mail import MailTransport
from services.notification.mailer import Mailer
from services.notification.metrics import NotificationMetrics
from services.notification.servicer import NotificationServicer, WebhookServicer
from services.notification.settings import NotificationSettings
from services.notification.transports import FileTransport, SmtpServer, SmtpTransport
from services.notification.webhooks.app import Webhooks
from services.notification.webhooks.deliverer import Deliverer
from services.notification.webhooks.sender import Sender
from zoco.notification.v1.notification_service_pb2_grpc import add_NotificationServiceServicer_to_server
from zoco.notification.v1.webhook_service_pb2_grpc import add_WebhookServiceServicer_to_server


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
    webhooks = Webhooks(database=runtime.database, safe=runtime.settings.safe, rules=runtime.settings.webhook_rules)
    deliverer = _deliverer(runtime, metrics)
    return Service(
        servicers=[
            (add_NotificationServiceServicer_to_server, NotificationServicer(notifications, wakes=runtime.wakes)),
            (add_WebhookServiceServicer_to_server, WebhookServicer(webhooks)),
        ],
        subscriptions=subscriptions(UseCases(notifications, webhooks)),
        tasks=[mailer.run, deliverer.run, deliverer.watch],
    )


def _deliverer(runtime: Runtime[NotificationSettings], metrics: NotificationMetrics) -> Deliverer:
    settings = runtime.settings
    return Deliverer(
        database=runtime.database,
        sender=Sender(
            settings.webhook_rules,
            timeout=timedelta(seconds=settings.webhook_timeout_seconds),
            authorities=settings.webhook_ca_file,
        ),
        safe=settings.safe,
        clock=runtime.clock,
        wakes=runtime.wakes,
        metrics=metrics,
        spawn=partial(runtime.background.spawn, name="webhook"),
        patience=settings.webhook_patience,
        lease=timedelta(seconds=settings.webhook_lease_seconds),
    )


def _transport(settings: NotificationSettings) -> MailTransport:
    if settings.smtp_url is not None:
        return SmtpTransport(SmtpServer.from_url(settings.smtp_url.get_secret_value()))
    if settings.mail_dir is None:
        raise ValueError("either ZOCO_MAIL_DIR or SMTP_URL must be set")
    return FileTransport(settings.mail_dir)


if __name__ == "__main__":
    run("notification", build, settings=NotificationSettings)
