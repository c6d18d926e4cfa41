"""Which products a file has named so far, in a few bytes a row."""

from array import array
from hashlib import blake2b

_FIRST_SLOTS = 1 << 14
_MASK_64 = (1 << 64) - 1


class SeenProducts:
    """Remembers on which line a product was first named, in 12 to 24 bytes a product and not the 150 of a dict.

    An open-addressing table of 64-bit digests: two of a million different products meet with a probability of 3e-8.
    """

    def __init__(self) -> None:
        self._resize(_FIRST_SLOTS)
        self._count = 0

    def __len__(self) -> int:
        """Return how many products are remembered."""
        return self._count

    def line_of(self, category: str, name: str, line: int) -> int | None:
        """Return the line that named this product before; or None, and remember that `line` does now.

        The identity of a product in an import is its category and name, without regard to case. Both are given with
        their space already folded.
        """
        key = f"{category.casefold()}\0{name.casefold()}".encode()
        # Zero marks a free slot.
        digest = int.from_bytes(blake2b(key, digest_size=8).digest(), "little") or _MASK_64
        digests, mask = self._digests, self._mask
        slot = digest & mask
        while (there := digests[slot]) != 0:
            if there == digest:
                return self._lines[slot]
            slot = (slot + 1) & mask
        digests[slot] = digest
        self._lines[slot] = line
        self._count += 1
        if self._count * 3 > (mask + 1) * 2:
            self._grow()
        return None

    def _resize(self, slots: int) -> None:
        self._mask = slots - 1
        self._digests = array("Q", bytes(8 * slots))
        self._lines = array("I", bytes(4 * slots))

    def _grow(self) -> None:
        old_digests, old_lines = self._digests, self._lines
        self._resize(2 * len(old_digests))
        digests, lines, mask = self._digests, self._lines, self._mask
        for digest, line in zip(old_digests, old_lines, strict=True):
            if digest:
                slot = digest & mask
                while digests[slot]:
                    slot = (slot + 1) & mask
                digests[slot] = digest
                lines[slot] = line
