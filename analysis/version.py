"""The version, in one place: the package, its metadata, stores and reports name it."""

__version__ = "0.1.0"
