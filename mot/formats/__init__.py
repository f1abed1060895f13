"""Text formats: MOT rows and JSON lines."""
