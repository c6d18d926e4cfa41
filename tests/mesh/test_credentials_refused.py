"""Certificates that must not be taken: refused on the wire, and told who, why and until when."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from cli.local.certificates import LEAF_LIFE, Authority, new_authority
from cli.local.pki import ensure_pki
from mesh import renewed_channel
from mesh.certificates import spiffe_id
from mesh.credentials import BadCredentials, Identity, server_credentials
from mesh.diagnosis import PeerDiagnosis, examine
from mesh.renewed_channel import RenewedChannel
from tests.mesh.tls import (
    authority_of,
    echo,
    leaf,
    options_for,
    raw_client_credentials,
    raw_server_credentials,
    server,
    until,
    written,
)

# Whose a certificate is, when it begins to be valid, and whether a foreign authority signed it; and what is said of it.
EXPIRED = ("product", -timedelta(days=40), False, "has expired")
NOT_YET = ("product", timedelta(days=2), False, "is not valid before")
FOREIGN = ("product", timedelta(0), True, "comes from a foreign authority")
SOMEBODY_ELSES = ("payment", timedelta(0), False, "is not that of spiffe://zoco.local/product")

Bad = tuple[str, timedelta, bool, str]
every_kind = pytest.mark.parametrize(
    "bad", [EXPIRED, NOT_YET, FOREIGN, SOMEBODY_ELSES], ids=["expired", "not yet valid", "foreign", "wrong SAN"]
)


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    ensure_pki(tmp_path, ["order", "product"])
    return tmp_path


@pytest.fixture
def ours(pki: Path) -> Authority:
    return authority_of(pki)


@pytest.fixture
def foreign() -> Authority:
    return new_authority(datetime.now(UTC))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewed_channel, "LOOK_SECONDS", 0.1)


def said(lines: list[Any], event: str) -> list[Mapping[str, Any]]:
    return [line for line in lines if line["event"] == event]


@every_kind
async def test_a_servers_bad_certificate_is_refused_and_named(
    pki: Path, ours: Authority, foreign: Authority, quick: None, bad: Bad
) -> None:
    whose, valid_from, from_elsewhere, reason = bad
    shown = leaf(whose, foreign if from_elsewhere else ours, valid_from=valid_from)
    async with server(raw_server_credentials(shown, ours)) as address:
        diagnosis = PeerDiagnosis("product", spiffe_id("product"), (address,))
        looks = 0

        async def on_trouble(identity: Identity) -> None:
            nonlocal looks
            await diagnosis(identity)
            looks += 1

        with capture_logs() as lines:
            async with RenewedChannel(
                address, pki / "order", options=options_for("product"), on_trouble=on_trouble
            ) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await echo(channel)
                await until(lambda: looks >= 3)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    [line] = said(lines, "a neighbour's certificate is refused")  # once a minute, however often it fails
    assert line["certificate_of"] == spiffe_id(whose)
    assert line["peer"] == "product"
    assert reason in line["reason"]
    assert line["valid_until"] == shown.certificate.not_valid_after_utc.isoformat()


@pytest.mark.parametrize("bad", [EXPIRED, NOT_YET, FOREIGN], ids=["expired", "not yet valid", "foreign"])
async def test_a_clients_bad_certificate_is_refused_by_the_server(
    pki: Path, ours: Authority, foreign: Authority, bad: Bad
) -> None:
    whose, valid_from, from_elsewhere, _ = bad
    shown = leaf(whose, foreign if from_elsewhere else ours, valid_from=valid_from)
    credentials = raw_client_credentials(shown, ours)
    async with (
        server(server_credentials(pki / "order")) as address,
        grpc.aio.secure_channel(address, credentials, options=options_for("order")) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await echo(channel)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_takes_nobody_without_a_certificate_and_no_plaintext(pki: Path) -> None:
    authority = (pki / "ca.pem").read_bytes()
    async with server(server_credentials(pki / "order")) as address:
        for channel in (
            grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(authority), options=options_for("order")),
            grpc.aio.insecure_channel(address),
        ):
            with pytest.raises(grpc.aio.AioRpcError):
                await echo(channel)
            await channel.close()


async def test_a_client_that_is_refused_says_that_it_is_its_own_certificate(
    pki: Path, ours: Authority, foreign: Authority, quick: None, tmp_path: Path
) -> None:
    mine = leaf("product", foreign)
    place = written(tmp_path / "mine", mine, foreign, ours)
    async with server(server_credentials(pki / "order")) as address:
        diagnosis = PeerDiagnosis("order", spiffe_id("order"), (address,))
        with capture_logs() as lines:
            async with RenewedChannel(address, place, options=options_for("order"), on_trouble=diagnosis) as channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await echo(channel)
                await until(lambda: bool(said(lines, "the neighbour refuses our certificate")))

    line = said(lines, "the neighbour refuses our certificate")[0]
    assert line["certificate_of"] == spiffe_id("product")
    assert line["reason"] == "is refused: the neighbour does not trust who signed it"
    assert line["valid_until"] == mine.certificate.not_valid_after_utc.isoformat()
    assert line["issuer"] == foreign.certificate.subject.rfc4514_string()


async def test_a_certificate_that_expires_while_nobody_renews_it_is_told(
    pki: Path, ours: Authority, quick: None, tmp_path: Path
) -> None:
    mine = leaf("product", ours, valid_from=timedelta(seconds=2) - LEAF_LIFE)
    place = written(tmp_path / "mine", mine, ours)
    async with server(server_credentials(pki / "order")) as address:
        with capture_logs() as lines:
            async with RenewedChannel(address, place, options=options_for("order")) as channel:
                channel.get_state()
                await until(lambda: bool(said(lines, "the own identity has expired, and there is no new one")))
                refused = examine(
                    address,
                    "order",
                    spiffe_id("order"),
                    Identity(place, clock=lambda: mine.certificate.not_valid_before_utc),
                    datetime.now(UTC),
                )
    assert refused is not None
    assert refused.ours
    assert (refused.fault.who, refused.fault.why) == (spiffe_id("product"), "has expired")
    assert refused.fault.valid_until == mine.certificate.not_valid_after_utc


async def test_what_is_not_there_or_speaks_no_tls_is_not_blamed_on_a_certificate(pki: Path) -> None:
    plain = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    port = plain.add_insecure_port("127.0.0.1:0")
    await plain.start()
    with capture_logs() as lines:
        diagnosis = PeerDiagnosis("order", spiffe_id("order"), (f"127.0.0.1:{port}",))
        await diagnosis(Identity(pki / "product"))
        await plain.stop(0)
        await diagnosis(Identity(pki / "product"))
    assert lines == []


@every_kind
def test_a_process_does_not_start_with_a_bad_certificate_of_its_own(
    ours: Authority, foreign: Authority, tmp_path: Path, bad: Bad
) -> None:
    whose, valid_from, from_elsewhere, reason = bad
    mine = leaf(whose, foreign if from_elsewhere else ours, valid_from=valid_from)
    place = written(tmp_path / "mine", mine, ours)

    with pytest.raises(BadCredentials) as refused:
        server_credentials(place, spiffe_id("product"))

    until = f"{mine.certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
    assert str(refused.value).startswith(f"the certificate of {spiffe_id(whose)} {reason}")
    assert f"it is valid until {until}" in str(refused.value)


def test_a_key_that_does_not_fit_is_named(ours: Authority, tmp_path: Path) -> None:
    place = written(tmp_path / "mine", leaf("product", ours), ours)
    written(tmp_path / "other", leaf("product", ours), ours)
    (place / "key.pem").write_bytes((tmp_path / "other" / "key.pem").read_bytes())

    with pytest.raises(BadCredentials, match=r"mine/key\.pem is not the key of the certificate of spiffe://zoco"):
        server_credentials(place)


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nMII"])
def test_a_file_that_is_missing_or_half_written_is_named(
    ours: Authority, tmp_path: Path, name: str, content: bytes | None
) -> None:
    place = written(tmp_path / "mine", leaf("product", ours), ours)
    (place / name).unlink()
    if content is not None:
        (place / name).write_bytes(content)

    with pytest.raises(BadCredentials, match=str(place)):
        server_credentials(place)
