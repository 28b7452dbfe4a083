# Completion of netnsctl for fish. The script that it sources queries the program.
netnsctl completion fish | source
