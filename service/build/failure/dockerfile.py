"""What builders say of a Dockerfile and of its commands (04 · 6.2, 6.3), searched from the top.

The texts are those of BuildKit 0.34 and of the 0.8 that is in Docker 20.10; what neither of them says is from 04 · 6.2.
"""

from service.build.failure.rule import user
from service.build.failure.text import RUN

DOCKERFILE = (
    user(
        "DOCKERFILE_EMPTY",
        r"the dockerfile cannot be empty|file with no instructions",
        "the Dockerfile is empty: write one, or correct the Dockerfile path in the settings",
    ),
    user(
        "TARGET_NOT_FOUND",
        r"target stage \"?(?P<stage>[^\s\"]+)\"? could not be found",
        "the Dockerfile has no stage {stage}: add it, or correct the target",
    ),
    user(
        "TARGET_NOT_FOUND", r"failed to find target", "the Dockerfile has no such stage: add it, or correct the target"
    ),
    user(
        "FILE_NOT_FOUND",
        r"(?:failed to (?:compute|load) cache key|failed to calculate checksum).*\"/?(?P<path>[^\"]+)\"(?: not found)?"
        r": not found",
        "{step}{where}: there is no {path}: check the path, .dockerignore, the root directory in the settings, or what "
        "the stage makes that it is copied from",
    ),
    user(
        "FILE_NOT_FOUND",
        r"failed to walk /?(?P<path>[^\s:]*): .*no such file or directory",
        "{step}{where}: there is no directory {path}: check the path, and what the stage makes that it is copied from",
    ),
    user(
        "DOCKERFILE_SYNTAX",
        r"dockerfile parse error (?:on )?line (?P<line>\d+): (?P<what>.+)",
        "the Dockerfile is wrong in line {line}: {what}",
    ),
    user(
        "DOCKERFILE_NO_STAGE",
        r"no build stage in current context|dockerfile contains no stages",
        "the Dockerfile needs a FROM before anything else: begin it with the image to build on",
    ),
    user(
        "STAGE_CYCLE",
        r"circular dependency detected on stage: (?P<stage>\S+)",
        "stage {stage} of the Dockerfile needs itself{at}: take out one of the COPY --from",
    ),
    user(
        "BASE_IMAGE_NAME_INVALID",
        r"(?:failed to parse stage name|invalid context name|base name) \"?\(?(?P<name>[^\s\")]*[^\s\"):])",
        "{name} is not the name of an image{where}: write it in lower case, and give every variable in it a value",
    ),
    user(
        "BASE_IMAGE_NAME_INVALID",
        r"invalid reference format",
        "the Dockerfile gives an image no valid name{at}: write it in lower case",
    ),
    user(
        "PLATFORM_INVALID",
        r"failed to parse platform (?P<platform>\S+):",
        "{platform} is not a platform{where}: write os/architecture, such as linux/amd64",
    ),
    user(
        "LINT_FAILED",
        r"lint violation found for rules: (?P<rules>.+)",
        "the Dockerfile breaks the check rules {rules}: follow them, or take out the check directive",
    ),
    user("LINT_FAILED", r"linting failed", "the Dockerfile breaks the check rules: the build's log names them"),
    user(
        "SECRET_MISSING",
        r"secret (?P<name>\S+?)(?: not found)?: not found",
        "{step}{where}: builds here have no secret {name}: do without it",
    ),
    user("SSH_UNAVAILABLE", r"no SSH key", "{step}{where}: builds here have no SSH keys: do without"),
    user(
        "PRIVILEGE_DENIED",
        r"(?P<privilege>security\.insecure|network\.host|device \S+) is not allowed",
        "the Dockerfile asks for {privilege}, which builds here do not get: do without it",
    ),
    user(
        "USER_NOT_FOUND",
        r"unable to find (?P<what>user|group) (?P<name>[^\s:]+)",
        'the image has no {what} {name} to run "{command}" as{where}: add it, or correct USER',
    ),
    user(
        "OWNER_NOT_FOUND",
        r"invalid (?P<what>user|group) index",
        "{step}{where}: the image has no such {what}: correct --chown, or give numbers",
    ),
    user(
        "PATH_CONFLICT",
        r"mkdir (?P<path>[^\s:]+): not a directory",
        "{step}{where}: {path} is a file in the image: choose another path",
    ),
    user(
        "BUILD_ARGUMENT_INVALID",
        r"must be of the form: name=value|contains value with non-printable ascii characters",
        "a build argument is not name=value in printable characters: correct it",
    ),
    user("EXPORT_UNSUPPORTED", r"docker exporter does not currently support", "this kind of image cannot be exported"),
    user(
        "DOCKERFILE_INVALID",
        r"(?P<what>failed to process \".*|there is no variable named .*|unterminated heredoc|unsupported mount type .*"
        r"|env must have two arguments|invalid (?:containerport|signal|chmod parameter|stage index|expression).*"
        r"|the expression result is null.*|invalid block definition.*|dockerfile line greater than .*)",
        "the Dockerfile is wrong{at}: {what}",
    ),
    user(
        "FILE_NOT_FOUND",
        r"no such file or directory",
        "{step}{where}: a file or directory is not there: check the paths",
    ),
    user("RUN_FAILED", RUN, 'the command "{command}" could not be run{where}: see the build\'s log'),
)
