"""Whether an app's answer is a document at all: JSON or YAML with a mapping at its root.

It comes from strangers, so nothing is built from it: JSON objects are dropped as soon as they are read, and of YAML
only the parser's events are seen, among which an alias is a word and no copy of what it stands for.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from threading import Event
from typing import Any

import yaml

from service.openapi.refusals import invalid, unavailable

CHECK_WITHIN = timedelta(seconds=30)  # the densest YAML that is allowed takes 4 s of a free core

# A whole 5 MiB of OpenAPI has some 300,000 values as JSON, and makes 600,000 events of YAML, 30 levels deep.
_JSON_VALUES = 500_000
_EVENTS = 2_000_000
_LEVELS = 200
# libyaml compares each with all before it, and nothing else runs meanwhile: 500,000 of them would take minutes.
_TAG_DIRECTIVES = 16

_OBJECT = object()
_OPENING = (yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.MappingStartEvent)
_LEVELS_BY = {
    yaml.MappingStartEvent: 1,
    yaml.SequenceStartEvent: 1,
    yaml.MappingEndEvent: -1,
    yaml.SequenceEndEvent: -1,
}


async def check_document(content: bytes, within: timedelta = CHECK_WITHIN) -> None:
    """Read a document in a thread.

    Raises FailedPrecondition (OPENAPI_INVALID) for what is not JSON or YAML with a mapping at its root, and Transient
    where the machine is too busy to tell.
    """
    given_up = Event()
    try:
        async with asyncio.timeout(within.total_seconds()):
            await asyncio.to_thread(_check, content, given_up.is_set)
    except TimeoutError:
        raise unavailable("the app's OpenAPI document could not be read in time") from None
    finally:
        given_up.set()


def _check(content: bytes, given_up: Callable[[], bool]) -> None:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise invalid("is not UTF-8") from None
    if _is_json_object(text):
        return
    if text.count("%TAG") > _TAG_DIRECTIVES:
        raise invalid(f"has more than {_TAG_DIRECTIVES} %TAG directives")
    try:
        _check_yaml(text, given_up)
    except yaml.YAMLError:
        raise invalid("is neither JSON nor YAML") from None


def _is_json_object(text: str) -> bool:
    """Tell whether it is; not where it has so many values that reading them would hold up the event loop.

    That and all that fails here is left to YAML, of which JSON is nearly a part, and which is read step by step.
    """
    if not text.lstrip(" \t\r\n").startswith("{") or sum(map(text.count, "{[,")) > _JSON_VALUES:
        return False
    try:
        # `float` because Python refuses to read long integers. The hook lets other threads run, once per object.
        return json.loads(text, object_pairs_hook=lambda _: _OBJECT, parse_int=float) is _OBJECT
    except (ValueError, RecursionError):
        return False


def _check_yaml(text: str, given_up: Callable[[], bool]) -> None:
    events: Iterator[Any] = yaml.parse(text, yaml.CSafeLoader)
    opening = list(islice(events, len(_OPENING)))
    if tuple(map(type, opening)) != _OPENING:
        raise invalid("has no mapping at its root")
    anchors = {opening[-1].anchor}
    levels = 1
    for read, event in enumerate(events):
        levels += _LEVELS_BY.get(type(event), 0)
        if read > _EVENTS or levels > _LEVELS:
            raise invalid(f"has more than {_EVENTS:,} parts, or {_LEVELS} levels of them")
        if isinstance(event, yaml.DocumentStartEvent):
            raise invalid("is several documents in one")
        if isinstance(event, yaml.AliasEvent) and event.anchor not in anchors:
            raise invalid("has an alias without an anchor before it")
        if isinstance(event, yaml.NodeEvent):
            anchors.add(event.anchor)
        if given_up():
            return
