. "$LIB"
has "$RESULT" 'Addresses:     none yet'
has "$RESULT" 'plug in a cable'
root_has /etc/colibri/provider.env "$OPENROUTER_API_KEY"
