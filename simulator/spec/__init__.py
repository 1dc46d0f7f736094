"""From words on the command line to objects: names, options, grids, configuration files."""
