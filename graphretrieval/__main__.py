"""`python -m graphretrieval` is the command line."""

from graphretrieval.cli import main

main()
