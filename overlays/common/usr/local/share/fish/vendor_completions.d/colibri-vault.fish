# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_colibri_vault_global_optspecs
    string join \n json bootstrap= base= state= bw= node= ca= h/help V/version
end

function __fish_colibri_vault_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_colibri_vault_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_colibri_vault_using_subcommand
    set -l cmd (__fish_colibri_vault_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -l bootstrap -d 'The host\'s way into the vault' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -l base -d 'What all jails lie below' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -l state -d 'Where bw\'s own folder and the lock are [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -l bw -d 'The script of bw [default: the image\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -l node -d 'The Node that runs it [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -l ca -d 'The certificate of the server\'s private authority [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -l json -d 'Answer in JSON, errors too'
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -s h -l help -d 'Print help'
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -s V -l version -d 'Print version'
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -f -a "provision" -d 'Fetch a tenant\'s secrets into the .env of its jail'
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -f -a "rotate" -d 'The same, but ask the server even if it says that nothing changed'
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -f -a "check" -d 'Log in, and tell which collections the host\'s account sees'
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -f -a "names" -d 'The names, never the values, of what is in a tenant\'s .env'
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -f -a "backup" -d 'Encrypt this host\'s secrets and its tenants\' into a file, with age'
complete -c colibri-vault -n "__fish_colibri_vault_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand provision" -l collection -d 'The collection\'s exact name [default: the tenant\'s]' -r
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand provision" -l root -d 'Its jail\'s root, when that is not in the usual place' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand provision" -l bootstrap -d 'The host\'s way into the vault' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand provision" -l base -d 'What all jails lie below' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand provision" -l state -d 'Where bw\'s own folder and the lock are [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand provision" -l bw -d 'The script of bw [default: the image\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand provision" -l node -d 'The Node that runs it [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand provision" -l ca -d 'The certificate of the server\'s private authority [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand provision" -l json -d 'Answer in JSON, errors too'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand provision" -s h -l help -d 'Print help'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand rotate" -l collection -d 'The collection\'s exact name [default: the tenant\'s]' -r
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand rotate" -l root -d 'Its jail\'s root, when that is not in the usual place' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand rotate" -l bootstrap -d 'The host\'s way into the vault' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand rotate" -l base -d 'What all jails lie below' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand rotate" -l state -d 'Where bw\'s own folder and the lock are [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand rotate" -l bw -d 'The script of bw [default: the image\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand rotate" -l node -d 'The Node that runs it [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand rotate" -l ca -d 'The certificate of the server\'s private authority [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand rotate" -l json -d 'Answer in JSON, errors too'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand rotate" -s h -l help -d 'Print help'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand check" -l bootstrap -d 'The host\'s way into the vault' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand check" -l base -d 'What all jails lie below' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand check" -l state -d 'Where bw\'s own folder and the lock are [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand check" -l bw -d 'The script of bw [default: the image\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand check" -l node -d 'The Node that runs it [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand check" -l ca -d 'The certificate of the server\'s private authority [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand check" -l json -d 'Answer in JSON, errors too'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand check" -s h -l help -d 'Print help'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand names" -l root -d 'Its jail\'s root, when that is not in the usual place' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand names" -l bootstrap -d 'The host\'s way into the vault' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand names" -l base -d 'What all jails lie below' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand names" -l state -d 'Where bw\'s own folder and the lock are [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand names" -l bw -d 'The script of bw [default: the image\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand names" -l node -d 'The Node that runs it [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand names" -l ca -d 'The certificate of the server\'s private authority [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand names" -l json -d 'Answer in JSON, errors too'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand names" -s h -l help -d 'Print help'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand backup" -l recipient -d 'A public key that can read it; may be given again' -r
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand backup" -l bootstrap -d 'The host\'s way into the vault' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand backup" -l base -d 'What all jails lie below' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand backup" -l state -d 'Where bw\'s own folder and the lock are [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand backup" -l bw -d 'The script of bw [default: the image\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand backup" -l node -d 'The Node that runs it [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand backup" -l ca -d 'The certificate of the server\'s private authority [default: the host\'s]' -r -F
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand backup" -l json -d 'Answer in JSON, errors too'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand backup" -s h -l help -d 'Print help'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand help; and not __fish_seen_subcommand_from provision rotate check names backup help" -f -a "provision" -d 'Fetch a tenant\'s secrets into the .env of its jail'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand help; and not __fish_seen_subcommand_from provision rotate check names backup help" -f -a "rotate" -d 'The same, but ask the server even if it says that nothing changed'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand help; and not __fish_seen_subcommand_from provision rotate check names backup help" -f -a "check" -d 'Log in, and tell which collections the host\'s account sees'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand help; and not __fish_seen_subcommand_from provision rotate check names backup help" -f -a "names" -d 'The names, never the values, of what is in a tenant\'s .env'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand help; and not __fish_seen_subcommand_from provision rotate check names backup help" -f -a "backup" -d 'Encrypt this host\'s secrets and its tenants\' into a file, with age'
complete -c colibri-vault -n "__fish_colibri_vault_using_subcommand help; and not __fish_seen_subcommand_from provision rotate check names backup help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
