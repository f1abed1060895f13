"""Command-line programs: one module a program, each with `main()`."""
