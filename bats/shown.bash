# shellcheck shell=bash
# What tests show about types, for the table of docs/types.md.

# Usage: shown ENGINE FACT TYPE...
# Prints that a test has shown a fact about these types with an engine, or with the hooks alone, which both engines run. tests/types-table
# makes a table of all of them.
shown() { echo "# shown: $*" >&3; }
