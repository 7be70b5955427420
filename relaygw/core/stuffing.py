"""Content on its way to a next hop: dots doubled, the end marked, and nothing in it that could end it early.

RFC 5321 4.5.2 and 2.3.8. State is carried from piece to piece, so that it does not matter where a file is cut. A bare
CR or LF is refused and never sent: servers disagree on what it means, and mail is smuggled through the disagreement.
"""

from collections.abc import Iterable

import attrs

from relaygw.core.line_ends import has_bare


class BareLineEnd(ValueError):
    """The content holds a CR or LF that is not part of a CRLF."""


class LineEnds:
    """Checks content piece by piece: every CR is followed by LF, every LF follows a CR."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The octets that are known to be sound; a CR at the end waits for what follows. Raises BareLineEnd."""
        if self._held:
            data, self._held = self._held + data, b""
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        if has_bare(data):
            raise BareLineEnd("the content holds a bare CR or LF")
        return data

    @property
    def pending(self) -> bool:
        """Whether a CR still waits for its LF."""
        return bool(self._held)

    def finish(self) -> None:
        """Raises BareLineEnd when the content ended with a CR."""
        if self._held:
            raise BareLineEnd("the content ends with a bare CR")


class Stuffer:
    """Makes the octets that follow a 354, piece by piece."""

    def __init__(self) -> None:
        self._ends = LineEnds()
        self._at_start = True

    def feed(self, data: bytes) -> bytes:
        """The next piece as it goes over the wire; raises BareLineEnd, and then nothing more may be sent."""
        data = self._ends.feed(data)
        if not data:
            return b""
        stuffed = data.replace(b"\r\n.", b"\r\n..") if b"\r\n." in data else data
        if self._at_start and data[:1] == b".":
            stuffed = b"." + stuffed
        self._at_start = data.endswith(b"\r\n")
        return stuffed

    def finish(self) -> bytes:
        """What ends the content: the final CRLF where it is missing, and the lone dot."""
        self._ends.finish()
        return b".\r\n" if self._at_start else b"\r\n.\r\n"


def stuff(data: bytes) -> bytes:
    """A whole content as it goes over the wire, end included. It must be sound (`survey`): nobody looks twice."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    if data[:1] == b".":
        stuffed = b"." + stuffed
    return stuffed + (b".\r\n" if not data or data.endswith(b"\r\n") else b"\r\n.\r\n")


@attrs.frozen
class Survey:
    """What a conversation must know of a content before it begins. `ended`: with a CRLF, as all lines do."""

    sound: bool
    eight_bit: bool
    nul: bool = False
    ended: bool = True


def survey(pieces: Iterable[bytes]) -> Survey:
    """Read a whole content. It is sound when no CR or LF in it is bare."""
    ends = LineEnds()
    sound, eight_bit, nul, last = True, False, False, b"\r\n"
    for piece in pieces:
        if sound:
            sound = _is_sound(ends, piece)
        eight_bit = eight_bit or not piece.isascii()
        nul = nul or b"\0" in piece
        last = (last + piece)[-2:] if len(piece) < 2 else piece[-2:]
    return Survey(sound=sound and not ends.pending, eight_bit=eight_bit, nul=nul, ended=last == b"\r\n")


def _is_sound(ends: LineEnds, piece: bytes) -> bool:
    try:
        ends.feed(piece)
    except BareLineEnd:
        return False
    return True
