"""Workers: one Wyoming handler per task, each in front of one loaded engine."""
