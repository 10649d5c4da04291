"""One module per published layout; each says whether a folder looks like it and yields its recordings, unchecked.

To add a layout: write a module with ``fits(root, sample)`` and ``read(root)`` and name it in ``analysis/corpus/opening.py``.
``sample`` holds some of the paths below the folder, relative to it with ``/`` between the parts.
"""
