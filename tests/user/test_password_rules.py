"""Which passwords are refused."""

import pytest

from services.user.password_rules import weakness

EMAIL = "henrietta@example.com"


@pytest.mark.parametrize(
    "password",
    [
        "password1234", "Password1234!", "P@ssw0rd2026!", "passwordpassword", "PASSWORDPASSWORD", "password-password",
        "p4ssword2026", "qwerty123456", "letmein12345", "welcome-2026!", "admin.admin.admin", "administrator",
        "iloveyouforever", "changeme1234", "hunt3rHunt3r", "1q2w3e4r5t6y",
        "trustno1trustno1", "\uff50\uff41\uff53\uff53word1234",
    ],
)  # fmt: skip
def test_common_passwords_are_refused(password: str) -> None:
    assert weakness(password, email=EMAIL) == "not be a common password"


@pytest.mark.parametrize(
    "password",
    ["aaaaaaaaaaaa", "abababababab", "mesa4Mesa4mesa4", "xK9#xK9#xK9#", "1111222233334444", "a b a b a b a b"],
)
def test_repetition_is_refused(password: str) -> None:
    assert weakness(password, email=EMAIL) == "not repeat a few characters"


@pytest.mark.parametrize(
    "password",
    [
        "123456789012",
        "098765432109",
        "abcdefghijkl",
        "zyxwvutsrqpo",
        "qwertyuiopas",
        "1qaz2wsx3edc",
        "asdfghjkl123",
        "abcd1234wxyz",
    ],
)
def test_runs_are_refused(password: str) -> None:
    assert weakness(password, email=EMAIL) == "not be a run of letters, digits or keys"


@pytest.mark.parametrize("password", ["henrietta-9-roses", "MyHENRIETTApass42", "42attention henrietta"])
def test_the_name_in_the_address_is_refused(password: str) -> None:
    assert weakness(password, email=EMAIL) == "not contain the name in the e-mail address"


@pytest.mark.parametrize(
    "password",
    [
        "tr0ub4dor&3x", "four odd wooden chairs", "N7#qLz!p0VbR", "kd83-Kfm2-zzq1", "Sup3r-Secret-Passw0rd",
        "una casa junto al mar", "我的密码是一个很长的句子啊", "mesh-of-things-42", "\x00\x01null bytes are fine",
    ],
)  # fmt: skip
def test_other_passwords_pass(password: str) -> None:
    assert weakness(password, email=EMAIL) is None


def test_a_short_local_part_forbids_nothing() -> None:
    assert weakness("jo likes wooden chairs", email="jo@example.com") is None


@pytest.mark.parametrize("password", ["a" * 128, "".join(chr(33 + i % 90) for i in range(128)), "\U0010ffff" * 128])
def test_the_longest_password_is_judged_at_once(password: str) -> None:
    weakness(password, email="x" * 200 + "@example.com")
