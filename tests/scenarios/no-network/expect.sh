. "$LIB"
has "$RESULT" 'Addresses:     none yet'
has "$RESULT" 'plug in a cable'
root_has "$TENANT_ENV" "$OPENROUTER_API_KEY"
