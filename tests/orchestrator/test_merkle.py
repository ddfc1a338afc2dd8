"""Merkle trees against the definition of RFC 6962, written down a second time, and its known answers."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.merkle import leaf_hash, path_of, root_from, root_of

# The inputs and roots of the reference implementation's tests: github.com/google/certificate-transparency,
# cpp/merkletree/merkle_tree_test.cc.
INPUTS = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)

hashes = st.lists(st.binary(max_size=8).map(leaf_hash), min_size=1, max_size=70)


def as_defined(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word by word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + as_defined(leaves[:split]) + as_defined(leaves[split:])).digest()


@pytest.mark.parametrize("count", range(1, 9))
def test_known_roots(count: int) -> None:
    leaves = [leaf_hash(bytes.fromhex(text)) for text in INPUTS[:count]]
    assert root_of(leaves).hex() == ROOTS[count - 1]


def test_no_leaves_have_the_root_of_nothing() -> None:
    assert root_of([]) == sha256(b"").digest()


@given(hashes)
def test_the_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    assert root_of(leaves) == as_defined(leaves)


@given(hashes, st.data())
def test_a_proof_leads_to_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = path_of(leaves, index)
    assert root_from(leaves[index], index, len(leaves), path) == root_of(leaves)


@given(hashes, st.data())
def test_a_proof_with_one_bit_changed_leads_elsewhere(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    parts = [leaves[index], *path_of(leaves, index)]
    part, bit = data.draw(st.integers(0, len(parts) - 1)), data.draw(st.integers(0, 255))
    number = int.from_bytes(parts[part]) ^ (1 << bit)
    parts[part] = number.to_bytes(32)
    assert root_from(parts[0], index, len(leaves), parts[1:]) != root_of(leaves)


@given(hashes, st.data())
def test_a_proof_of_another_length_leads_nowhere(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = path_of(leaves, index)
    assert root_from(leaves[index], index, len(leaves), [*path, leaves[0]]) is None
    if path:
        assert root_from(leaves[index], index, len(leaves), path[:-1]) is None
    assert root_from(leaves[index], len(leaves), len(leaves), path) is None
