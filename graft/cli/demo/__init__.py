"""The main job shown on a store made on the spot, without Nix, with real programs."""

from graft.cli.demo.programs import find_compiler
from graft.cli.demo.shell import DemoStep
from graft.cli.demo.story import PAGE, Chapter, prepared, tell

__all__ = ["PAGE", "Chapter", "DemoStep", "find_compiler", "prepared", "tell"]
