"""The authority's rotation: nobody ever meets a certificate it does not trust, whatever is killed on the way."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.failures import Failure
from cli.local import authority, pki
from cli.local.authority import Phase, Trust, read_trust
from cli.local.certificates import LEAF_LIFE, certificate_pem, new_leaf
from cli.local.lock import HomeLock
from cli.local.pki import ensure_pki, files_of, identities
from cli.local.projection import publish
from cli.local.renewal import look_after
from cli.local.rotation import renew_due, rotate_authority, rotate_leaves
from mesh.certificates import is_signed_by
from mesh.credentials import read_material

WORKLOADS = ("edge", "order", "product")
LEAD = timedelta(seconds=120)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    ensure_pki(tmp_path, WORKLOADS)
    return tmp_path


def settled_at_once(trust: Trust) -> None:
    """Nobody runs."""


def quiet(step: str) -> None:
    """Nobody listens."""


def trust_of(home: Path) -> Trust:
    found = read_trust(home)
    assert found is not None
    return found


def everybody_trusts_everybody(home: Path) -> None:
    material = {name: read_material(home / name) for name in WORKLOADS}
    for one in material.values():
        for other in material.values():
            assert any(is_signed_by(one.leaf, trusted) for trusted in other.trusted)


def test_a_rotation_ends_with_one_new_authority_and_new_certificates(home: Path) -> None:
    before = trust_of(home).issuer.certificate
    said: list[str] = []

    after = rotate_authority(home, settled_at_once, said.append)

    assert after.phase is Phase.STEADY
    assert after.issuer.certificate != before
    assert said == [
        "made the next authority",
        "4 identities trust the old authority and the next one",
        "4 identities have a certificate of the new authority",
        "the old authority is trusted no more",
    ]
    for name in identities(home):
        material = read_material(home / name)
        assert is_signed_by(material.leaf, after.issuer.certificate)
        assert material.authorities == certificate_pem(after.issuer.certificate)


def test_whoever_follows_late_gets_on_with_whoever_followed_early(home: Path) -> None:
    """At each step every pair of old and new material trusts each other, in both directions."""
    seen = [{name: read_material(home / name) for name in WORKLOADS}]

    def settled(_: Trust) -> None:
        seen.append({name: read_material(home / name) for name in WORKLOADS})

    rotate_authority(home, settled, quiet)
    seen.append({name: read_material(home / name) for name in WORKLOADS})

    assert len(seen) == 4
    for early, late in itertools.pairwise(seen):
        for one in early.values():
            for other in late.values():
                assert any(is_signed_by(one.leaf, trusted) for trusted in other.trusted)
                assert any(is_signed_by(other.leaf, trusted) for trusted in one.trusted)


def test_killed_at_any_change_of_files_the_same_command_goes_on_and_everybody_is_trusted_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = 0
    for number in range(1, 100):
        home = tmp_path / str(number)
        home.mkdir()
        ensure_pki(home, WORKLOADS)
        before = trust_of(home).issuer.certificate
        left = number

        def dying(place: Path, files: dict[str, bytes]) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            publish(place, files)

        with monkeypatch.context() as patch:
            patch.setattr(authority, "publish", dying)
            patch.setattr(pki, "publish", dying)
            try:
                rotate_authority(home, settled_at_once, quiet)
            except Killed:
                kills += 1
        everybody_trusts_everybody(home)
        if left > 0:
            break
        after = rotate_authority(home, settled_at_once, quiet)
        everybody_trusts_everybody(home)
        assert after.phase is Phase.STEADY
        assert after.issuer.certificate != before
        assert all(is_signed_by(read_material(home / name).leaf, after.issuer.certificate) for name in WORKLOADS)
    assert kills == 15  # three changes of the authority and three of each of four identities


def test_nothing_more_is_done_while_a_process_does_not_follow(home: Path) -> None:
    def stuck(_: Trust) -> None:
        raise Failure("order does not follow")

    for _ in range(2):
        with pytest.raises(Failure, match="order does not follow"):
            rotate_authority(home, stuck, quiet)

    assert trust_of(home).phase is Phase.INTRODUCED
    assert rotate_authority(home, settled_at_once, quiet).phase is Phase.STEADY


def test_a_start_in_the_middle_of_a_rotation_keeps_to_where_it_is(home: Path) -> None:
    def stop_at(phase: Phase) -> None:
        def settled(trust: Trust) -> None:
            if trust.phase is phase:
                raise Killed

        with pytest.raises(Killed):
            rotate_authority(home, settled, quiet)

    for phase in (Phase.INTRODUCED, Phase.PROMOTED):
        stop_at(phase)
        assert ensure_pki(home, [*WORKLOADS, phase.name.lower()]) == [phase.name.lower()]
        assert trust_of(home).phase is phase
        everybody_trusts_everybody(home)


def test_two_rotations_at_once_are_refused(home: Path) -> None:
    lock = HomeLock.take(home / "rotating")
    assert lock is not None
    with pytest.raises(Failure, match="Another rotation is under way"):
        rotate_authority(home, settled_at_once, quiet)
    lock.release()


def test_one_certificate_is_rotated_and_the_others_stay(home: Path) -> None:
    before = {name: read_material(home / name).pem for name in WORKLOADS}

    assert rotate_leaves(home, "order") == ["order"]

    changed = [name for name in WORKLOADS if read_material(home / name).pem != before[name]]
    assert changed == ["order"]


def test_a_workload_without_a_certificate_is_named(home: Path) -> None:
    with pytest.raises(
        Failure, match=r"orders has no certificate; those who have are edge, edge-tls, order, product\."
    ):
        rotate_leaves(home, "orders")


def test_what_is_due_is_renewed_while_the_shop_runs(home: Path) -> None:
    issuer = trust_of(home).issuer
    old = new_leaf("order", issuer, datetime.now(UTC) - LEAF_LIFE * 0.7)
    publish(home / "order", files_of(old, certificate_pem(issuer.certificate)))

    assert look_after(home, WORKLOADS, LEAD) == "renewed the certificates of order"
    assert look_after(home, WORKLOADS, LEAD) == ""


def test_an_authority_whose_key_is_gone_is_not_replaced_under_a_running_shop(home: Path) -> None:
    (home / "ca-key.pem").unlink()
    with pytest.raises(Failure, match="There is no certificate authority"):
        renew_due(home, WORKLOADS)


def test_an_identity_of_another_kind_is_left_alone(home: Path) -> None:
    strange = new_leaf("somebody", trust_of(home).issuer, datetime.now(UTC))
    publish(home / "elsewhere", files_of(strange, b""))

    assert identities(home) == ["edge", "edge-tls", "order", "product"]
