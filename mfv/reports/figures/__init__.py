"""Figures for a paper, as matplotlib's: text as text, pictures at their own resolution. Extra: `figures`."""
