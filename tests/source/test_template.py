"""Headers that both ends know are cut and put back, whatever the file is."""

from hypothesis import given
from hypothesis import strategies as st

from simulator.source.template import Template, level_of, restore, strip, template


def file(body: bytes, tail: bytes = b"END") -> bytes:
    """A made-up format: a mark, its length in either byte order, a size, the body, a tail."""
    length = 4 + 4 + 2 + 4 + len(body) + len(tail)
    return b"MARK" + (length - 8).to_bytes(4, "little") + b"\0\x10" + length.to_bytes(4, "big") + body + tail


KNOWN = template(file(bytes(40)), file(bytes(range(1, 256)) * 3))


def test_lengths_are_found_and_only_the_body_is_sent() -> None:
    assert KNOWN.lengths == ((4, "little"), (10, "big"))
    assert KNOWN.head_of(400)[:10] == b"MARK" + (392).to_bytes(4, "little") + b"\0\x10"
    for body in (b"b", b"a body" * 50, bytes(3000)):
        sent = strip(file(body), 700, KNOWN)
        assert len(sent) == 4 + len(body)
        assert level_of(sent) == 700
        assert restore(sent, KNOWN) == file(body)


def test_a_length_at_the_end_of_the_longest_head_is_sent() -> None:
    flat, checked = (bytes(4093) + count.to_bytes(4, "little") + bytes([count % 251]) * count for count in (900, 1300))
    known = template(flat, checked)
    assert restore(strip(checked, 3, known), known) == checked


@given(st.binary(max_size=60), st.binary(max_size=40), st.binary(max_size=15), st.integers(0, 65535))
def test_any_file_comes_back_whole(data: bytes, head: bytes, tail: bytes, level: int) -> None:
    for known in (KNOWN, Template(head, (), tail), Template(b"", (), b"")):
        sent = strip(data, level, known)
        assert restore(sent, known) == data
        assert len(sent) <= 4 + len(data)


def test_what_is_too_short_has_no_level() -> None:
    assert level_of(b"abc") is None
