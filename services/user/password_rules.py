"""Which passwords are refused although they are long enough: pure.

Length is what NIST SP 800-63B asks for, together with a look at what everybody tries first. A list copied from a breach
would be large and out of date; most of what stands in such lists follows a few habits, and these are named here.
"""

import unicodedata

# What people take when they have to take twelve characters. In lower case, as `_plain` writes them.
_WELL_KNOWN = frozenset(
    {
        "administrator",
        "adminadminadmin",
        "adminpassword",
        "bismillah123",
        "changemechangeme",
        "changemenow!",
        "defaultpassword",
        "iloveyoubaby",
        "iloveyouforever",
        "iloveyousomuch",
        "letmeinletmein",
        "letmeinnow!!",
        "liverpoolfc1",
        "manchesterunited",
        "mypasswordis",
        "mypassword123",
        "newpassword1",
        "nosoypassword",
        "opensesame123",
        "passphrase123",
        "password is password",
        "passwordpassword",
        "realmadridcf",
        "secretpassword",
        "spongebob123",
        "starwarsfan1",
        "testpassword",
        "testtesttest",
        "thisismypassword",
        "thisisapassword",
        "trustno1trustno1",
        "userpassword",
        "welcometothejungle",
        "whatever1234",
        "yourpassword",
        "zocozocozoco",
    }
)

# Words that stay a common password whatever digits and signs stand before or after them.
_COMMON_WORDS = frozenset(
    {
        "abc", "admin", "administrator", "adminuser", "asdf", "asdfgh", "autumn", "azerty", "baseball",
        "basketball", "changeit", "changeme", "charlie", "contrasena", "default", "dragon", "football", "freedom",
        "geheim", "guest", "hello", "helloworld", "hunter", "iloveyou", "jesus", "letmein", "liverpool", "login",
        "manchester", "master", "michael", "monkey", "motdepasse", "mypassword", "ninja", "passphrase", "passw",
        "password", "passwort", "pokemon", "princess", "qazwsx", "qwerty", "qwertyuiop", "qwertz", "root", "secret",
        "senha", "shadow", "spring", "starwars", "summer", "sunshine", "superman", "test", "tester", "trustno",
        "user", "welcome", "whatever", "winter", "zoco",
    }
)  # fmt: skip

_LEET = str.maketrans("013457@$!", "oieastasi")
_TRAILING = "0123456789!@#$%&*.?-_ "

# Ways a finger runs over letters, digits and keyboards.
_RUNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiop[]",
    "qwertzuiopü+",
    "azertyuiop",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "yxcvbnm,.-",
    "!@#$%^&*()_+",
    '!"§$%&/()=?',
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
)
_PIECES = frozenset(
    run[start : start + 3] for row in _RUNS for run in (row, row[::-1]) for start in range(len(run) - 2)
)

_FEW_CHARACTERS = 5
_UNPREDICTED = 4
_SHORTEST_LOCAL_PART = 4


def weakness(password: str, *, email: str) -> str | None:
    """Why a password is refused, as the end of the sentence `must ...`; None where it is not.

    Args:
        password: as the person typed it, already known to be 12 to 128 characters long.
        email: the address of the account it is for.
    """
    plain = _plain(password)
    if plain in _WELL_KNOWN or _is_decorated_word(plain):
        return "not be a common password"
    if len(set(plain)) < _FEW_CHARACTERS or _repeats_itself(plain):
        return "not repeat a few characters"
    if _predictable_characters(plain) > len(plain) - _UNPREDICTED:
        return "not be a run of letters, digits or keys"
    local_part = _plain(email).split("@", 1)[0]
    if len(local_part) >= _SHORTEST_LOCAL_PART and local_part in plain:
        return "not contain the name in the e-mail address"
    return None


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _is_decorated_word(plain: str) -> bool:
    """Whether a common word is all there is besides digits and signs: `Password1234!`, `P@ssw0rd-2026`, `admin.admin`.

    A digit can be a letter in disguise (`passw0rd`) or just a digit (`p4ssword2026`): all three readings are tried.
    """
    for spelling in (plain, plain.translate(_LEET), plain.rstrip(_TRAILING).translate(_LEET)):
        letters = "".join(character for character in spelling if character.isalpha())
        if letters[: _period(letters)] in _COMMON_WORDS:
            return True
    return False


def _period(text: str) -> int:
    """The length of the shortest beginning of which the text is a repetition, the last one perhaps cut short."""
    return next((length for length in range(1, len(text)) if text[length:] == text[:-length]), len(text))


def _repeats_itself(plain: str) -> bool:
    return _period(plain) <= len(plain) // 2


def _predictable_characters(plain: str) -> int:
    """How many characters stand in a run of at least three neighbours, such as `abc`, `987` or `wer`."""
    inside = set[int]()
    for start in range(len(plain) - 2):
        if plain[start : start + 3] in _PIECES:
            inside.update(range(start, start + 3))
    return len(inside)
