"""What GitHub's refusals mean for people: the one place where its answers become errors of ours."""

from http import HTTPStatus

from service.errors import BuildFailed, FailedPrecondition, HydraError, Internal, Transient


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


def access_denied(repository: str) -> BuildFailed:
    return BuildFailed(
        f"GitHub does not let the App read {repository}: on GitHub, see that the App's installation is not suspended, "
        "includes the repository and may read its contents",
        reason="GITHUB_ACCESS_DENIED",
        repository=repository,
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


def unexpected(status: int) -> HydraError:
    """Return the error for a status that the request at hand should not bring."""
    if status < HTTPStatus.BAD_REQUEST:
        return unusable()
    return Internal(f"GitHub refused a request of ours with status {status}", reason="GITHUB_REFUSED")
