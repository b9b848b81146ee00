"""Whether the rules of a changed file's type are known, so that it may be called right."""

from __future__ import annotations

from graft.fixups import Registry, registered
from graft.fixups.api import HEAD
from graft.fixups.text import TextProbe


class TypeProbe:
    """Tells whether the type of one file is known, as its bytes pass.

    Known are the types of the registered fix-ups, ELF among them, and text: UTF-8 without NUL.
    Every other file may keep a sum, a length or an order of its own bytes.

    Args:
        name: the file's name, without directories.
        registry: whose fix-ups know types; None: the usual one.
    """

    def __init__(self, name: bytes, registry: Registry | None = None) -> None:
        self._name = name
        self._registry = registered() if registry is None else registry
        self._head: bytes | None = b""  # None: it has been looked at
        self._text = TextProbe()
        self._known: bool | None = None

    def more(self, data: bytes, *, final: bool = False) -> None:
        """The bytes that come next.

        Args:
            final: they are the last ones; the piece may be empty.
        """
        if self._known is not None:
            return
        if self._head is not None:
            self._head += data
            if len(self._head) < HEAD and not final:
                return
            data, self._head = self._head, None
            if self._registry.recognise(data[:HEAD], self._name) is not None:
                self._known = True
                return
        self._text.more(data, final=final)
        self._known = self._text.text

    @property
    def known(self) -> bool | None:
        """Whether the type is known; None if the bytes that have passed do not tell yet."""
        return self._known
