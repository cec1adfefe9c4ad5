"""``python -m difficulty`` is ``difficulty``: also where no script of that name is on the path."""

from difficulty.cli import main

if __name__ == "__main__":
    main()
