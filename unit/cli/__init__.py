"""The command line `unit`, one module per subcommand: it parses, calls the library and returns an exit code."""
