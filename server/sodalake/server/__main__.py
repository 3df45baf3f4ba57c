"""`python -m sodalake.server` is `sodalake`."""

from sodalake.server.cli import main

if __name__ == "__main__":
    main(prog_name="sodalake")
