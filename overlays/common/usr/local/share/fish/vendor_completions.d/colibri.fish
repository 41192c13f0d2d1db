# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_colibri_global_optspecs
    string join \n socket= json timeout= h/help V/version
end

function __fish_colibri_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_colibri_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_colibri_using_subcommand
    set -l cmd (__fish_colibri_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c colibri -n "__fish_colibri_needs_command" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_needs_command" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_needs_command" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_needs_command" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_needs_command" -s V -l version -d 'Print version'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "status" -d 'Show what the daemon is, where its things lie, and what it holds'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "service-check" -d 'Look at every part of the service; exit code 0 when all is well, else 1'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "subscribe" -d 'Show changes as they happen, a line each, until the daemon or you end it'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "create-task" -d 'Put a task on the board; it is on disk when this returns'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "intake-task" -d 'Put work from outside on the board; it is on disk when this returns'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "list-tasks" -d 'Show tasks, newest first'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "get-task" -d 'Show all about a task: who has it, what it cost, what happened to it'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "claim-task" -d 'Take a queued task for an agent'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "transition-task" -d 'Move a task on: to started, done, failed or cancelled, or back to queued'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "cancel-task" -d 'Call a task off that has not ended'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "retry-task" -d 'Put a task that failed or was called off back into the queue, or end its pause'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "register-agent" -d 'Make an agent known, or update it'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "list-agents" -d 'Show agents, by name'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "heartbeat" -d 'Give an agent\'s sign of life; extends the leases of its tasks'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "snapshot" -d 'Show what each agent that the daemon runs is doing'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "spawn-agent" -d 'Start an agent as a process of this host, and register it'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "stop-agent" -d 'Stop an agent with everything that it has started'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "kill-agent" -d 'Stop an agent with everything that it has started'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "dismiss-pane" -d 'Take away the pane of an agent that has ended; its session and log stay'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "send-prompt" -d 'Ask a running agent something'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "answer-agent" -d 'Answer what a blocked agent asks, so that it works on'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "agent-log" -d 'Show the end of what an agent wrote to its standard error'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "get-session" -d 'Show how long an agent\'s session is, what it cost and what became of it'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "compact-session" -d 'Summarise all but the newest turns of a session, needed or not'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "register-skill" -d 'Make a skill known, or update it'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "list-skills" -d 'Show skills, by name, and what is wrong in the daemon\'s folder of skills'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "create-job" -d 'Make a job, which makes a task each time that it is due'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "list-jobs" -d 'Show jobs, by name'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "remove-job" -d 'Remove a job; the tasks that it has made stay'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "register-tenant" -d 'Make a tenant known: a jail of its own, with its own secrets'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "list-tenants" -d 'Show tenants, by their ids'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "provision-tenant" -d 'Make a tenant\'s jail and fetch its secrets; also tries a failed one again'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "rotate-tenant" -d 'Fetch a tenant\'s secrets anew; its agents start anew if they are others'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "rotate" -d 'Fetch a tenant\'s secrets anew; its agents start anew if they are others'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "list-secrets" -d 'Show the names of a tenant\'s secrets, never their values'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "remove-tenant" -d 'Remove a tenant: its agents and its jail'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "request-tenant" -d 'Ask, as an agent in a jail, for another tenant with an agent like itself'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "set-cost-mode" -d 'Change how freely agents may spend: fast, smart or max'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "backup" -d 'Copy the database into a new file, mode 0600, while everything goes on'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "spawn-local" -d 'Start an agent that speaks the dialect of colibri-test-agent'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "join" -d 'Join the hive: register and provision a tenant, and start its agent'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "mother" -d 'Do what an agent does first: who it is, its keys, registered, alive'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "completions" -d 'Print what a shell needs to complete this command\'s words'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "man" -d 'Write the manual pages into a folder'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "stop" -d 'Old name of stop-agent'
complete -c colibri -n "__fish_colibri_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c colibri -n "__fish_colibri_using_subcommand status" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand status" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand status" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand status" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand service-check" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand service-check" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand service-check" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand service-check" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand subscribe" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand subscribe" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand subscribe" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand subscribe" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand create-task" -l title -d 'One line, at most 200 characters' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-task" -l description -d 'What is to be done, at most 64 KiB' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-task" -l capability -d 'What an agent must be able to do; may be given several times' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-task" -l max-attempts -d 'How often it may be taken before losing it means failure, 1 to 100 [default: 3]' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-task" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand create-task" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-task" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand create-task" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand intake-task" -l title -d 'One line, at most 200 characters' -r
complete -c colibri -n "__fish_colibri_using_subcommand intake-task" -l description -d 'What is to be done, at most 64 KiB' -r
complete -c colibri -n "__fish_colibri_using_subcommand intake-task" -l capability -d 'What an agent must be able to do; may be given several times' -r
complete -c colibri -n "__fish_colibri_using_subcommand intake-task" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand intake-task" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand intake-task" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand intake-task" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand list-tasks" -l status -d 'Only these: queued, claimed, started, done, failed or cancelled' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-tasks" -l agent -l agent-id -d 'Only what this agent holds or held last' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-tasks" -l limit -d 'Most entries to show, 1 to 500 [default: 50]' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-tasks" -l after -d 'Continue after an earlier page, with the `next` it ended on' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-tasks" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand list-tasks" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-tasks" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand list-tasks" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand get-task" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand get-task" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand get-task" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand get-task" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand claim-task" -l task-id -d 'Which task' -r
complete -c colibri -n "__fish_colibri_using_subcommand claim-task" -l agent-id -d 'For which agent' -r
complete -c colibri -n "__fish_colibri_using_subcommand claim-task" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand claim-task" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand claim-task" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand claim-task" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand transition-task" -l task-id -d 'Which task' -r
complete -c colibri -n "__fish_colibri_using_subcommand transition-task" -l status -d 'Where it goes: started, done, failed, cancelled or queued' -r
complete -c colibri -n "__fish_colibri_using_subcommand transition-task" -l agent-id -d 'The agent that moves it, and must hold it; an operator leaves this out' -r
complete -c colibri -n "__fish_colibri_using_subcommand transition-task" -l result -d 'What came of it, at most 64 KiB' -r
complete -c colibri -n "__fish_colibri_using_subcommand transition-task" -l error -d 'What went wrong, at most 64 KiB' -r
complete -c colibri -n "__fish_colibri_using_subcommand transition-task" -l usage -d 'What was used up, as JSON such as \'{"input":1200,"output":300,"cost_usd":0.0081}\'' -r
complete -c colibri -n "__fish_colibri_using_subcommand transition-task" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand transition-task" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand transition-task" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand transition-task" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand cancel-task" -l reason -d 'Why' -r
complete -c colibri -n "__fish_colibri_using_subcommand cancel-task" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand cancel-task" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand cancel-task" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand cancel-task" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand retry-task" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand retry-task" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand retry-task" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand retry-task" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand register-agent" -l name -d 'Its name; a known name keeps its id and has the rest updated' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-agent" -l capability -d 'What it can do; may be given several times' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-agent" -l host -d 'Where it runs [default: the daemon\'s host]' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-agent" -l slots -d 'Most tasks that the scheduler lets it hold at once, 0 to 64 [default: 1]' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-agent" -l capabilities -d 'Old spelling of several --capability' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-agent" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand register-agent" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-agent" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand register-agent" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand list-agents" -l limit -d 'Most entries to show, 1 to 500 [default: 50]' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-agents" -l after -d 'Continue after an earlier page, with the `next` it ended on' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-agents" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand list-agents" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-agents" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand list-agents" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand heartbeat" -l agent-id -d 'Which agent' -r
complete -c colibri -n "__fish_colibri_using_subcommand heartbeat" -l host -d 'Where it runs now' -r
complete -c colibri -n "__fish_colibri_using_subcommand heartbeat" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand heartbeat" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand heartbeat" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand heartbeat" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand snapshot" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand snapshot" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand snapshot" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand snapshot" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l name -d 'What the agent is called [default: the program\'s name]' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l capability -d 'What it can do; may be given several times' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l prompt -d 'What it is asked first, at most 64 KiB' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l cwd -d 'The folder it starts in [default: one of its own]' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l tenant -d 'Start it in this tenant\'s jail [default: on the host itself]' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l jail-name -d 'Old: a jail is named by its tenant, with --tenant' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l jail-root -d 'Old: a tenant\'s jail has its own root' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l runtime -d 'Which dialect it speaks: pi, zot or local' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l restart -d 'Start it again whenever it ends by itself, with growing pauses'
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand spawn-agent" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand stop-agent" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand stop-agent" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand stop-agent" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand stop-agent" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand kill-agent" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand kill-agent" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand kill-agent" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand kill-agent" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand dismiss-pane" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand dismiss-pane" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand dismiss-pane" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand dismiss-pane" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand send-prompt" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand send-prompt" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand send-prompt" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand send-prompt" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand answer-agent" -l confirm -d 'Yes or no' -r
complete -c colibri -n "__fish_colibri_using_subcommand answer-agent" -l question -d 'Which question, by its id [default: the one that is shown]' -r
complete -c colibri -n "__fish_colibri_using_subcommand answer-agent" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand answer-agent" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand answer-agent" -l cancel -d 'That no answer will come'
complete -c colibri -n "__fish_colibri_using_subcommand answer-agent" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand answer-agent" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand agent-log" -l lines -d 'Most lines to show, the newest, 1 to 2000 [default: 100]' -r
complete -c colibri -n "__fish_colibri_using_subcommand agent-log" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand agent-log" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand agent-log" -l follow -d 'Go on and show what is written from now on, until the daemon or you end it'
complete -c colibri -n "__fish_colibri_using_subcommand agent-log" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand agent-log" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand get-session" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand get-session" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand get-session" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand get-session" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand compact-session" -l summary -d 'The summary [default: a plain one, made without a model]' -r
complete -c colibri -n "__fish_colibri_using_subcommand compact-session" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand compact-session" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand compact-session" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand compact-session" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand register-skill" -l name -d 'Its name; a known name has the rest updated' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-skill" -l description -d 'What it is good for, at most 1000 characters' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-skill" -l path -d 'Where it is written' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-skill" -l category -d 'Old, and not kept: a skill has no category' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-skill" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand register-skill" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-skill" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand register-skill" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand list-skills" -l limit -d 'Most entries to show, 1 to 500 [default: 50]' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-skills" -l after -d 'Continue after an earlier page, with the `next` it ended on' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-skills" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand list-skills" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-skills" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand list-skills" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l name -d 'No other job may have it' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l at -d 'Once, at this time, such as 2027-01-01T08:00:00Z' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l every -d 'Again and again, with so many seconds between' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l cron -d 'By the clock: minute, hour, day, month, weekday; seconds may stand in front' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l zone -d 'The clock\'s time zone' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l missed -d 'What becomes of runs whose time passed while the daemon was not there: skip, once or all' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l title -d 'One line, at most 200 characters' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l description -d 'What is to be done, at most 64 KiB' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l capability -d 'What an agent must be able to do; may be given several times' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l max-attempts -d 'How often it may be taken before losing it means failure, 1 to 100 [default: 3]' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand create-job" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand list-jobs" -l limit -d 'Most entries to show, 1 to 500 [default: 50]' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-jobs" -l after -d 'Continue after an earlier page, with the `next` it ended on' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-jobs" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand list-jobs" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-jobs" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand list-jobs" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand remove-job" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand remove-job" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand remove-job" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand remove-job" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand register-tenant" -l collection -d 'The exact name of its collection in the vault [default: the tenant\'s own name, if a vault is configured]' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-tenant" -l memory-mib -d 'Most memory, in MiB [default: 2048]' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-tenant" -l tasks -d 'Most processes and threads together [default: 512]' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-tenant" -l cpu-percent -d 'Most processor time, in hundredths of one processor [default: 200]' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-tenant" -l ttl -d 'How long it lives, such as 90s, 30m, 2h or 7d; then it is removed with everything that it has [default: for ever]' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-tenant" -l idle-after -d 'After how long without work it is stopped; it starts again when something is for it [default: never]' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-tenant" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand register-tenant" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand register-tenant" -l no-collection -d 'It gets no secrets from a vault'
complete -c colibri -n "__fish_colibri_using_subcommand register-tenant" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand register-tenant" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand list-tenants" -l limit -d 'Most entries to show, 1 to 500 [default: 50]' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-tenants" -l after -d 'Continue after an earlier page, with the `next` it ended on' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-tenants" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand list-tenants" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-tenants" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand list-tenants" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand provision-tenant" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand provision-tenant" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand provision-tenant" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand provision-tenant" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand rotate-tenant" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand rotate-tenant" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand rotate-tenant" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand rotate-tenant" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand rotate" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand rotate" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand rotate" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand rotate" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand list-secrets" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand list-secrets" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand list-secrets" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand list-secrets" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand remove-tenant" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand remove-tenant" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand remove-tenant" -l archive -d 'Put what it has written away, where root alone can read it'
complete -c colibri -n "__fish_colibri_using_subcommand remove-tenant" -l destroy -d 'Leave nothing of it'
complete -c colibri -n "__fish_colibri_using_subcommand remove-tenant" -l dry-run -d 'Only show what would be removed'
complete -c colibri -n "__fish_colibri_using_subcommand remove-tenant" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand remove-tenant" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand request-tenant" -l ttl -d 'How long it is to live, such as 2h [default: the longest allowed]' -r
complete -c colibri -n "__fish_colibri_using_subcommand request-tenant" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand request-tenant" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand request-tenant" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand request-tenant" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand set-cost-mode" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand set-cost-mode" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand set-cost-mode" -l persist -d 'Also after a restart, whatever flag and environment say then'
complete -c colibri -n "__fish_colibri_using_subcommand set-cost-mode" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand set-cost-mode" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand backup" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand backup" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand backup" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand backup" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -l name -d 'What the agent is called [default: the program\'s name]' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -l capability -d 'What it can do; may be given several times' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -l prompt -d 'What it is asked first, at most 64 KiB' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -l cwd -d 'The folder it starts in [default: one of its own]' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -l tenant -d 'Start it in this tenant\'s jail [default: on the host itself]' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -l jail-name -d 'Old: a jail is named by its tenant, with --tenant' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -l jail-root -d 'Old: a tenant\'s jail has its own root' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -l restart -d 'Start it again whenever it ends by itself, with growing pauses'
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand spawn-local" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand join" -l collection -d 'The exact name of its collection in the vault [default: the tenant\'s own name, if a vault is configured]' -r
complete -c colibri -n "__fish_colibri_using_subcommand join" -l memory-mib -d 'Most memory, in MiB [default: 2048]' -r
complete -c colibri -n "__fish_colibri_using_subcommand join" -l tasks -d 'Most processes and threads together [default: 512]' -r
complete -c colibri -n "__fish_colibri_using_subcommand join" -l cpu-percent -d 'Most processor time, in hundredths of one processor [default: 200]' -r
complete -c colibri -n "__fish_colibri_using_subcommand join" -l ttl -d 'How long it lives, such as 90s, 30m, 2h or 7d; then it is removed with everything that it has [default: for ever]' -r
complete -c colibri -n "__fish_colibri_using_subcommand join" -l idle-after -d 'After how long without work it is stopped; it starts again when something is for it [default: never]' -r
complete -c colibri -n "__fish_colibri_using_subcommand join" -l name -d 'What its agent is called [default: as the tenant]' -r
complete -c colibri -n "__fish_colibri_using_subcommand join" -l runtime -d 'Which dialect the agent speaks, and so which program of the image it is: pi, zot or local' -r
complete -c colibri -n "__fish_colibri_using_subcommand join" -l capability -d 'What the agent can do; may be given several times [default: shell, code and the system\'s name]' -r
complete -c colibri -n "__fish_colibri_using_subcommand join" -l prompt -d 'What it is asked first, at most 64 KiB' -r
complete -c colibri -n "__fish_colibri_using_subcommand join" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand join" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand join" -l no-collection -d 'It gets no secrets from a vault'
complete -c colibri -n "__fish_colibri_using_subcommand join" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand join" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand mother" -l name -d 'What it registers as, unless the daemon runs it [default: the host\'s name]' -r
complete -c colibri -n "__fish_colibri_using_subcommand mother" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand mother" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand mother" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand mother" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand completions" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand completions" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand completions" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand completions" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand man" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand man" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand man" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand man" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand stop" -l socket -d 'The daemon\'s socket' -r -F
complete -c colibri -n "__fish_colibri_using_subcommand stop" -l timeout -d 'Seconds to wait for the answer [default: 10; 60 where an agent is started or stopped; 120 to 600 for tenants and a backup]' -r
complete -c colibri -n "__fish_colibri_using_subcommand stop" -l json -d 'Print the answer as JSON, for programs; errors too, on stderr'
complete -c colibri -n "__fish_colibri_using_subcommand stop" -s h -l help -d 'Print help'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "status" -d 'Show what the daemon is, where its things lie, and what it holds'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "service-check" -d 'Look at every part of the service; exit code 0 when all is well, else 1'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "subscribe" -d 'Show changes as they happen, a line each, until the daemon or you end it'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "create-task" -d 'Put a task on the board; it is on disk when this returns'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "intake-task" -d 'Put work from outside on the board; it is on disk when this returns'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "list-tasks" -d 'Show tasks, newest first'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "get-task" -d 'Show all about a task: who has it, what it cost, what happened to it'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "claim-task" -d 'Take a queued task for an agent'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "transition-task" -d 'Move a task on: to started, done, failed or cancelled, or back to queued'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "cancel-task" -d 'Call a task off that has not ended'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "retry-task" -d 'Put a task that failed or was called off back into the queue, or end its pause'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "register-agent" -d 'Make an agent known, or update it'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "list-agents" -d 'Show agents, by name'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "heartbeat" -d 'Give an agent\'s sign of life; extends the leases of its tasks'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "snapshot" -d 'Show what each agent that the daemon runs is doing'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "spawn-agent" -d 'Start an agent as a process of this host, and register it'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "stop-agent" -d 'Stop an agent with everything that it has started'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "dismiss-pane" -d 'Take away the pane of an agent that has ended; its session and log stay'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "send-prompt" -d 'Ask a running agent something'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "answer-agent" -d 'Answer what a blocked agent asks, so that it works on'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "agent-log" -d 'Show the end of what an agent wrote to its standard error'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "get-session" -d 'Show how long an agent\'s session is, what it cost and what became of it'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "compact-session" -d 'Summarise all but the newest turns of a session, needed or not'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "register-skill" -d 'Make a skill known, or update it'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "list-skills" -d 'Show skills, by name, and what is wrong in the daemon\'s folder of skills'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "create-job" -d 'Make a job, which makes a task each time that it is due'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "list-jobs" -d 'Show jobs, by name'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "remove-job" -d 'Remove a job; the tasks that it has made stay'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "register-tenant" -d 'Make a tenant known: a jail of its own, with its own secrets'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "list-tenants" -d 'Show tenants, by their ids'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "provision-tenant" -d 'Make a tenant\'s jail and fetch its secrets; also tries a failed one again'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "rotate-tenant" -d 'Fetch a tenant\'s secrets anew; its agents start anew if they are others'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "list-secrets" -d 'Show the names of a tenant\'s secrets, never their values'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "remove-tenant" -d 'Remove a tenant: its agents and its jail'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "request-tenant" -d 'Ask, as an agent in a jail, for another tenant with an agent like itself'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "set-cost-mode" -d 'Change how freely agents may spend: fast, smart or max'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "backup" -d 'Copy the database into a new file, mode 0600, while everything goes on'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "spawn-local" -d 'Start an agent that speaks the dialect of colibri-test-agent'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "join" -d 'Join the hive: register and provision a tenant, and start its agent'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "mother" -d 'Do what an agent does first: who it is, its keys, registered, alive'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "completions" -d 'Print what a shell needs to complete this command\'s words'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "man" -d 'Write the manual pages into a folder'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "stop" -d 'Old name of stop-agent'
complete -c colibri -n "__fish_colibri_using_subcommand help; and not __fish_seen_subcommand_from status service-check subscribe create-task intake-task list-tasks get-task claim-task transition-task cancel-task retry-task register-agent list-agents heartbeat snapshot spawn-agent stop-agent dismiss-pane send-prompt answer-agent agent-log get-session compact-session register-skill list-skills create-job list-jobs remove-job register-tenant list-tenants provision-tenant rotate-tenant list-secrets remove-tenant request-tenant set-cost-mode backup spawn-local join mother completions man stop help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
