. "$LIB"
root_has /etc/colibri/provider.env "$OTHER_BOT_TOKEN"
