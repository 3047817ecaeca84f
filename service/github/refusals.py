"""What GitHub's refusals mean for people: the one place where its answers become errors of ours."""

from http import HTTPStatus
from typing import Any

from service.errors import BuildFailed, FailedPrecondition, HydraError, Internal, Transient
from service.github.reports import DEPLOYMENT_NOT_FOUND
from service.github.scopes import Grant, Scope

# Words of a 403 that is not about rights, their reason, and what they mean for a repository.
_CLOSED = (
    ("issue is locked", "GITHUB_CONVERSATION_LOCKED", "a conversation of {} is locked: unlock it on GitHub"),
    ("commenting is disabled", "GITHUB_CONVERSATION_FULL", "GitHub takes no more comments on a conversation of {}"),
    ("archived", "GITHUB_REPOSITORY_ARCHIVED", "{} is archived on GitHub: nothing can be written there"),
)


def unavailable(message: str) -> Transient:
    """Return the error for trouble that may pass; `message` holds no address and nothing that GitHub said."""
    return Transient(message, reason="GITHUB_UNAVAILABLE")


def unusable() -> Transient:
    return unavailable("GitHub's answer cannot be read")


def not_yet() -> Transient:
    return unavailable("GitHub does not know the token yet that it has just given")


def rate_limited(retry_after_s: int) -> Transient:
    return Transient(
        f"GitHub's rate limit is used up: it asks to wait {retry_after_s} s",
        reason="GITHUB_RATE_LIMITED",
        retry_after_s=str(retry_after_s),
    )


def not_configured() -> FailedPrecondition:
    return FailedPrecondition(
        "GitHub is not configured: set github.app_id and github.private_key_pem, "
        "or github.allow_unauthenticated_deployments for public repositories",
        reason="GITHUB_NOT_CONFIGURED",
    )


def installation_missing(repository: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{repository} is not connected to the GitHub App: install the App on it and connect it, then deploy again",
        reason="GITHUB_INSTALLATION_MISSING",
        repository=repository,
    )


def key_invalid(fault: str) -> FailedPrecondition:
    """Return the error for a private key; `fault` holds nothing of the key."""
    return FailedPrecondition(
        f"github.private_key_pem {fault}: paste the .pem file that GitHub gave for the App", reason="GITHUB_KEY_INVALID"
    )


def auth_failed() -> FailedPrecondition:
    return FailedPrecondition(
        "GitHub does not accept the App: check github.app_id, github.private_key_pem and this machine's clock",
        reason="GITHUB_AUTH_FAILED",
    )


def pull_request_not_found(repository: str, number: int) -> BuildFailed:
    return BuildFailed(
        f"{repository} has no pull request {number}: deploy one that is there",
        reason="PULL_REQUEST_NOT_FOUND",
        repository=repository,
    )


def installation_gone(repository: str) -> BuildFailed:
    return BuildFailed(
        f"the GitHub App is no longer installed for {repository}: install it and connect the repository again",
        reason="GITHUB_INSTALLATION_GONE",
        repository=repository,
    )


def access_denied(grant: Grant) -> BuildFailed:
    verb, things = grant.scope.verb, grant.scope.things
    return BuildFailed(
        f"GitHub does not let the App {verb} the {things} of {grant.repository}: on GitHub, see that the App's "
        f"installation is not suspended, includes the repository and may {verb} its {things}",
        reason="GITHUB_ACCESS_DENIED",
        repository=grant.repository,
    )


def not_granted(grant: Grant) -> HydraError:
    """Return the error for a permission that the App or its installation lacks; without contents nothing is built."""
    scope = grant.scope
    if scope is Scope.CONTENTS:
        return access_denied(grant)
    return FailedPrecondition(
        f"the GitHub App may not {scope.verb} {scope.things} of {grant.repository}: "
        f"give it the permission `{scope.label}` and accept it on the installation",
        reason="GITHUB_PERMISSION_MISSING",
        repository=grant.repository,
        permission=scope.label,
    )


def repository_not_found(repository: str) -> BuildFailed:
    return BuildFailed(
        f"GitHub has no repository {repository}, or does not let us see it: "
        "check its name, and that the GitHub App is installed on it",
        reason="REPOSITORY_NOT_FOUND",
        repository=repository,
    )


def branch_not_found(repository: str, branch: str) -> BuildFailed:
    return BuildFailed(
        f"{repository} has no branch {branch!r} on GitHub: push it, or deploy one that is there",
        reason="BRANCH_NOT_FOUND",
        repository=repository,
        branch=branch,
    )


def closed(repository: str, said: Any) -> FailedPrecondition | None:
    """Return the error where nobody may write, whatever his rights; GitHub tells it by words alone."""
    for words, reason, message in _CLOSED:
        if words in str(said).lower():
            return FailedPrecondition(message.format(repository), reason=reason, repository=repository)
    return None


def deployment_refused(repository: str, commit_sha: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"GitHub takes no deployment of commit {commit_sha} of {repository}: see that the repository has that commit",
        reason="GITHUB_DEPLOYMENT_REFUSED",
        repository=repository,
        commit_sha=commit_sha,
    )


def deployment_not_found(repository: str, deployment_id: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"{repository} has no deployment {deployment_id} on GitHub: it was deleted, or is another repository's",
        reason=DEPLOYMENT_NOT_FOUND,
        repository=repository,
    )


def status_refused(repository: str, deployment_id: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"GitHub takes no more statuses of deployment {deployment_id} of {repository}, or not this one",
        reason="GITHUB_STATUS_REFUSED",
        repository=repository,
    )


def comment_refused(repository: str, number: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"GitHub does not take our comment on pull request {number} of {repository}: it is too long or too much",
        reason="GITHUB_COMMENT_REFUSED",
        repository=repository,
    )


def unexpected(status: int) -> HydraError:
    """Return the error for a status that the request at hand should not bring."""
    if status < HTTPStatus.BAD_REQUEST:
        return unusable()
    return Internal(f"GitHub refused a request of ours with status {status}", reason="GITHUB_REFUSED")
