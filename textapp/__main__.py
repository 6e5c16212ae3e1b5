"""`python -m textapp` is the command line."""

from textapp.cli import main

if __name__ == "__main__":
    main()
