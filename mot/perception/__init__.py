"""From frames to detections. The modules that need torch are imported by name, never from here."""
