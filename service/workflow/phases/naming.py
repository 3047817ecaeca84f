"""What a deployment's host names are made of, whoever needs them."""

from service.database.deployments import Subject
from service.domain.hostname import NameInput


def name_input(subject: Subject, apex: str) -> NameInput:
    """Gather it from the deployment; `apex` is the configured default domain."""
    return NameInput(
        project_slug=subject.project_slug,
        app_slug=subject.app_slug,
        environment_slug=subject.environment_slug,
        workspace_slug=subject.workspace_slug,
        deployment_id=subject.deployment_id,
        apex=apex,
        commit_sha=subject.git_commit_sha,
        branch=subject.git_branch,
        fork_repository_full_name=subject.fork_repository_full_name,
    )
