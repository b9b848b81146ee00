"""The main job shown on a store made on the spot, without Nix: real programs with a hole."""

from graft.demo.programs import find_compiler
from graft.demo.shell import Step
from graft.demo.story import Chapter, prepared, tell

__all__ = ["Chapter", "Step", "find_compiler", "prepared", "tell"]
