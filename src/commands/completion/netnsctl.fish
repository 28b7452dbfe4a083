# Completion of netnsctl for fish: the program itself is asked.
netnsctl completion fish | source
