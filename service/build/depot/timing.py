"""How long Depot is waited for, and how often it is asked."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Timing:
    """The defaults are those of 04 · 7.2.

    `answer` bounds one call, `project` the whole search for a project, `machine` the whole wait for a machine, `finish`
    the report of a build's end. `poll_floor` is the least pause between two questions for the machine, `retry_pause`
    the pause after trouble, `heartbeat_pause` the one between a heartbeat's answer and the next heartbeat.
    """

    answer: timedelta = timedelta(seconds=15)
    project: timedelta = timedelta(minutes=1)
    machine: timedelta = timedelta(minutes=5)
    finish: timedelta = timedelta(seconds=10)
    heartbeat: timedelta = timedelta(seconds=30)
    heartbeat_pause: timedelta = timedelta(seconds=5)
    poll_floor: timedelta = timedelta(milliseconds=250)
    retry_pause: timedelta = timedelta(seconds=1)
