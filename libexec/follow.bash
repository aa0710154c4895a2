#!/bin/bash
# What follow-heartbeat and follow-keepalived have in common: how they run the program, and what they
# make of who has the address. Each sources this.

# shellcheck disable=SC2034 # used by those that source this
program=/usr/sbin/elastic-ip

addresses=() # that are looked at; none for those that are configured
free='' # whether the last look found an address that is nobody's
reported='' # who else has which address, as the log has it
remarks='' # what the last look said beside its answer, without its numbers

# `bound PROGRAM [ARGUMENT…]`: the program in place of this subshell, for as long as the script lives:
# however that ends, by SIGKILL too, the kernel ends the program, so that it never takes the address
# from a later owner. Where the script has ended before the kernel was asked for that, the program
# does not run at all.
bound() {
    # shellcheck disable=SC2016
    exec setpriv --pdeathsig TERM sh -c '[ "$PPID" -eq "$0" ] && exec "$@"' "$$" "$@" </dev/null
}

# Status as JSON, and between its lines what the program says beside it, which goes to no log.
look() {
    HA_LOGFACILITY=none bound "$program" "${addresses[@]}" --json status 2>&1
}

# `remark LOOK`: what it says beside its answer, unless the look before it said so, too. A look is taken every few
# seconds, however long EC2 cannot be reached.
remark() {
    local line said='' before=$remarks
    while IFS= read -r line; do
        case $line in
            '' | [{}\ ]*) ;;
            *) said+=${line#elastic-ip: }$'\n' ;;
        esac
    done <<<"$1"
    remarks=${said//[0-9]/}
    [ "$remarks" != "$before" ] || return 0
    if [ -z "$said" ]; then
        say "what was said last does not hold any more"
        return
    fi
    while read -r line; do
        say "$line"
    done <<<"${said%$'\n'}"
}

# `judge WHY LOOK`: what a status that says `stopped` means on a node that has had the addresses, and
# should have them because of WHY. Says so, and sets `free` or `reported`.
judge() {
    local address state holder before=$reported
    reported=''
    while read -r address state holder; do
        case "$state $holder" in
            'not-held null')
                free=yes
                say "$address: $1, and nobody has it any more; starting it"
                ;;
            'not-held '*)
                reported+="$address $holder "
                # Once, until that changes.
                [[ $before == *"$address $holder "* ]] ||
                    say "$address: $1, but $holder has it, and it is left there; run elastic-ip start to move it here"
                ;;
        esac
    done < <(owners "$2")
}

# `owners LOOK`: each address of a status with its state and its holder, a line each.
owners() {
    local line address='' holder=''
    while read -r line; do
        line=${line%,}
        case $line in
            '"address": '*) address=$(unquoted "$line") ;;
            '"holder": '*) holder=$(unquoted "$line") ;;
            '"state": '*) [ -z "$address" ] || printf '%s %s %s\n' "$address" "$(unquoted "$line")" "$holder" ;;
            '}') address='' holder='' ;;
        esac
    done <<<"$1"
}

unquoted() {
    local value=${1#*: }
    value=${value#\"}
    printf '%s\n' "${value%\"}"
}

say() {
    echo "${0##*/}: $1" >&2
    logger -t elastic-ip -p daemon.warning -- "$1"
}
