"""Cuts text into pieces to be said one after the other, while it is still being written.

A sentence ends where it ends for a reader, whatever comes next: a capital letter is not waited for, since the
next sentence may begin with ¿, a digit or a small letter. The first piece may be a mere clause, because what
a listener waits for is the first sound. Nothing is lost or reordered, and the pieces do not depend on how the
text was cut when it arrived: a mark is judged only when what follows it is there.
"""

import re

LONGEST_PIECE = 200
"""Characters; about 13 seconds of speech."""
LONGEST_FIRST_PIECE = 120
SHORTEST_FIRST_CLAUSE = 10
"""Characters before a comma: below it, "Sure," would be said on its own."""

# Followed by a point these are no end of a sentence. None of them is also a common word.
_TITLES_AND_SHORTHAND = """
    dr mr mrs ms prof sr sra srta jr st rev gen sgt capt lt hon vs etc approx dept inc ltd corp ave blvd rd
    jan feb apr jun jul aug sep sept oct nov dec tue tues thu thur thurs fri hr hrs tel ext eg ie cf
    bzw ca evtl ggf inkl exkl usw usf bspw vgl str hl tgl std sek mme mlle mm
    dhr mevr bijv enz tzv atd apod např tj sigg dott avv ecc
"""
_ABBREVIATIONS = frozenset(_TITLES_AND_SHORTHAND.split())
# These are abbreviations only before a number: "No. 5", but "No. I cannot."
_BEFORE_NUMBER = frozenset({"no", "nr", "núm", "art", "fig", "p", "pp", "vol", "ch", "cap", "sec", "bd", "kap"})
# A number after these is an ordinal where ordinals are written with a point: "am 3. Mai".
_BEFORE_ORDINAL = frozenset({"der", "die", "das", "dem", "den", "am", "vom", "zum", "im", "bis", "ab", "beim", "dne"})
_DOTTED = re.compile(r"(?:\w\.)*\w")

_MARK = re.compile(
    r"""
      (?P<line>\s*\n)
    | (?P<wide>[。！？｡．।॥።؟۔။។։])                # ends that need no space after them
    | (?P<point>[.…!?]*[.…!?][\"'”’»)\]*_]*)(?=\s)
    | (?P<clause>[,;:–—][\"'”’»)\]]*(?=\s)|[，、；：،])
    """,
    re.VERBOSE,
)


class SentenceSplitter:
    """Takes one request's text as it comes and gives back pieces ready to be said."""

    def __init__(self, *, longest: int = LONGEST_PIECE, longest_first: int = LONGEST_FIRST_PIECE) -> None:
        """Let no piece exceed `longest` characters, the first one `longest_first`."""
        self._longest = longest
        self._longest_first = longest_first
        self._rest = ""
        self._is_first = True
        self._list_number = 0

    def add(self, text: str) -> list[str]:
        """Take more text; return the pieces it completes."""
        self._rest += text
        return self._take(at_end=False)

    def finish(self) -> list[str]:
        """Return what is left, as the last pieces."""
        return self._take(at_end=True)

    def _take(self, *, at_end: bool) -> list[str]:
        pieces = []
        while (cut := self._find_cut(at_end=at_end)) > 0:
            if piece := self._rest[:cut].strip():
                pieces.append(piece)
                self._is_first = False
            self._rest = self._rest[cut:].lstrip()
        return pieces

    def _find_cut(self, *, at_end: bool) -> int:
        """Return where the next piece ends, or 0 while that cannot be told yet."""
        longest = self._longest_first if self._is_first else self._longest
        for mark in _MARK.finditer(self._rest, 0, longest + 1):
            ends = self._ends_piece(mark, at_end=at_end)
            if ends is None:
                return 0
            if ends:
                return mark.end()
        if len(self._rest) > longest:
            return _cut_long(self._rest[:longest], is_word_end=self._rest[longest].isspace())
        return len(self._rest) if at_end else 0

    def _ends_piece(self, mark: re.Match[str], *, at_end: bool) -> bool | None:
        """Judge a mark; None where that needs text that is still to come."""
        if mark["line"] is not None or mark["wide"]:
            self._list_number = 0 if mark["wide"] else self._list_number
            return True
        before = self._rest[: mark.start()]
        if mark["clause"]:
            return self._is_first and len(before.strip()) >= SHORTEST_FIRST_CLAUSE
        if mark["point"] != ".":
            return True
        previous, _, word = before.rpartition(" ")
        word = word.rpartition("\n")[2].lstrip("\"'“‘«([{¿¡*_-").casefold()
        if word.isdecimal():
            return not self._is_numbering(word, previous)
        if word in _BEFORE_NUMBER:
            follows = self._rest[mark.end() :].lstrip()
            return not follows[0].isdecimal() if follows else (True if at_end else None)
        return bool(word) and word not in _ABBREVIATIONS and not _DOTTED.fullmatch(word)

    def _is_numbering(self, word: str, previous: str) -> bool:
        """Return whether a number before a point counts the items of a list or is an ordinal."""
        text = previous.rstrip()
        if len(word) <= 2 and (not text or text[-1] in ":;" or int(word) == self._list_number + 1 > 1):
            self._list_number = int(word)
            return True
        return len(word) <= 2 and text.rpartition(" ")[2].casefold() in _BEFORE_ORDINAL


def _cut_long(window: str, *, is_word_end: bool) -> int:
    """Return where to cut text that has no end in sight: after a clause if there is one, else after a word."""
    clauses = [mark.end() for mark in _MARK.finditer(window) if mark["clause"]]
    if clauses and clauses[-1] > len(window) // 3:
        return clauses[-1]
    if is_word_end:
        return len(window)
    space = max(window.rfind(" "), window.rfind("\t"), window.rfind("\u00a0"))
    return space if space > 0 else len(window)


def split_text(text: str, *, longest: int = LONGEST_PIECE, longest_first: int = LONGEST_FIRST_PIECE) -> list[str]:
    """Return the pieces of a text that is all there."""
    splitter = SentenceSplitter(longest=longest, longest_first=longest_first)
    return splitter.add(text) + splitter.finish()
