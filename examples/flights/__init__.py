"""The demo: a year of real flights, a real classifier, a release with a real bug, and the whole loop around them."""
