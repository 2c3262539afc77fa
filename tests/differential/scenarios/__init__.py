"""The scenarios, by subject. Each is a function with one line that says what it shows."""

from . import child_watchers, descriptors, event_loop, exceptions, policy, processes, signals  # noqa: F401
from .registry import SCENARIOS

__all__ = ["SCENARIOS"]
