ip -4 -oneline address show scope global
resolvectl dns
