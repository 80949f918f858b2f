# Runs a server until its standard input ends or says `stop`, then stops it and removes its
# directory. The input is a pipe whose other end the starter holds, so that it ends with the
# starter, even if that is killed. The output is the directory's lock, which is held meanwhile.
# The server's process id is in the file `pid`. If the server ends while there is a file `restart`,
# that file is removed and the server started again.
#
# Arguments: the server's directory, the signal that stops it, how many tenths of a second it is
# given to do so, and the server's command.
directory=$1 signal=$2 tenths=$3
shift 3

start() {
    "$@" 3<&- >>"$directory/log" 2>&1 &
    server=$!
    # Whole or not at all, for those who read it.
    echo "$server" >"$directory/pid.new" && mv "$directory/pid.new" "$directory/pid"
}

trap '' HUP
exec 3<&0 </dev/null
start "$@"

(
    read -r _ <&3
    : >"$directory/stopping"
    test -e "$directory/exited" || kill -s "$signal" "$(cat "$directory/pid")"
    while test ! -e "$directory/exited" && test "$tenths" -gt 0; do
        sleep 0.1
        tenths=$((tenths - 1))
    done
    test -e "$directory/exited" || kill -s KILL "$(cat "$directory/pid")"
    # A killed PostgreSQL's other processes notice a moment later, and may still write.
    rm -rf -- "$directory" || { sleep 1; rm -rf -- "$directory"; }
) &
exec 3<&-

wait "$server"
status=$?
while test -e "$directory/restart" && test ! -e "$directory/stopping"; do
    rm -f -- "$directory/restart"
    start "$@"
    wait "$server"
    status=$?
done
: >"$directory/exited"
exit "$status"
