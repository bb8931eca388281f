"""What a run shows: contact sheet, gallery, curves, terminal summary and loggers."""
