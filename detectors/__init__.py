"""Pure mathematics: layouts, summaries, distances, tests, calibration. Imports numpy, scipy and river only."""
