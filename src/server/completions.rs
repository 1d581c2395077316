//! `dunlin completions`: the script that clap makes of the command line, and Client Identifiers of a running broker:
//! the script asks for them by `dunlin ctl clients` with the options of the command line that is completed.

use clap::CommandFactory;
use clap_complete::generate;

use crate::config::{Cli, Shell};

/// The script of a shell.
pub(super) fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    let mut make = |shell| generate(shell, &mut Cli::command(), "dunlin", &mut script);
    match shell {
        Shell::Bash => {
            make(clap_complete::Shell::Bash);
            script.extend_from_slice(BASH.as_bytes());
            script
        }
        Shell::Zsh => {
            make(clap_complete::Shell::Zsh);
            let text = String::from_utf8_lossy(&script);
            let (head, rest) = text.split_once("\n\n").unwrap_or(("#compdef dunlin", &text));
            let rest = rest.replace("Client Identifier:_default", "Client Identifier:_dunlin_clients");
            let rest = rest.replace("a Client Identifier]:ID:_default", "a Client Identifier]:ID:_dunlin_clients");
            format!("{head}\n\n{ZSH}\n{rest}").into_bytes()
        }
        Shell::Fish => {
            make(clap_complete::Shell::Fish);
            script.extend_from_slice(FISH.as_bytes());
            script
        }
    }
}

const BASH: &str = r#"
# Client Identifiers of a broker that runs
_dunlin_with_clients() {
    _dunlin "$@"
    local words word="" i place="" options=() ids=() id
    read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] || { word=${words[-1]}; unset 'words[-1]'; }
    for ((i = 1; i < ${#words[@]}; i++)); do
        case $place,${words[i]} in
            client,*) ;;
            *,-c | *,--config | *,--url | *,--user | *,--password-file | *,--key-file)
                options+=("${words[i]}" "${words[i + 1]}")
                ((++i))
                ;;
            ,ctl) place=ctl ;;
            ctl,trace) place=trace ;;
            trace,--client) place=client ;;
            ctl,client | ctl,kick | ctl,queue | ctl,inflight | ctl,subscribe | ctl,unsubscribe | ctl,ban | ctl,unban) place=client ;;
        esac
    done
    [[ $place == client && $word != -* ]] || return 0
    mapfile -t ids < <(dunlin ctl "${options[@]}" clients fields=client_id limit=100 "prefix=$word" 2> /dev/null |
        sed -e 1d -e '/^more: /d')
    COMPREPLY=()
    for id in "${ids[@]}"; do
        # bash completes what is behind the last colon
        COMPREPLY+=("$(printf '%q' "${id#"${word%"$2"}"}")")
    done
}
complete -F _dunlin_with_clients -o bashdefault -o default dunlin
"#;

const ZSH: &str = r#"# Client Identifiers of a broker that runs
_dunlin_clients() {
    local -a all options ids
    local i
    all=(${(z)LBUFFER})
    for ((i = 2; i <= $#all; i++)); do
        case ${all[i]} in
            -c | --config | --url | --user | --password-file | --key-file)
                options+=("${(Q)all[i]}" "${(Q)all[i + 1]}")
                ((++i))
                ;;
            client | kick | queue | inflight | subscribe | unsubscribe | ban | unban | trace) break ;;
        esac
    done
    ids=(${(f)"$(dunlin ctl "${options[@]}" clients fields=client_id limit=100 "prefix=${(Q)PREFIX}" 2> /dev/null |
        sed -e 1d -e '/^more: /d')"})
    compadd -a ids
}
"#;

const FISH: &str = r#"
# Client Identifiers of a broker that runs
function __dunlin_clients
    set -l options
    set -l all (commandline -opc)
    set -l i 2
    while test $i -le (count $all)
        switch $all[$i]
            case -c --config --url --user --password-file --key-file
                set -l value (math $i + 1)
                set -a options $all[$i] $all[$value]
                set i $value
            case client kick queue inflight subscribe unsubscribe ban unban trace
                break
        end
        set i (math $i + 1)
    end
    dunlin ctl $options clients fields=client_id limit=100 prefix=(commandline -ct) 2>/dev/null | sed -e 1d -e '/^more: /d'
end
complete -c dunlin -n '__fish_seen_subcommand_from ctl; and __fish_seen_subcommand_from client kick queue inflight subscribe unsubscribe ban unban' -f -a '(__dunlin_clients)'
complete -c dunlin -n '__fish_seen_subcommand_from ctl; and __fish_seen_subcommand_from trace' -l client -x -a '(__dunlin_clients)'
"#;
