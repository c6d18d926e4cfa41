"""A directory's files change at once, and a crash at any line leaves a pair that can be used."""

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.local import projection
from cli.local.certificates import Authority, certificate_pem, new_authority, new_leaf
from cli.local.pki import ensure_pki, files_of, read_leaf
from cli.local.projection import publish
from mesh.credentials import BadCredentials, read_material

FILES = ("cert.pem", "key.pem", "ca.pem")


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority(datetime.now(UTC))


def identity(authority: Authority) -> dict[str, bytes]:
    return files_of(new_leaf("order", authority, datetime.now(UTC)), certificate_pem(authority.certificate))


def flat(place: Path, files: dict[str, bytes]) -> None:
    """As homes were laid out before."""
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)


def dies_at(patch: pytest.MonkeyPatch, number: int) -> None:
    """Lets `publish` die at its step of that number; a step is a file written, a link swapped, a directory synced."""
    left = number

    def counted(original: Callable[..., None]) -> Callable[..., None]:
        def step(*arguments: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            original(*arguments)

        return step

    for name in ("_write", "_link", "_sync"):
        patch.setattr(projection, name, counted(getattr(projection, name)))


@pytest.mark.parametrize(("before", "steps"), [("projected", 6), ("flat", 15)])
def test_a_crash_at_any_line_leaves_a_usable_pair_and_the_next_time_finishes(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, before: str, steps: int
) -> None:
    for number in range(1, steps + 1):
        place = tmp_path / str(number)
        old, new = identity(authority), identity(authority)
        flat(place, old) if before == "flat" else publish(place, old)

        with monkeypatch.context() as patch:
            dies_at(patch, number)
            with pytest.raises(Killed):
                publish(place, new)

        assert {name: (place / name).read_bytes() for name in FILES} in (old, new), f"a mixture after step {number}"
        read_material(place)
        publish(place, new)
        assert {name: (place / name).read_bytes() for name in FILES} == new


def test_each_file_is_a_link_for_ever_and_the_swap_is_a_rename_into_the_directory(
    tmp_path: Path, authority: Authority
) -> None:
    place = tmp_path / "order"
    publish(place, identity(authority))
    first = {name: os.lstat(place / name).st_ino for name in FILES}
    data = os.lstat(place / "..data").st_ino

    publish(place, identity(authority))

    assert {name: os.lstat(place / name).st_ino for name in FILES} == first
    assert all((place / name).readlink() == Path("..data", name) for name in FILES)
    assert os.lstat(place / "..data").st_ino != data  # Envoy's watched_directory waits for this rename


def test_old_versions_go_but_for_the_one_before(tmp_path: Path, authority: Authority) -> None:
    for _ in range(5):
        publish(tmp_path / "order", identity(authority))
    assert len(list((tmp_path / "order").glob("..v*"))) == 2


def test_somebody_who_reads_all_the_time_never_sees_a_mixture(tmp_path: Path, authority: Authority) -> None:
    place = tmp_path / "order"
    publish(place, identity(authority))
    done = threading.Event()
    seen: set[bytes] = set()
    wrong: list[Exception] = []

    def read() -> None:
        while not done.is_set():
            try:
                seen.add(read_material(place).certificate)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong is what the test is about
                wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        publish(place, identity(authority))
    done.set()
    reader.join()

    assert wrong == []
    assert len(seen) > 1


def test_who_reads_a_version_that_is_taken_away_reads_the_next_one(tmp_path: Path, authority: Authority) -> None:
    """As in Kubernetes, which keeps none of the versions before."""
    place, after = tmp_path / "order", identity(authority)
    publish(place, identity(authority))
    version = place / (place / "..data").readlink()
    (version / "key.pem").unlink()
    os.mkfifo(version / "key.pem")  # whoever opens it to read waits for somebody who opens it to write

    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(read_material, place)
        with (version / "key.pem").open("wb"):
            publish(place, after)
            shutil.rmtree(version)
        assert reading.result(10).certificate == after["cert.pem"]


def test_a_file_that_is_missing_in_the_version_that_counts_is_told(tmp_path: Path, authority: Authority) -> None:
    publish(tmp_path / "order", identity(authority))
    (tmp_path / "order" / "..data" / "key.pem").unlink()
    with pytest.raises(BadCredentials, match=r"key\.pem cannot be read: No such file or directory$"):
        read_material(tmp_path / "order")


def test_a_home_of_the_flat_layout_is_converted_in_place_and_keeps_its_certificates(tmp_path: Path) -> None:
    ensure_pki(tmp_path, ["order"])
    places = [tmp_path, tmp_path / "order", tmp_path / "edge-tls"]
    flatten(places)
    before = {path: path.read_bytes() for place in places for path in place.glob("*.pem")}

    assert ensure_pki(tmp_path, ["order"]) == []

    assert {path: path.read_bytes() for path in before} == before
    assert all(path.is_symlink() for path in before)


def flatten(places: list[Path]) -> None:
    for place in places:
        files = {path.name: path.read_bytes() for path in place.glob("*.pem")}
        for name, content in files.items():
            (place / name).unlink()
            (place / name).write_bytes(content)
        (place / "..data").unlink()


def test_a_pair_of_the_flat_layout_that_does_not_fit_is_made_anew(tmp_path: Path) -> None:
    ensure_pki(tmp_path, ["order"])
    flatten([tmp_path / "order"])
    (tmp_path / "order" / "key.pem").write_bytes((tmp_path / "edge-tls" / "key.pem").read_bytes())

    assert ensure_pki(tmp_path, ["order"]) == ["order"]
    assert read_leaf(tmp_path / "order") is not None
