"""How a deployment is named and linked to where people read of it (02 · 8)."""

from service.domain.hostname import NameInput, Sticky, names

_DEFAULT_APP = "default"


def environment_label(project_slug: str, app_slug: str, environment_slug: str) -> str:
    """Name an environment as GitHub shows it: `shop - production`, `shop/api - preview`."""
    place = project_slug if app_slug == _DEFAULT_APP else f"{project_slug}/{app_slug}"
    return f"{place} - {environment_slug}"


def environment_url(wanted: NameInput) -> str:
    """Return where an environment is reached unless its name is disputed."""
    return next(f"https://{name.fqdn}" for name in names(wanted) if name.sticky is Sticky.ENVIRONMENT)


def dashboard_page(dashboard_url: str, workspace_slug: str, project_id: str, deployment_id: str) -> str:
    """Return the dashboard's page of a deployment."""
    return f"{dashboard_url.rstrip('/')}/{workspace_slug}/projects/{project_id}/deployments/{deployment_id}"


def commit_page(base_url: str, repository: str, commit_sha: str) -> str:
    """Return GitHub's page of a commit; empty without one."""
    return f"{base_url.rstrip('/')}/{repository}/commit/{commit_sha}" if commit_sha else ""
