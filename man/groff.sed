# Finishes a page that scdoc has written. `make build` runs it.

# Removes the date, because scdoc writes the date of the build. Switches hyphenation off, because it would change the names of
# commands and variables. A terminal shows no pages, so no table has to be divided at the end of a page.
/^\.TH/ {
  s/^\(\.TH "[^"]*" "[0-9]"\) "[^"]*"/\1 ""/
  a .nh
  a .if n .pl 1000i
  b
}

# Short cells, and cells of one word, become ordinary cells. tbl would give their text blocks less width than the word needs.
/^\.TS/ {
  :table
  N
  /\n\.TE$/!b table
  :cell
  s/T{\n\([^\n]\{1,30\}\|[^ \n]*\)\nT}\t/\1\t/
  t cell
  b escape
}

# Not in requests, and not in the escapes that indent a list.
/^\./b
/^\\h/b

:escape
# groff prints other characters for these (groff_char(7)), so a command copied from the page would not work.
s/\\\?-/\\-/g
s/'/\\(aq/g
s/`/\\(ga/g
s/^\^\|\([^\\]\)\^/\1\\(ha/g
s/~/\\(ti/g
