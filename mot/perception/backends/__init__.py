"""Networks exported to other runtimes, used like torch networks; each library is imported by its own module."""
