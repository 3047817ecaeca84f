"""What builders say of everything around a Dockerfile: themselves, git, registries, servers that files come from.

The texts are those of BuildKit 0.34 and of the 0.8 that is in Docker 20.10 (04 · 6.3). Each table is searched from the
top, in a text as `text.split` leaves it.
"""

from service.build.failure.rule import ours, transient, user
from service.build.failure.text import RUN

GIT_AUTH_FAILED = "GIT_AUTH_FAILED"

# What a server that is away or overloaded looks like: to git (curl), to Go, and in HTTP.
_AWAY = (
    r"(?:connection re(?:fused|set)|timed?[ -]?out|failed to connect|couldn't connect|could not resolve host"
    r"|server misbehaving|temporary failure|network is unreachable|no route to host|\bEOF\b|empty reply|hung up"
    r"|RPC failed|broken pipe|gnutls|\bSSL|\btls: |too ?many ?requests|error: (?:429|5\d\d)|\b(?:429|5\d\d) [A-Z]"
    r"|status (?:429|5\d\d))"
)
_DENIED = r"\b40[13] [A-Z]|denied|unauthorized|insufficient_scope|authorization failed|no basic auth credentials"
_NOT_THERE = r"(?:no such file or directory|not a regular file|is a directory|not a directory)"

# Searched in `<code>: <text>`.
INTERRUPTIONS = (
    transient(
        "BUILDER_FULL",
        r"^RESOURCE_EXHAUSTED: |no space left on device",
        "the builder ran out of space",
    ),
    transient(
        "BUILD_SESSION_LOST",
        r"^DEADLINE_EXCEEDED: |no active session",
        "the connection to the builder was lost",
    ),
    transient("BUILD_INTERRUPTED", r"^CANCELLED: |context canceled$", "the builder stopped the build"),
    transient("BUILDER_UNAVAILABLE", r"^(?:UNAVAILABLE|ABORTED|INTERNAL): ", "the builder went away"),
)

PUSH = (
    transient("PUSH_FAILED", rf"{_AWAY}|no such host", "the registry did not take the image"),
    ours(
        "PUSH_DENIED",
        rf"{_DENIED}|\b404 [A-Z]|name unknown",
        "the registry refused the image: an operator has to check registry.username and registry.password",
    ),
    ours(
        "IMAGE_NAME_INVALID",
        r"invalid reference format",
        "the image has no valid name: an operator has to check registry.url",
    ),
    transient("PUSH_FAILED", r"", "the registry did not take the image", is_guess=True),
)

CLONE = (
    transient(
        "SUBMODULE_UNAVAILABLE",
        rf"failed to update submodules.*{_AWAY}",
        "a git submodule could not be fetched: its server did not answer as it should",
    ),
    user(
        "SUBMODULE_FAILED",
        r"failed to update submodules",
        "a git submodule could not be fetched: check its address in .gitmodules; private ones cannot be read here",
    ),
    user(
        GIT_AUTH_FAILED,
        r"could not read (?:username|password)|authentication failed|error: 40[13]\b",
        "the repository cannot be read: check its name, and that the GitHub App is installed for it",
    ),
    user(
        "REPOSITORY_NOT_FOUND",
        r"repository '(?P<address>[^']*?)/?' not found",
        "there is no repository {address} that the GitHub App may read: check its name and the App's access",
    ),
    user(
        "COMMIT_NOT_FOUND",
        r"(?:reference is not a tree:|not our ref) (?P<commit>[0-9a-f]+)",
        "commit {commit} is not in the repository, a forced push may have removed it: deploy a newer one",
    ),
    user(
        "REF_NOT_FOUND",
        r"(?:does not contain ref|couldn't find remote ref) (?P<ref>[^\s,]+)",
        "{ref} is not in the repository: check that the branch or pull request is still there",
    ),
    user(
        "ROOT_DIRECTORY_NOT_FOUND",
        r"invalid subdir (?P<path>.+?): ",
        "the repository has no directory {path}: correct the root directory in the settings",
    ),
    user(
        "COMMIT_DIFFERS",
        r"expected checksum to match (?P<wanted>\w+), got (?P<found>\w+)",
        "commit {wanted} was to be built and {found} was found: deploy the newest one",
    ),
    transient(
        "GIT_UNAVAILABLE",
        rf"failed to fetch remote.*{_AWAY}",
        "the git server did not answer as it should",
    ),
    transient(
        "GIT_FETCH_FAILED",
        r"failed to fetch remote",
        "the repository could not be fetched: check its name, and that the GitHub App may read it",
        is_guess=True,
    ),
    user(
        "CHECKOUT_FAILED",
        r"failed to checkout remote",
        "the commit could not be checked out: check that it is in the repository; the build's log has git's words",
        is_guess=True,
    ),
    user(
        "DOCKERFILE_NOT_FOUND",
        rf"failed to read dockerfile: \w+ /*(?P<path>.+?): {_NOT_THERE}",
        "there is no file {path}: correct the Dockerfile path or the root directory in the settings",
    ),
    user(
        "DOCKERFILE_NOT_FOUND",
        r"failed to read dockerfile",
        "the Dockerfile cannot be read: check the Dockerfile path and the root directory in the settings",
        is_guess=True,
    ),
)

DOWNLOAD = (
    transient("DOWNLOAD_UNAVAILABLE", _AWAY, "{step}{where}: the server did not answer as it should"),
    user(
        "DOWNLOAD_CHANGED",
        r"digest mismatch (?P<found>\S+): (?P<wanted>\S+)",
        "{step}: the checksum is {found}: correct the Dockerfile, if what is there now can be trusted",
    ),
    user(
        "DOWNLOAD_FAILED",
        r"invalid response status (?P<status>\d+)",
        "{step}{where}: the server answered {status}: check the address; it has to be public",
    ),
    user("DOWNLOAD_FAILED", r"", "{step}{where}: this cannot be fetched: check the address; it has to be public"),
)

IMAGE = (
    user(
        "BASE_IMAGE_PLATFORM",
        r"no match for platform in manifest|no matching manifest",
        "the image {image} is not made for the platform of this build{where}: take one that is",
    ),
    transient(
        "BASE_IMAGE_UNAVAILABLE",
        _AWAY,
        "the registry of the image {image} did not answer as it should{where}",
    ),
    user(
        "BASE_IMAGE_HOST_UNKNOWN",
        r"no such host",
        "the registry of the image {image} does not exist{where}: check the name of the image or stage",
    ),
    user(
        "BASE_IMAGE_DENIED",
        _DENIED,
        "the registry refuses the image {image}{where}: check the name of the image or stage; it has to be public",
    ),
    user(
        "BASE_IMAGE_NOT_FOUND",
        r"not found",
        "there is no image {image}{where}: check its name and tag, or the name of the stage",
    ),
)

OURS = (
    ours(
        "BUILD_MISCONFIGURED",
        r"^exporter \S+ could not be found|^invalid frontend: |^failed to parse target platform"
        rf"|^failed to read downloaded context|{RUN}.*network \S+ not found",
        "the builder cannot do what it is asked to: an operator has to check the build settings",
    ),
)
