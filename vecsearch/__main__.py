"""``python -m vecsearch``: the same program as ``vecsearch``."""

from vecsearch.cli import main

if __name__ == "__main__":
    main()
