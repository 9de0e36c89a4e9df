# Sourced by the commands of bin/: where the project lies, steps with progress, and how they fail.
# Sets $project (absolute, links resolved) and $log (what the programs wrote). Needs bash and coreutils only.
# shellcheck shell=bash
# shellcheck disable=SC2034  # The commands that source this use the names set here.

# Failures with a reason of their own; everything else is 1. They are documented in bin/setup.
readonly UNSUPPORTED=3 NO_RIGHTS=4 NO_NETWORK=5 NO_SPACE=6 OLD_PYTHON=7

project=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
log=/dev/null
running=

say() { printf '%s\n' "$@"; }

# fail CODE ENGLISH CHINESE: end with a message that says what to do.
fail() {
    printf '\n✗ %s\n' "$2" >&2
    printf '  %s\n' "${@:3}" >&2
    exit "$1"
}

# The background command does not hear Ctrl-C by itself: non-interactive shells start it with SIGINT ignored.
interrupted() {
    [ -z "$running" ] || kill "$running" 2>/dev/null || true
    say '' '✗ 已中断, 可随时重新运行。Interrupted; it is safe to run again.' >&2
    exit 130
}
trap interrupted INT TERM HUP

# step TITLE COMMAND...: run the command with its output in $log, show that it lives, return its exit code.
step() {
    local title=$1 start=$SECONDS shown=0 code=0 elapsed=0
    shift
    say "▸ $title"
    printf '\n== %s\n' "$title" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null &
    running=$!
    sleep 0.1
    while [ -d "/proc/$running" ]; do
        elapsed=$((SECONDS - start))
        if [ -t 1 ]; then
            printf '\r\033[K  %3d s  %.*s' "$elapsed" "$((${COLUMNS:-80} - 12))" "$(last_line)"
        elif ((elapsed >= shown + 15)); then
            shown=$elapsed
            printf '  %3d s  %s\n' "$elapsed" "$(last_line)"
        fi
        sleep 0.5
    done
    wait "$running" || code=$?
    running=
    [ ! -t 1 ] || printf '\r\033[K'
    if ((code == 0)); then say "  ✓ $((SECONDS - start)) s"; else say "  ✗ $((SECONDS - start)) s"; fi
    return "$code"
}

last_line() {
    local line
    line=$(tail -n 3 -- "$log" 2>/dev/null | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1) || true
    printf %s "${line:0:100}"
}

# explain CODE WHAT: end with the reason found in the log's last lines, which are shown.
explain() {
    local tail code=1
    tail=$(tail -n 15 -- "$log")
    printf '%s\n' "$tail" | sed 's/^/    /' >&2
    case $tail in
        *'No space left'* | *"don't have enough free space"*)
            fail "$NO_SPACE" "$2: the disk is full. Free some space and run this again." "磁盘已满, 请腾出空间后重新运行。"
            ;;
        *'Failed to fetch'* | *'Could not resolve'* | *'name resolution'* | *'NewConnectionError'* | *'Network is unreachable'* | *'timed out'* | \
            *'CERTIFICATE_VERIFY_FAILED'* | *'No matching distribution'* | *'Connection refused'*)
            fail "$NO_NETWORK" "$2: the packages could not be downloaded. Check the network and run this again." \
                "无法下载软件包, 请检查网络后重新运行。" \
                "A package mirror can be named with PIP_INDEX_URL (for Python) and in apt's sources; hashes are checked anyway." \
                "可用 PIP_INDEX_URL 与 apt 源改用镜像, 完整性由哈希校验保证。"
            ;;
        *)
            case $1 in [3-7]) code=$1 ;; esac
            fail "$code" "$2; the whole output is in $log." "步骤失败, 完整输出见 $log。"
            ;;
    esac
}

# database_ready: is there a packaged PostgreSQL 15+ with PostGIS 3.3+ (and btree_gist)?  The same rule as
# server/postgres.py; a `postgres` on the PATH is not asked.
database_ready() {
    local folder major control version file
    for folder in /usr/lib/postgresql/*/bin; do
        major=${folder#/usr/lib/postgresql/} major=${major%/bin}
        control=/usr/share/postgresql/$major/extension
        if [[ ! $major =~ ^[0-9]+$ ]] || ((major < 15)); then continue; fi
        for file in "$folder"/{initdb,postgres,pg_ctl} "$control"/{postgis,btree_gist}.control; do
            [ -f "$file" ] || continue 2
        done
        version=$(<"$control/postgis.control")
        [[ $version =~ default_version\ =\ \'([0-9]+)\.([0-9]+) ]] || continue
        ((BASH_REMATCH[1] > 3 || (BASH_REMATCH[1] == 3 && BASH_REMATCH[2] >= 3))) && return 0
    done
    return 1
}

# python_ready: can the system's own Python make virtual environments?  Python found elsewhere (pyenv, conda) is not
# asked: it may vanish or lack parts, and the distribution's gets its security updates.
python_ready() { /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null; }

# A server package makes and starts a cluster "main" on port 5432, and starts others that were stopped.
readonly CREATE=/etc/postgresql-common/createcluster.conf
readonly SAVED=$CREATE.before-zaicun
readonly POLICY=/usr/sbin/policy-rc.d
readonly MARK='# Written by zaicun for the time of one installation.'

# quietly COMMAND...: install packages while nothing is started and no cluster is made; afterwards the system's own
# settings stand as they stood. Needs root, and postgresql-common there already.
quietly() {
    trap undo_quiet EXIT
    cp -p -- "$CREATE" "$SAVED"
    printf '%s\ncreate_main_cluster = false\n' "$MARK" >>"$CREATE"
    if [ ! -e "$POLICY" ]; then
        printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" >"$POLICY"
        chmod 755 "$POLICY"
    fi
    "$@"
    undo_quiet
}

# Undo what an earlier run or this one set aside, however it ended.
undo_quiet() {
    [ ! -e "$SAVED" ] || mv -f -- "$SAVED" "$CREATE"
    if [ -f "$POLICY" ] && grep -qF "$MARK" "$POLICY"; then rm -f -- "$POLICY"; fi
}
