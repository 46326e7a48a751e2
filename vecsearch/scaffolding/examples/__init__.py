"""One class of each kind. ``vecsearch plugins new`` copies them; they are checked here like all other code."""
