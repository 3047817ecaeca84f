"""What tokens are asked for: one permission on one repository each."""

from dataclasses import dataclass
from enum import Enum


class Scope(Enum):
    """A permission by GitHub's name for it, and its level.

    https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps
    """

    CONTENTS = ("contents", "read")
    DEPLOYMENTS = ("deployments", "write")
    PULL_REQUESTS = ("pull_requests", "write")

    @property
    def permissions(self) -> dict[str, str]:
        """Return what a request for a token says of it."""
        permission, level = self.value
        return {permission: level}

    @property
    def verb(self) -> str:
        return self.value[1]

    @property
    def things(self) -> str:
        """Say what of a repository it is for, in words."""
        return self.value[0].replace("_", " ")

    @property
    def label(self) -> str:
        """Name it as the settings of an App do."""
        return f"{self.things.capitalize()}: {self.verb}"


@dataclass(frozen=True)
class Grant:
    """An installation, 0 for none, and what it is to let us do with a repository, `owner/name`."""

    installation_id: int
    repository: str
    scope: Scope
