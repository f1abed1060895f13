"""The networks, one file each: torch only, tensors in, tensors out. Import them by name; see `registry.py`."""
