"""One function gone through on all of its ways, until nothing new is learned of its registers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from graft.fixups.fragments.effects import Effects, Silence
from graft.fixups.fragments.machine import Instruction, Machine
from graft.fixups.fragments.values import State

_PADDING: Final = b"\0\x90\xcc"
_VISITS: Final = 12
"""How many times a block is gone through, on the average, before the function is given up."""


def effects_of(
    machine: Machine, start: int, end: int, entries: Iterable[int] = ()
) -> Effects | None:
    """The effects of a function.

    Args:
        start: its first byte's offset in the file.
        end: the end of it.
        entries: addresses inside to which other code jumps.

    Returns:
        None if it cannot be followed: it jumps into an instruction's middle, goes on where there
        is an instruction that the disassembler does not know, or takes too long.
    """
    flow = _Flow(machine, list(machine.instructions(start, end)))
    if not flow.instructions or not flow.split(entries) or flow.leaves(end):
        return None
    return flow.effects() if flow.settle() else None


class _Flow:
    def __init__(self, machine: Machine, instructions: list[Instruction]) -> None:
        self._machine = machine
        self.instructions = instructions
        self._blocks: dict[int, tuple[int, int]] = {}  # first and last instruction, by address
        self._next: dict[int, list[int]] = {}
        self._states: dict[int, State] = {}
        self._outer: list[int] = []

    def split(self, entries: Iterable[int]) -> bool:
        """Finds the blocks; false if it cannot be told where they begin."""
        indices = {each.address: at for at, each in enumerate(self.instructions)}
        low, high = self.instructions[0].address, self.instructions[-1].end
        leaders = {low}
        lost = False
        ways = [self._machine.way(each) for each in self.instructions]
        for each, (way, target) in zip(self.instructions, ways, strict=True):
            lost = lost or way == "unknown"
            if way in {"jump", "branch"} and target is not None and low <= target < high:
                if target not in indices:
                    return False
                leaders.add(target)
            if way in {"jump", "branch", "end", "unknown"} and each.end in indices:
                leaders.add(each.end)
        if lost:  # to an address that it computes: it may be any of those known, or a table's
            entries = {*entries, *leaders, *self._machine.tables(self.instructions)}
        self._outer = [each for each in entries if each in indices]
        leaders.update(self._outer)
        starts = [*sorted(indices[each] for each in leaders), len(self.instructions)]
        for first, after in pairwise(starts):
            self._blocks[self.instructions[first].address] = first, after
        for address, (_, after) in self._blocks.items():
            way, target = ways[after - 1]
            following = []
            if way in {"jump", "branch"} and target in self._blocks:
                following.append(target)
            end = self.instructions[after - 1].end
            if way in {"on", "branch", "call"} and end in self._blocks:
                following.append(end)
            self._next[address] = [each for each in following if each is not None]
        return True

    def leaves(self, end: int) -> bool:
        """Whether the code may go on beyond its known instructions, and before its end.

        Args:
            end: its end's offset in the file.
        """
        high = self.instructions[-1].end
        rest = self._machine.elf.offset(high)
        if rest is None or rest >= end or not self._machine.data[rest:end].strip(_PADDING):
            return False
        after = self._machine.elf.address(end - 1) or high
        for each in self.instructions:
            way, target = self._machine.way(each)
            if way == "unknown" or (target is not None and high <= target <= after):
                return True
        return self._machine.way(self.instructions[-1])[0] in {"on", "branch", "call"}

    def settle(self) -> bool:
        """Finds the known values at the beginning of each block; false if that takes too long."""
        led_to = {each for following in self._next.values() for each in following}
        waiting: dict[int, None] = {}
        for address in self._blocks:
            if address == self.instructions[0].address or not (
                address in led_to or self._is_padding(address)
            ):
                self._states[address] = State({}, ("entry", address))
                waiting[address] = None
        for address in self._outer:
            if address in self._blocks:
                self._states[address] = State({}, ("outer", address))
                waiting[address] = None
        silence = Silence()
        visits = _VISITS * len(self._blocks) + 64
        while waiting:
            visits -= 1
            if visits < 0:
                return False
            address = next(iter(waiting))
            del waiting[address]
            after = self._through(address, silence)
            for target in self._next[address]:
                known = self._states.get(target)
                joined = after if known is None else known.joined(after, "join", target)
                if known is None or joined != known:
                    self._states[target] = joined.copy()
                    waiting[target] = None
        return True

    def effects(self) -> Effects:
        """Goes through all blocks once more and takes down their effects."""
        effects = Effects()
        for address, (_, last) in self._blocks.items():
            after = self._through(address, effects)
            effects.observe()
            way, target = self._machine.way(self.instructions[last - 1])
            leaves = way == "unknown" or (target is not None and target not in self._blocks)
            following = [self._states[each] for each in self._next[address]]
            for family, value in after.registers.items():
                # Where ways come together it may be one of several, and is not known any more.
                if leaves or any(each.get(family).linear != value.linear for each in following):
                    effects.escape(value.linear)
        return effects

    def _is_padding(self, address: int) -> bool:
        """Whether a block is there only for the next one to begin at an even address."""
        first, after = self._blocks[address]
        return all(each.mnemonic.endswith("nop") for each in self.instructions[first:after])

    def _through(self, address: int, effects: Effects) -> State:
        known = self._states.get(address) or State({}, ("entry", address))
        state = known.copy()
        first, after = self._blocks[address]
        for instruction in self.instructions[first:after]:
            self._machine.step(state, instruction, effects)
        return state
