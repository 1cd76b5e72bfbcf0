"""`python -m talm_core.cli`: the `talm` command."""

from talm_core.cli.main import run

if __name__ == "__main__":
    run()
