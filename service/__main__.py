"""`python -m service` and the `hydra-deploy` command."""

import signal


def main() -> None:
    """Load the commands and run the one that is asked for."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while they load ends the program without a traceback
    from service.cli import main as run  # noqa: PLC0415 - loading takes a second, so it comes after that

    run()


if __name__ == "__main__":
    main()
