complete -c colibri-daemon -l data-dir -d 'Directory of everything the daemon keeps; made if it is not there' -r -F
complete -c colibri-daemon -l db-path -d 'The database file [default: colibri.sqlite in the data directory]' -r -F
complete -c colibri-daemon -l socket -d 'The socket to listen on' -r -F
complete -c colibri-daemon -l host -d 'The name this host goes by in the hive [default: its host name]' -r
complete -c colibri-daemon -l cost-mode -d 'How freely agents may spend: fast, smart or max [default: smart]; what `colibri set-cost-mode --persist` has set holds instead' -r
complete -c colibri-daemon -l tick-seconds -d 'Seconds between two rounds of the scheduler when nothing changes [default: 30]' -r
complete -c colibri-daemon -l lease-seconds -d 'Seconds that an agent may keep a task without a sign of life [default: 300]' -r
complete -c colibri-daemon -l stall-seconds -d 'Seconds without an event after which a working agent counts as stalled [default: 14400]' -r
complete -c colibri-daemon -l limits-fast -d 'What a session may use in cost mode fast: bytes of a prompt, turns that are kept, bytes of a tool\'s result or `unlimited` [default: 500000,5,4000]' -r
complete -c colibri-daemon -l limits-smart -d 'The same for smart [default: 2000000,20,16000]' -r
complete -c colibri-daemon -l limits-max -d 'The same for max [default: 8000000,100,unlimited]' -r
complete -c colibri-daemon -l task-days -d 'Days that a task is kept after its end, and agents that are not heard of; `off`: for ever [default: 90]' -r
complete -c colibri-daemon -l session-days -d 'Days that a session is kept after it was last written into, but for each agent\'s newest; `off`: for ever [default: 90]' -r
complete -c colibri-daemon -l restart-seconds -d 'Seconds before an agent that is to run for good is started again; after each further short run twice as many, up to 300' -r
complete -c colibri-daemon -l group -d 'The group whose members may use the socket [default: colibri]' -r
complete -c colibri-daemon -l max-clients -d 'Most clients at once' -r
complete -c colibri-daemon -l idle-timeout -d 'Seconds a client may stay silent between requests' -r
complete -c colibri-daemon -l line-timeout -d 'Seconds from a line\'s first byte to its newline' -r
complete -c colibri-daemon -l write-timeout -d 'Seconds a client may take to accept a reply' -r
complete -c colibri-daemon -s h -l help -d 'Print help (see more with \'--help\')'
complete -c colibri-daemon -s V -l version -d 'Print version'
