"""The service: pure decisions in core, effects in io, Faust agents on top, one composition root in app."""
