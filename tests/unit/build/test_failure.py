"""Failures are judged by what daemons really say.

`buildkit_texts.json` has one text per line: what was wrong, the daemon that said it, and what is to be made of it.
They were taken off the wire of BuildKit 0.34.2 and of Docker 20.10.24 (BuildKit 0.8), with nothing changed but the
daemon's data directory and name server; "not run" marks those that others report (04 · 6, git, registries).
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.build.failure import GIT_AUTH_FAILED, Failure, FailureKind, Verdict, classify, surroundings
from service.build.failure.dockerfile import DOCKERFILE
from service.build.failure.rule import Rule

SAID: list[dict[str, Any]] = json.loads(Path(__file__).with_name("buildkit_texts.json").read_text())
GIVEN = ("code", "text", "exit_code", "failed_step_name", "source_line", "output")
TABLES = {
    "INTERRUPTIONS": surroundings.INTERRUPTIONS,
    "PUSH": surroundings.PUSH,
    "CLONE": surroundings.CLONE,
    "DOWNLOAD": surroundings.DOWNLOAD,
    "IMAGE": surroundings.IMAGE,
    "OURS": surroundings.OURS,
    "DOCKERFILE": DOCKERFILE,
}
RULES = [(name, rule) for name, table in TABLES.items() for rule in table]


def failure(said: dict[str, Any]) -> Failure:
    return Failure(**{name: said[name] for name in GIVEN if name in said})


def run(command: str, ending: str = "exit code: 3") -> str:
    return f'process "/bin/sh -c {command}" did not complete successfully: {ending}'


@pytest.mark.parametrize("said", SAID, ids=lambda said: f"{said['daemon']}: {said['cause']}")
def test_what_daemons_say(said: dict[str, Any]) -> None:
    verdict = classify(failure(said))
    expected = (said["kind"], said["reason"], said["message"], said.get("unmatched", False))
    assert (verdict.kind, verdict.reason, verdict.message, verdict.unmatched) == expected


@pytest.mark.parametrize("said", SAID, ids=lambda said: f"{said['daemon']}: {said['cause']}")
def test_messages_are_fit_for_the_owner(said: dict[str, Any]) -> None:
    message = classify(failure(said)).message
    assert message.isprintable()
    assert len(message.encode()) <= 512
    for secret in ("hunter2", "/var/lib", "runc-native", "192.0.2.53", "0123456789abcdef"):
        assert secret not in message


@pytest.mark.parametrize(("table", "rule"), RULES, ids=lambda value: value.reason if isinstance(value, Rule) else value)
def test_every_rule_is_there_for_a_text(table: str, rule: Rule) -> None:
    words = ".*".join(re.escape(part) for part in re.split(r"(?:\{\w+\})+", rule.message))
    fired = [
        said["cause"]
        for said in SAID
        if (said["kind"], said["reason"], said.get("unmatched", False)) == (rule.kind, rule.reason, rule.is_guess)
        and re.fullmatch(words, said["message"])
    ]
    assert fired, f"no text for this rule of {table}"


@pytest.mark.parametrize("prefix", ["failed to solve: ", "failed to solve: Unknown: "])
def test_the_go_clients_prefixes_change_nothing(prefix: str) -> None:
    for said in SAID:
        prefixed = failure({**said, "text": prefix + said["text"]})
        assert classify(prefixed) == classify(failure(said)), said["cause"]


@pytest.mark.parametrize(
    "words",
    [
        "no active session",
        "failed to push",
        "no space left on device",
        "failed to fetch remote: timeout",
        "echo context canceled",
        "exit code: 7",
        'x" did not complete successfully: exit code: 9',
        "unable to find user root",
        "network bridge not found",
    ],
)
def test_the_words_of_a_command_decide_nothing(words: str) -> None:
    said = classify(Failure("UNKNOWN", run(words), exit_code=3))
    assert (said.kind, said.reason) == (FailureKind.USER, "RUN_FAILED")
    assert "exit code 3" in said.message
    assert classify(Failure("UNKNOWN", run(words))) == said


def test_a_command_that_the_daemon_stopped_is_not_blamed() -> None:
    stopped = Failure("UNKNOWN", run("sleep 9", "exit code: 137: context canceled: context canceled"), exit_code=137)
    assert classify(stopped).kind is FailureKind.TRANSIENT


@pytest.mark.parametrize(
    "code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED", "INTERNAL"]
)
def test_codes_of_a_connection_or_a_daemon_go_before_the_text(code: str) -> None:
    assert classify(Failure(code, "the Dockerfile cannot be empty")).kind is FailureKind.TRANSIENT


def test_what_we_cancelled_is_cancelled_whatever_is_said() -> None:
    assert classify(Failure("UNKNOWN", run("make"), exit_code=2), cancelled=True) == Verdict(
        FailureKind.CANCELLED, "CANCELLED", "the build was cancelled"
    )


def test_a_push_is_never_the_owners_fault() -> None:
    for ending in ("no such file or directory", "invalid reference format", "not found", "404 Not Found", "anything"):
        verdict = classify(Failure("UNKNOWN", f"failed to push registry.example.com/x:1: {ending}"))
        assert verdict.kind in {FailureKind.OURS, FailureKind.TRANSIENT}


def test_only_our_own_clone_asks_for_a_new_token() -> None:
    refused = "failed to fetch remote https://github.com/a/b.git: git stderr:\nfatal: could not read Username for 'x'"
    ours = Failure("UNKNOWN", f"failed to read dockerfile: {refused}")
    theirs = Failure(
        "UNKNOWN", f"failed to load cache key: {refused}", failed_step_name="[1/2] ADD https://github.com/a/b.git /b"
    )
    assert classify(ours).reason == GIT_AUTH_FAILED
    assert classify(theirs).reason == "DOWNLOAD_FAILED"


def test_git_is_heard_in_the_output_only_where_the_text_is_silent() -> None:
    silent = "failed to read dockerfile: failed to fetch remote https://github.com/a/b.git: exit status 128"
    assert classify(Failure("UNKNOWN", silent, output="fatal: Authentication failed for 'x'")).reason == GIT_AUTH_FAILED
    assert classify(Failure("UNKNOWN", silent)).reason == "GIT_FETCH_FAILED"
    absent = "failed to read dockerfile: open Dockerfile: no such file or directory"
    assert classify(Failure("UNKNOWN", absent, output="Authentication failed")).reason == "DOCKERFILE_NOT_FOUND"


@pytest.mark.parametrize(
    "secret", ["https://jane:hunter2@example.com/x", "https://hunter2@example.com", "ghs_hunter2hunter2hunter2"]
)
def test_credentials_are_not_repeated(secret: str) -> None:
    for text in (
        run(f"curl {secret}"),
        f"dockerfile parse error on line 3: unknown instruction: {secret}",
        f"failed to read dockerfile: open {secret}: no such file or directory",
        f'failed to process "{secret}": no',
        secret,
    ):
        assert "hunter2" not in classify(Failure("UNKNOWN", text, failed_step_name=f"[1/2] ADD {secret} /x")).message


TEMPLATES = [said["text"] for said in SAID]


@given(st.sampled_from(TEMPLATES), st.text(max_size=300), st.text(max_size=300), st.none() | st.integers(0, 255))
def test_every_message_is_one_short_line(template: str, inside: str, step: str, exit_code: int | None) -> None:
    half = len(template) // 2
    for text in (template[:half] + inside + template[half:], run(inside), inside):
        message = classify(Failure("UNKNOWN", text, exit_code, step, 7)).message
        assert message.isprintable()
        assert len(message.encode()) <= 512


@pytest.mark.parametrize("filling", ["/", "a", ":", '"', "a:/", "https://a", ' "', ": a/", "failed to fetch remote "])
def test_long_texts_are_judged_as_well(filling: str) -> None:
    """Their length is the owner's to choose; patterns that went back and forth in them would not end in time."""
    long = (filling * 65536)[:65536]
    ran = classify(Failure("UNKNOWN", run(long), failed_step_name=f"[2/2] RUN {long}"))
    assert (ran.reason, "exit code 3" in ran.message) == ("RUN_FAILED", True)
    parsed = classify(Failure("UNKNOWN", f"dockerfile parse error on line 3: unknown instruction: {long}"))
    assert parsed.reason == "DOCKERFILE_SYNTAX"
    absent = classify(Failure("UNKNOWN", f"failed to compute cache key: {long}: not found", failed_step_name=long))
    assert absent.kind in {FailureKind.USER, FailureKind.TRANSIENT}
