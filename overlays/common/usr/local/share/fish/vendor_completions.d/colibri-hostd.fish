complete -c colibri-hostd -l socket -d 'The socket to listen on' -r -F
complete -c colibri-hostd -l account -d 'The account that may ask besides root' -r
complete -c colibri-hostd -l group -d 'The group that the socket is opened to; its members who are not that account are refused' -r
complete -c colibri-hostd -l vault-env -d 'How the host gets into its vault' -r -F
complete -c colibri-hostd -l max-clients -d 'Most clients of that account at once, not counting those whose agent runs; root has seats of its own' -r
complete -c colibri-hostd -l max-agents -d 'Most agents at once' -r
complete -c colibri-hostd -l idle-timeout -d 'Seconds a client may stay silent between requests' -r
complete -c colibri-hostd -l check-config -d 'Say whether the host and vault.env are as they must be, and end'
complete -c colibri-hostd -s h -l help -d 'Print help (see more with \'--help\')'
complete -c colibri-hostd -s V -l version -d 'Print version'
