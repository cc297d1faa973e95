"""python -m pysniff: the same as the console script pysniff."""

from pysniff.cli import main

if __name__ == "__main__":
    main()
