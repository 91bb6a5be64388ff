"""A mask hides whole secrets, and nothing else."""

from __future__ import annotations

from dioptra_worker.common.masking import SHORTEST_SECRET, Mask


def test_mask_hides_the_longest_first() -> None:
    """Where one secret begins with another, nothing of the longer one stays."""
    mask = Mask(["swordfish", "swordfish-and-more"])
    assert mask("a swordfish-and-more b swordfish c") == "a *** b *** c"


def test_mask_leaves_short_values_alone() -> None:
    """A secret so short that innocent words hold it hides nothing."""
    short = "a" * (SHORTEST_SECRET - 1)
    assert Mask([short, ""])(f"{short} banana") == f"{short} banana"
    assert Mask([short + "a"])(f"is {short}a") == "is ***"
