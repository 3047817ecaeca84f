"""`python -m service` and the `hydra-deploy` command."""

from service.cli import main

if __name__ == "__main__":
    main()
