"""The loop that ties perception and trackers together."""
