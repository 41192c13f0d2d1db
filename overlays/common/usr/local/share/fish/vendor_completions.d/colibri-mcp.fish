complete -c colibri-mcp -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri-mcp -l write -d 'Offer the tools that change something, too'
complete -c colibri-mcp -s h -l help -d 'Print help'
complete -c colibri-mcp -s V -l version -d 'Print version'
