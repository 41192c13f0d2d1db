complete -c colibri-tui -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri-tui -l no-mouse -d 'Leave the mouse to the terminal, which then marks text without Shift'
complete -c colibri-tui -s h -l help -d 'Print help'
complete -c colibri-tui -s V -l version -d 'Print version'
