"""When two tool names are too alike for a person, a policy or a lenient server to tell them apart."""

from __future__ import annotations

import unicodedata

# Invisible, spacing and combining characters: a name means the same without them.
_DROPPED = frozenset(("Cc", "Cf", "Cn", "Zs", "Zl", "Zp", "Mn", "Me"))


def folded(name: str) -> str:
    """What look-alikes have in common: no case, no width or other compatibility form (NFKC), no space, nothing invisible.

    Letters of other scripts that only look alike (Latin a, Cyrillic а) stay different.
    """
    if name.isascii() and name.isprintable():
        return name.replace(" ", "").lower()
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(char for char in text if unicodedata.category(char) not in _DROPPED).casefold()
