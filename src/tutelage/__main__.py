"""`python -m tutelage` is the command `tutelage`."""

from tutelage.cli import main

main()
