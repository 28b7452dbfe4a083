# Completion of netnsctl and its links for fish. It queries the program.

function __netnsctl_complete
    set --local words (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token)
    set --local program (string replace --regex '.*/' '' -- $words[1])
    # The words of COMMAND in `netnsctl run NAME COMMAND` are completed as a command line of their own.
    if contains -- run $words
        set --local offset (NETNSCTL_COMPLETE=command $program -- $words)
        if test -n "$offset"
            set --erase words[1..$offset]
            set --local current $words[-1]
            set --erase words[-1]
            complete --do-complete=(string join -- ' ' (string escape -- $words) $current)
            return
        end
    end
    NETNSCTL_COMPLETE=fish $program -- $words
end

for command in netnsctl netns-update netns-nft-save
    complete --keep-order --exclusive --command $command --arguments '(__netnsctl_complete)'
end
