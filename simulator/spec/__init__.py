"""How a word on the command line becomes a thing: names, options, grids, configuration files."""
