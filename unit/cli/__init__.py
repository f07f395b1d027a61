"""The command `unit`: one file for each subcommand, and a table of them. They parse, call, and give an exit code."""
