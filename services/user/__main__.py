"""Wiring: `python -m services.user`."""

from datetime import timedelta

from mesh.logs import logger
from mesh.service import Runtime, Service, run
from services.user.app import Accounts
from services.user.metrics import UserMetrics
from services.user.password_check import PasswordCheck
from services.user.passwords import PasswordHasher
from services.user.servicer import AuthServicer, UserServicer
from services.user.sessions import Sessions
from services.user.settings import UserSettings
from services.user.tasks import reload_keys, sweep
from services.user.tokens import KeyRing, TokenSigner
from zoco.user.v1.auth_service_pb2_grpc import add_AuthServiceServicer_to_server
from zoco.user.v1.user_service_pb2_grpc import add_UserServiceServicer_to_server


async def build(runtime: Runtime[UserSettings]) -> Service:
    """Puts the user service together, with the administrator its settings name."""
    settings, database, clock = runtime.settings, runtime.database, runtime.clock
    metrics = UserMetrics(runtime.registry)
    hasher = PasswordHasher(threads=settings.password_threads, waiting=settings.password_queue)
    check = PasswordCheck(database=database, hasher=hasher, clock=clock, metrics=metrics)
    keys = KeyRing(settings.signing_keys_dir, lead=timedelta(seconds=settings.signing_key_lead_seconds), clock=clock)
    signer = TokenSigner(keys, issuer=settings.token_issuer, audience=settings.token_audience)
    accounts = Accounts(database=database, hasher=hasher, check=check, clock=clock, metrics=metrics)
    sessions = Sessions(database=database, check=check, signer=signer, clock=clock, metrics=metrics)

    if settings.admin_email is not None and settings.admin_password is not None:
        admin = await accounts.ensure_admin(
            email=settings.admin_email, password=settings.admin_password.get_secret_value()
        )
        if not admin.runs_the_shop:
            logger("services.user").warning(
                "ZOCO_ADMIN_EMAIL names an account that is no active administrator", user_id=admin.id
            )

    return Service(
        servicers=[
            (add_AuthServiceServicer_to_server, AuthServicer(sessions, keys=keys)),
            (add_UserServiceServicer_to_server, UserServicer(accounts)),
        ],
        tasks=[lambda: reload_keys(keys), lambda: sweep(database, clock)],
        token_keys=keys.key_set,
    )


if __name__ == "__main__":
    run("user", build, settings=UserSettings)
