"""The host names under which a deployment is reached.

A name is one label in front of the apex, `<prefix>[-<what it stands for>]-<workspace>`, as the reference
spells it (02 · 1.6) wherever that resolves and is unambiguous. Names of one deployment never meet: seven hex
digits after `git-` are a commit, so a branch that looks like one gets a hash; `git-` and `dep-` are taken, so
an environment that begins so gets a hash in front. Names of different apps, or of branches with equal slugs,
can still be equal; `disputed` is the way out.
"""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from service.domain.deployment import PRODUCTION

_LABEL_LENGTH = 63  # RFC 1035 · 2.3.4
_SLUG_LENGTH = 80
_HASH_LENGTH = 8

_WELL_FORMED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_SHA = re.compile(r"[0-9a-f]{7,}")
_LIKE_A_COMMIT = re.compile(r"[0-9a-f]{7}(?:-[0-9]{4})?")
_TAKEN = ("git-", "dep-")


class Sticky(StrEnum):
    """`frontline_routes.sticky`: what a route stays with when deployments come and go."""

    NONE = "none"
    BRANCH = "branch"
    ENVIRONMENT = "environment"
    LIVE = "live"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True, slots=True)
class NameInput:
    """What names are made of. Empty and None mean the same: not known, or not a fork.

    `commit_suffix` (1000 to 9999, drawn once per deployment) is for docker-image sources only: one sha may be
    behind many images. `apex` is the configured default domain.
    """

    project_slug: str
    app_slug: str
    environment_slug: str
    workspace_slug: str
    deployment_id: str
    apex: str
    commit_sha: str | None = None
    commit_suffix: int | None = None
    branch: str | None = None
    fork_repository_full_name: str | None = None


@dataclass(frozen=True, slots=True)
class Name:
    """A host name; `identity` spells what it stands for in full, before anything was slugged or cut."""

    fqdn: str
    sticky: Sticky
    identity: str


def draw_commit_suffix(random: Random) -> int:
    """Draw the number that tells the images of one commit apart."""
    return random.randint(1000, 9999)


def slug(text: str) -> str:
    """Spell free text in `a-z0-9-`, at most 80 characters; empty when it has no ASCII letter or digit."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text.strip()).lower()[:_SLUG_LENGTH].rstrip("-")


def prefix(project_slug: str, app_slug: str, fork_repository_full_name: str | None = None) -> str:
    """Begin every name of an app: `<project>[-<app>][-fork-<owner>]`, the app unless it is `default`."""
    parts = [_part(project_slug)]
    if app_slug != "default":
        parts.append(_part(app_slug))
    if fork_repository_full_name:
        owner = fork_repository_full_name.partition("/")[0]
        parts += ["fork", slug(owner) or _hash(owner)]
    return "-".join(parts)


def names(wanted: NameInput) -> tuple[Name, ...]:
    """Name a deployment: commit, branch, environment, live, deployment, in this order, those that apply.

    Host names are distinct within the result, whatever the case of their letters.
    """
    found: list[Name] = []
    if wanted.commit_sha:
        commit = _commit(wanted.commit_sha, wanted.commit_suffix)
        stands_for = f"{wanted.commit_sha.lower()} {wanted.commit_suffix or ''}"
        found.append(_name(wanted, Sticky.NONE, f"git-{commit}", stands_for))
    if wanted.branch:
        found.append(_name(wanted, Sticky.BRANCH, f"git-{_branch(wanted.branch)}", wanted.branch))
    environment = wanted.environment_slug
    found.append(_name(wanted, Sticky.ENVIRONMENT, _environment(environment), environment))
    if environment == PRODUCTION:
        found.append(_name(wanted, Sticky.LIVE, "", ""))
    deployment = wanted.deployment_id
    found.append(_name(wanted, Sticky.DEPLOYMENT, f"dep-{_part(deployment.replace('_', '-'))}", deployment))
    return tuple(found)


def disputed(name: Name, owner_key: str) -> Name:
    """Make the alternative for a name that somebody else holds: the same label, cut as needed, and a hash.

    Depends on its arguments alone, so that a later deploy of the same owner finds it again. Applied to an
    alternative that is held too, it makes the next one. `owner_key` tells claimants apart, as an app id does.
    """
    label, _, apex = name.fqdn.partition(".")
    claim = json.dumps([owner_key, name.identity, name.fqdn])
    return replace(name, fqdn=f"{_hashed(label, claim)}.{apex}")


def _name(wanted: NameInput, sticky: Sticky, middle: str, stands_for: str) -> Name:
    app = (wanted.project_slug, wanted.app_slug, wanted.fork_repository_full_name or "")
    identity = json.dumps([sticky, wanted.workspace_slug, *app, stands_for])
    parts = (prefix(*app), middle, _part(wanted.workspace_slug))
    label = "-".join(part for part in parts if part)
    if len(label) > _LABEL_LENGTH:
        label = _hashed(label, identity)
    return Name(f"{label}.{wanted.apex}", sticky, identity)


def _commit(sha: str, suffix: int | None) -> str:
    raw = sha.lower()
    # What is no sha (the column takes any text) is known by its hash, so that it cannot pass for a branch.
    short = (raw if _SHA.fullmatch(raw) else _hash(raw))[:7]
    return short if suffix is None else f"{short}-{suffix}"


def _branch(branch: str) -> str:
    text = slug(branch) or _hash(branch)
    return f"{text}-{_hash(branch)}" if _LIKE_A_COMMIT.fullmatch(text) else text


def _environment(raw: str) -> str:
    text = _part(raw)
    return f"{_hash(raw)}-{text}" if text.lower().startswith(_TAKEN) else text


def _part(raw: str) -> str:
    """Keep a well-formed slug or id as it is, its case too; mend any other."""
    return raw if _WELL_FORMED.fullmatch(raw) else slug(raw).strip("-") or _hash(raw)


def _hashed(label: str, identity: str) -> str:
    kept = label[: _LABEL_LENGTH - _HASH_LENGTH - 1].rstrip("-")
    return f"{kept}-{_hash(identity)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:_HASH_LENGTH]
